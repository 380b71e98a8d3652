"""The best value over the trials, and where more trials are expected to bring it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.report.figures.base import BEST, FURTHER, OTHER, fit_values, new_figure
from search.report.leaderboard import improvements
from search.report.page.document import Figure, Table

if TYPE_CHECKING:
    import pandas as pd

    from search.report.expected_best import ExpectedBest

TABLED = 12


def progress(board: pd.DataFrame, expected: ExpectedBest | None, metric: str, *, ascending: bool) -> Figure:
    """Return the figure.

    Args:
        board: the frame of ``leaderboard``.
        expected: what more trials would come to; None where that cannot be said.
        metric: the objective.
        ascending: whether lower values are better.
    """
    from plotly.graph_objects import Scatter

    ordered = board.sort_values("number")
    numbers, values = ordered["number"].tolist(), ordered["value"].astype(float)
    best = (values.cummin() if ascending else values.cummax()).tolist()
    figure = new_figure("trial", metric)
    marker = {"color": OTHER, "size": 6, "opacity": 0.6}
    figure.add_traces(
        [
            Scatter(x=numbers, y=values.tolist(), mode="markers", marker=marker, name="a trial"),
            Scatter(x=numbers, y=best, line={"shape": "hv", "color": BEST, "width": 3}, name="best so far"),
        ]
    )
    if expected is not None:
        figure.add_trace(_outlook(expected, ascending=ascending))
    ahead = [] if expected is None else [o.best for o in expected.outlook]
    fit_values(figure, [*values, *ahead], ascending=ascending)
    better = improvements(board, ascending=ascending)
    return Figure(
        key="progress",
        title=f"best {metric} over the trials, and what more are expected to come to",
        alt=f"The best {metric} so far over {len(numbers)} trials; it was bettered {len(better) - 1} times.",
        plot=figure,
        table=Table(f"when the best {metric} was bettered", ["trial", f"best {metric}"], better[-TABLED:]),
    )


def _outlook(expected: ExpectedBest, *, ascending: bool) -> object:
    """Return the expected best of more trials, with the interval of the gain."""
    from plotly.graph_objects import Scatter

    less, more = ([o.gain - o.low for o in expected.outlook], [o.high - o.gain for o in expected.outlook])
    up, down = (less, more) if ascending else (more, less)  # a larger gain is a lower loss
    return Scatter(
        x=[expected.trials * o.times for o in expected.outlook],
        y=[o.best for o in expected.outlook],
        error_y={"type": "data", "symmetric": False, "array": up, "arrayminus": down, "color": FURTHER},
        mode="markers",
        marker={"color": FURTHER, "size": 10, "symbol": "diamond"},
        name="expected of 2x, 4x the trials",
    )
