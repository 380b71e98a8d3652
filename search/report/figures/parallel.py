"""Parallel coordinates: each trial a line over all parameters, the best in front.

Plotly's own parcoords draws with WebGL, which neither prints nor follows a page's colours, and compiles code at run
time, which the page forbids; these are plain lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from search.report.confirmation_words import value_text
from search.report.figures.base import BEST, OTHER, PRUNED, new_figure, safe
from search.report.page.document import Figure, Table

if TYPE_CHECKING:
    import pandas as pd

    from spaces import Parameter

MOST_BEST = 12
"""Trials in front: a tenth of all, but no more."""

AXIS = 84
"""Pixels that an axis needs."""

LEFT_OUT = -0.12
"""Where a trial runs that does not have a parameter."""


def parallel_coordinates(board: pd.DataFrame, parameters: Sequence[Parameter], metric: str) -> Figure | None:
    """Return the figure; None where there are fewer than two parameters or trials.

    Args:
        board: the frame of ``leaderboard``, best first.
        parameters: an axis each, left to right.
        metric: the objective.
    """
    from plotly.graph_objects import Scatter

    if len(board) < 2 or len(parameters) < 2:
        return None
    size, params = len(board), board["params"].tolist()
    axes = [_Axis(p, [own.get(p.name) for own in params]) for p in parameters]
    figure = new_figure("", "", height=420)
    best, half = min(MOST_BEST, math.ceil(0.1 * size)), math.ceil(0.5 * size)
    groups = (
        ("worse half", slice(half, size), PRUNED, 0.15),
        ("better half", slice(best, half), OTHER, 0.35),
        (f"best {best}", slice(0, best), BEST, 0.9),
    )
    for name, own_trials, colour, opacity in groups:
        xs: list[float | None] = []
        ys: list[float | None] = []
        for own in params[own_trials]:
            xs += [*range(len(axes)), None]
            ys += [*(round(axis.place(own.get(axis.name)), 4) for axis in axes), None]
        line = {"color": colour, "width": 1.4 if opacity < 0.5 else 2}
        figure.add_trace(Scatter(x=xs, y=ys, mode="lines", name=name, line=line, opacity=opacity, hoverinfo="skip"))
    for i, axis in enumerate(axes):
        figure.add_vline(i, line={"width": 1, "color": PRUNED})
        for place, label in axis.ticks():
            figure.add_annotation(x=i, y=place, text=safe(label), showarrow=False, xanchor="left", font={"size": 10})
    figure.update_xaxes(tickvals=list(range(len(axes))), ticktext=[safe(a.name) for a in axes], showgrid=False)
    figure.update_xaxes(range=[-0.45, len(axes) - 0.4], zeroline=False)
    figure.update_yaxes(visible=False, range=[-0.18, 1.08])
    return Figure(
        key="parallel",
        title="all parameters at once (a line a trial; below an axis: it does not have the parameter)",
        alt=f"{size} trials as lines over {len(axes)} parameters, coloured by {metric}; the table has the best.",
        plot=figure,
        table=_table(board, axes, metric),
        least=AXIS * len(axes),
    )


class _Axis:
    """One parameter, from 0 at its lowest value to 1 at its highest."""

    def __init__(self, parameter: Parameter, values: Sequence[Any]) -> None:
        self.name = parameter.name
        distribution = parameter.distribution
        self._numbers = hasattr(distribution, "low")
        self._log = bool(getattr(distribution, "log", False))
        had = [v for v in values if v is not None]
        if self._numbers:
            self._log = self._log and all(v > 0 for v in had)
            self._low, self._high = min(had, default=0), max(had, default=1)
        else:
            self._words = list(dict.fromkeys(value_text(v) for v in (*getattr(distribution, "choices", ()), *had)))

    def place(self, value: Any) -> float:
        if value is None:
            return LEFT_OUT
        if not self._numbers:
            return self._words.index(value_text(value)) / max(1, len(self._words) - 1)
        low, high, at = (math.log(v) if self._log else v for v in (self._low, self._high, value))
        return (at - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        if not self._numbers:
            return [(i / max(1, len(self._words) - 1), word) for i, word in enumerate(self._words)]
        return [(0.0, f"{self._low:.3g}"), (1.0, f"{self._high:.3g}")] if self._high > self._low else []


def _table(board: pd.DataFrame, axes: Sequence[_Axis], metric: str) -> Table:
    best = board.head(max(3, math.ceil(0.1 * len(board)))).head(30)
    rows = [
        [int(n), float(v), *(own.get(axis.name) for axis in axes)]
        for n, v, own in zip(best["number"], best["value"], best["params"], strict=True)
    ]
    return Table(f"the best {len(rows)} trials", ["trial", metric, *(axis.name for axis in axes)], rows)
