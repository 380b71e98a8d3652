"""What pruning saved, as the command line prints it."""

from __future__ import annotations

from search.face.grid import Column, Grid
from search.report.hindsight import seconds_text
from search.report.pruning import Pruning


def cost_table(found: Pruning) -> Grid:
    """Return what the trials of each outcome trained, and what they did not."""
    numbers = ("trials", "epochs", "device-seconds", "epochs left out", "their device-seconds")
    grid = Grid([Column("outcome"), *(Column(name, right=True) for name in numbers)])
    for row in found.outcomes:
        grid.add(
            row.outcome,
            str(row.trials),
            str(row.epochs),
            seconds_text(row.seconds),
            str(row.epochs_left),
            seconds_text(row.seconds_left),
        )
    return grid
