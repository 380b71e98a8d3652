"""Figures with their intervals, one line each: differences to the baseline, what parts are worth, importance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.report.figures.base import OTHER, PRUNED, new_figure, safe

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LINE = 34
"""Pixels of a line."""


@dataclass(frozen=True)
class Bar:
    """One line of the figure.

    Attributes:
        name: at its left.
        value: where its point is.
        low, high: the ends of its interval; None where there is none.
        settled: whether it can be told from nothing; else it is drawn grey and hollow.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    settled: bool


def intervals(bars: Sequence[Bar], title: str) -> Figure:
    """Return the bars from top to bottom, with a line at 0."""
    from plotly.graph_objects import Scatter

    figure = new_figure(title, "", height=90 + LINE * len(bars))
    for settled, colour, symbol in ((True, OTHER, "circle"), (False, PRUNED, "circle-open")):
        own = [bar for bar in bars if bar.settled is settled]
        if not own:
            continue
        above = [0.0 if bar.high is None else bar.high - bar.value for bar in own]
        below = [0.0 if bar.low is None else bar.value - bar.low for bar in own]
        figure.add_trace(
            Scatter(
                x=[bar.value for bar in own],
                y=[safe(bar.name) for bar in own],
                error_x={"type": "data", "symmetric": False, "array": above, "arrayminus": below, "color": colour},
                mode="markers",
                marker={"size": 10, "color": colour, "symbol": symbol},
                name="settled" if settled else "cannot be told from nothing",
            )
        )
    figure.update_layout(showlegend=True)
    figure.add_vline(0, line={"width": 1, "color": PRUNED})
    figure.update_yaxes(categoryorder="array", categoryarray=[safe(bar.name) for bar in reversed(bars)])
    return figure
