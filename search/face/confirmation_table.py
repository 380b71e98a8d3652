"""The confirmed answer as tables: the finalists beside the baseline, and what each parameter is worth."""

from __future__ import annotations

from search.face.grid import Column, Grid
from search.report.confirmation import Confirmation, Standing
from search.report.confirmation_words import half_text, signed_text, value_text
from search.report.paired import Interval
from search.report.worth import Ablation
from spaces import BASELINE_TRIAL
from trainables.metrics import shown_metric


def confirmation_table(found: Confirmation) -> Grid:
    """Return the finalists in the order of the search, and the baseline below them, on the same pairs."""
    test = [f"{shown_metric(found.metric)} ±"] if found.baseline.test is not None else []
    compared = [] if found.compared is None else [found.compared]
    names = ("trial", *compared, "searched", f"{found.metric} ±", *test, "minus baseline ±", "minus the next")
    grid = Grid([*(Column(name, right=True) for name in names), Column("")])
    for standing in found.finalists:
        grid.add(*_cells(standing, found, test=bool(test)))
    grid.end_section()
    grid.add(*_cells(found.baseline, found, test=bool(test)))
    return grid


def ablation_table(found: Ablation) -> Grid:
    """Return what each parameter of the recommended configuration is worth, most first."""
    right = (Column(name, right=True) for name in ("is worth", "alone on the baseline"))
    grid = Grid([Column("parameter"), Column("value"), Column("baseline"), *right, Column("")])
    for row in found.rows:
        grid.add(
            row.parameter,
            value_text(row.value),
            value_text(row.baseline),
            signed_text(row.in_place),
            signed_text(row.alone),
            row.words,
        )
    return grid


def _cells(standing: Standing, found: Confirmation, *, test: bool) -> list[str]:
    name = "baseline" if standing.trial == BASELINE_TRIAL else str(standing.trial)
    tested = [_between(standing.test)] if test else []
    mark = "recommended" if standing.trial == found.recommended else ""
    compared = [] if found.compared is None else [value_text(standing.params.get(found.compared, "-"))]
    return [
        name,
        *compared,
        f"{standing.searched:.4g}",
        _between(standing.validation),
        *tested,
        signed_text(standing.to_baseline),
        "" if standing.to_next is None else f"{standing.to_next.mean:+.2g}",
        mark,
    ]


def _between(found: Interval | None) -> str:
    return "-" if found is None else f"{found.mean:.4g}{half_text(found)}"
