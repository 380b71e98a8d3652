"""The Pareto front among all trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.report.figures.base import BEST, PRUNED, fit_values, new_figure
from search.report.leaderboard import with_objectives
from search.report.page.document import Figure, Table

if TYPE_CHECKING:
    import pandas as pd

    from search.report.answer import Answer


def front_figures(found: Answer, board: pd.DataFrame, epochs: pd.DataFrame) -> list[Figure]:
    """Return the front against each further objective, a figure each; none where a study has one objective.

    Args:
        found: its ``front`` and ``further`` count.
        board: the frame of ``leaderboard``.
        epochs: the frame of ``Ledger.epochs_frame``.
    """
    if not found.front:
        return []
    rows = board[["number", "value", "epoch"]].merge(with_objectives(epochs), on=["number", "epoch"])
    return [_against(found, rows, other, i) for i, other in enumerate(found.further)]


def _against(found: Answer, rows: pd.DataFrame, other: str, index: int) -> Figure:
    from plotly.graph_objects import Scatter

    figure = new_figure(other, found.metric)
    texts = [f"trial {n}" for n in rows["number"]]
    behind = {"color": PRUNED, "size": 7, "symbol": "circle-open"}
    figure.add_trace(
        Scatter(
            x=rows[other].tolist(), y=rows["value"].tolist(), text=texts, mode="markers", marker=behind, name="a trial"
        )
    )
    front = sorted(found.front, key=lambda entry: entry.values[other])
    figure.add_trace(
        Scatter(
            x=[entry.values[other] for entry in front],
            y=[entry.values[found.metric] for entry in front],
            text=[f"trial {entry.trial}" for entry in front],
            mode="lines+markers",
            line={"color": BEST, "shape": "hv" if found.mode == "min" else "vh"},
            marker={"color": BEST, "size": 9},
            name="Pareto front",
        )
    )
    fit_values(figure, rows["value"], ascending=found.mode == "min")
    return Figure(
        key=f"front-{index}",
        name=f"front_{other}",
        title=f"{found.metric} against {other}",
        alt=f"{len(rows)} trials by {other} and {found.metric}; {len(front)} of them are on the Pareto front.",
        plot=figure,
        table=Table(
            "the Pareto front",
            ["trial", found.metric, other],
            [[entry.trial, entry.values[found.metric], entry.values[other]] for entry in front],
        ),
    )
