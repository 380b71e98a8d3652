"""What each parameter was worth, as the command line prints it. Nothing is computed here."""

from __future__ import annotations

from search.face.grid import Column, Grid
from search.report.importance import Importance
from search.report.importance_words import percent_text

MOST_SHOWN = 5
"""Parameters that are printed; those that can be told from nothing are, however many."""


def importance_table(found: Importance) -> Grid:
    """Return the most important parameters, the first of them first."""
    numbers = [Column(name, right=True) for name in ("variance", "among the best", "p")]
    grid = Grid([Column("importance"), *numbers])
    for i, row in enumerate(found.parameters):
        if i < MOST_SHOWN or row.stands_out:
            # the smallest p that so many deals can come to
            p = "<0.01" if row.p < 0.01 else f"{row.p:.2f}"
            grid.add(row.parameter, percent_text(row.variance), percent_text(row.among_best), p)
    return grid
