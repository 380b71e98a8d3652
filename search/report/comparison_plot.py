"""The comparison as a picture: the objective and the time of a fit, a point for each split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.report.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = (10.0, 4.0)
SPLIT, MEAN = "#8da0cb", "#1b3a6b"


def comparison_figure(found: Comparison) -> Figure:
    """Return two panels over the choices, the best on top: the objective, and seconds on a log scale.

    Drawn without pyplot: no display, no state that others share.
    """
    from matplotlib.figure import Figure

    rows = [row for row in found.rows if row.mean is not None]
    figure = Figure(figsize=INCHES, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    figure.suptitle(f"The best of each {found.parameter} on the same {found.splits} splits")
    for place, row in enumerate(rows):
        left.plot(row.values, [place] * len(row.values), "o", color=SPLIT, markersize=4)
        _mean(left, place, row.mean, row.spread)
        _mean(right, place, row.seconds, row.seconds_spread)
    left.set_yticks(range(len(rows)), [str(row.choice) for row in rows])
    left.invert_yaxis()
    left.set_xlabel(f"{found.metric}: splits, mean and standard deviation")
    right.set_xscale("log")
    right.set_xlabel("seconds of a fit on one core: mean and standard deviation")
    for panel in (left, right):
        panel.grid(axis="x", alpha=0.3)
    return figure


def _mean(panel: Axes, place: int, mean: float | None, spread: float | None) -> None:
    panel.errorbar([mean or 0.0], [place], xerr=[spread or 0.0], fmt="D", color=MEAN, markersize=5, capsize=3)
