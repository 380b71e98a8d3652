"""The best value of every trial over one parameter."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from search.report.confirmation_words import value_text
from search.report.figures.base import KIND_COLOURS, fit_values, kinds, log_axis, new_figure, safe
from search.report.page.document import Figure, Table

if TYPE_CHECKING:
    import pandas as pd

    from spaces import Parameter

ROWS = 8
"""Of the table: choices, or ranges with as many trials each."""


def slice_of(board: pd.DataFrame, parameter: Parameter, metric: str, index: int, *, ascending: bool) -> Figure | None:
    """Return the slice of one parameter; None where fewer than two trials have it.

    Args:
        board: the frame of ``leaderboard``.
        parameter: of the space.
        metric: the objective.
        index: tells the figures of a page apart.
        ascending: whether lower values are better.
    """
    from plotly.graph_objects import Scatter

    name = parameter.name
    board = board.assign(kind=kinds(board), x=[params.get(name) for params in board["params"]])
    board = board[[name in params for params in board["params"]]]
    if len(board) < 2:
        return None
    distribution = parameter.distribution
    category = not hasattr(distribution, "low")
    figure = new_figure(name, metric, height=320)
    for kind, colour in KIND_COLOURS.items():
        own = board[board["kind"] == kind]
        if len(own):
            xs = [safe(value_text(x)) for x in own["x"]] if category else own["x"].tolist()
            marker = {"color": colour, "size": 11 if kind == "baseline" else 7, "opacity": 0.75}
            marker["symbol"] = {"baseline": "diamond", "complete": "circle"}.get(kind, "circle-open")
            texts = [f"trial {n}" for n in own["number"]]
            figure.add_trace(
                Scatter(x=xs, y=own["value"].tolist(), text=texts, mode="markers", marker=marker, name=kind)
            )
    if category:
        order = [value_text(choice) for choice in getattr(distribution, "choices", ())]
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=[safe(word) for word in order])
    elif getattr(distribution, "log", False) and (board["x"].astype(float) > 0).all():
        log_axis(figure, "xaxis", float(board["x"].min()), float(board["x"].max()))
    fit_values(figure, board["value"], ascending=ascending)
    return Figure(
        key=f"slice-{index}",
        name=f"slice_{name}",
        title=f"{metric} over {name}",
        alt=f"Best {metric} of each of {len(board)} trials over {name}.",
        plot=figure,
        table=_table(board, name, metric, category=category, ascending=ascending),
    )


def _table(board: pd.DataFrame, name: str, metric: str, *, category: bool, ascending: bool) -> Table:
    import pandas as pd

    groups: Any
    if category:
        groups = board.groupby(board["x"].map(value_text), sort=False)
    else:
        numbers = board["x"].astype(float)
        # the labels of pandas begin a thousandth below the least value, where no trial was
        of, edges = pd.qcut(numbers, min(ROWS, numbers.nunique()), labels=False, retbins=True, duplicates="drop")
        ranges = {i: f"{low:.3g} to {high:.3g}" for i, (low, high) in enumerate(pairwise(edges))}
        groups = ((ranges[int(i)], own) for i, own in board.groupby(of))
    rows = [
        [key, len(own), float(own["value"].min() if ascending else own["value"].max()), own["value"].median()]
        for key, own in groups
    ]
    return Table(f"{metric} by {name}", [name, "trials", "best", "median"], rows)
