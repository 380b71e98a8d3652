"""What all figures share: the colours, the axes, and what of the values is shown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

# From Okabe and Ito's palette, whose colours the colour-blind tell apart; those that light and dark ground both carry.
BEST, OTHER, BASELINE, PRUNED, FURTHER = "#d55e00", "#3b8fc4", "#cc79a7", "#8a8f98", "#009e73"
COLOURS = (BEST, OTHER, FURTHER, BASELINE, "#b8860b", PRUNED)

SHOWN_SHARE = 0.9
"""Of the values that an axis shows at first, the best ones: one trial that diverged would flatten all others."""

MUCH = 8
"""Times the smallest value that the largest one is where an axis becomes logarithmic."""


def new_figure(x: str, y: str, *, height: int = 380) -> Figure:
    """Return an empty figure with titled axes; the page gives it the colours of its ground."""
    from plotly.graph_objects import Figure, Layout, layout

    shown = Layout(
        template=layout.Template(),
        height=height,
        margin={"l": 8, "r": 12, "t": 30, "b": 8},
        legend={"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0},
        hovermode="closest",
    )
    figure = Figure(layout=shown)
    figure.update_xaxes(title=safe(x), automargin=True)
    figure.update_yaxes(title=safe(y), automargin=True)
    return figure


def safe(text: object) -> str:
    """Return a text that plotly shows as it is, though it takes some markup for its own."""
    return escape(str(text), quote=False)


def fit_values(figure: Figure, values: Iterable[float], *, ascending: bool) -> None:
    """Scale the y axis so that the best nine tenths of the values are seen, on a logarithm where they span much.

    Args:
        figure: whose y axis it is.
        values: those drawn; what is not finite counts for nothing.
        ascending: whether lower ones are better.
    """
    import numpy as np

    finite = np.array([v for v in values if v is not None and np.isfinite(v)], dtype=float)
    if len(finite) < 2:
        return
    best = finite.min() if ascending else finite.max()
    edge = np.quantile(finite, SHOWN_SHARE if ascending else 1 - SHOWN_SHARE)
    whole = np.array([finite.min(), finite.max()])
    shown = np.sort([best, edge]) if np.ptp(whole) > 2 * abs(edge - best) > 0 else whole
    if shown[0] > 0 and shown[1] > MUCH * shown[0]:
        log_axis(figure, "yaxis", shown[0], shown[1])
        return
    margin = 0.06 * np.ptp(shown) or 0.1 * abs(shown[0]) or 1.0
    figure.update_yaxes(range=[float(shown[0] - margin), float(shown[1] + margin)])


def log_axis(figure: Figure, axis: str, low: float, high: float) -> None:
    """Give ``xaxis`` or ``yaxis`` a logarithmic scale from ``low`` to ``high``, with round ticks."""
    first, last = math.log10(low), math.log10(high)
    margin = 0.05 * (last - first) or 0.1
    digits = (1, 2, 5) if last - first < 2 else (1,)
    every = 1 if last - first < 6 else 2
    decades = range(math.floor(first), math.ceil(last) + 1, every)
    ticks = [digit * 10.0**decade for decade in decades for digit in digits]
    shown = {"range": [first - margin, last + margin], "tickvals": ticks, "ticktext": [f"{v:g}" for v in ticks]}
    figure.layout[axis].update(type="log", **shown)


def kinds(board: pd.DataFrame) -> list[str]:
    """Return what each trial of the leaderboard is drawn as; a paused one is ``running``."""
    return [
        "baseline" if number == 0 else DRAWN_AS.get(state, "pruned or stopped")
        for number, state in zip(board["number"], board["state"], strict=True)
    ]


DRAWN_AS = {"COMPLETE": "complete", "RUNNING": "running", "PAUSED": "running"}

KIND_COLOURS = {"pruned or stopped": PRUNED, "running": FURTHER, "complete": OTHER, "baseline": BASELINE}
