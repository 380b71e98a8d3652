"""The learning rate of the best trial of each schedule, and the loss beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.report.confirmation_words import value_text
from search.report.figures.base import COLOURS, new_figure, safe
from search.report.page.document import Figure, Table

if TYPE_CHECKING:
    import pandas as pd

RATE = "lr"
SCHEDULE = "schedule"

MOST = 6


def schedule_rates(epochs: pd.DataFrame, board: pd.DataFrame, metric: str) -> list[Figure]:
    """Return the rate by epoch and the metric by epoch, of the same trials; none where no rate was recorded.

    Args:
        epochs: the frame of ``Ledger.epochs_frame``.
        board: the frame of ``leaderboard``, best first.
        metric: the objective.
    """
    if RATE not in epochs or epochs[RATE].isna().all() or board.empty:
        return []
    first: dict[str, int] = {}
    for number, params in zip(board["number"], board["params"], strict=True):
        first.setdefault(value_text(params.get(SCHEDULE, "the best trial")), int(number))
    shown = dict(list(first.items())[:MOST])
    return [_lines(epochs, shown, RATE, "rate"), _lines(epochs, shown, metric, "loss")]


def _lines(epochs: pd.DataFrame, shown: dict[str, int], column: str, key: str) -> Figure:
    from plotly.graph_objects import Scatter

    figure = new_figure("epoch", column)
    rows: list[list[str | int | float | None]] = []
    for colour, (schedule, number) in zip(COLOURS, shown.items(), strict=False):
        own = epochs[(epochs["number"] == number) & epochs[column].notna()].sort_values("epoch")
        name = f"{schedule} (trial {number})"
        values = own[column].astype(float).tolist()
        figure.add_trace(
            Scatter(x=own["epoch"].tolist(), y=values, name=safe(name), mode="lines+markers", line={"color": colour})
        )
        if values:
            rows.append([schedule, number, values[0], max(values), min(values), values[-1]])
    return Figure(
        key=f"schedule-{key}",
        title=f"{column} by epoch, the best trial of each schedule",
        alt=f"{column} by epoch of {len(shown)} trials, the best of each schedule.",
        plot=figure,
        table=Table(f"{column} by schedule", ["schedule", "trial", "first", "highest", "lowest", "last"], rows),
    )
