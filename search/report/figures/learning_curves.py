"""The learning curves of all trials: those that were pruned faint, the best and the baseline in front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.report.figures.base import BASELINE, BEST, FURTHER, OTHER, PRUNED, fit_values, new_figure
from search.report.page.document import Figure, Table

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Scatter

TABLED = 10
"""Trials whose curves are given as numbers."""

MANY = 60
"""Complete trials from which on their curves are fainter, so that the best and the baseline stand out."""

MOST_EPOCHS = 12
"""Columns of that table."""


def learning_curves(
    epochs: pd.DataFrame, board: pd.DataFrame, metric: str, rungs: Sequence[int], *, ascending: bool
) -> Figure:
    """Return the curves of one metric.

    Args:
        epochs: the frame of ``Ledger.epochs_frame``.
        board: the frame of ``leaderboard``, best first.
        metric: a column of ``epochs``.
        rungs: epochs at which trials were compared, each marked by a line.
        ascending: whether lower values are better.
    """
    figure = new_figure("epoch", metric)
    best, complete = int(board["number"].iloc[0]), set(board[board["state"] == "COMPLETE"]["number"])
    front = [(best, f"best: trial {best}", BEST)] + ([(0, "baseline", BASELINE)] if best else [])
    behind = {number for number, _, _ in front}
    running = set(board[board["state"].isin(("RUNNING", "PAUSED"))]["number"]) - behind
    pruned = epochs[~epochs["number"].isin(complete | behind | running)]
    going = epochs[epochs["number"].isin(running)]
    others = epochs[epochs["number"].isin(complete - behind)]
    figure.add_traces(
        [
            _lines(pruned, metric, "pruned or stopped", PRUNED, width=1, opacity=0.28),
            *([_lines(going, metric, "running", FURTHER, width=1.2, opacity=0.65)] if running else []),
            _lines(others, metric, "complete", OTHER, width=1.2, opacity=0.65 if len(complete) < MANY else 0.3),
            *(_lines(epochs[epochs["number"] == n], metric, name, c, width=3, opacity=1) for n, name, c in front),
        ]
    )
    for rung in rungs:
        figure.add_vline(rung, line={"dash": "dot", "width": 1, "color": PRUNED})
    fit_values(figure, epochs[metric], ascending=ascending)
    marks = f"; dotted: rungs at {', '.join(map(str, rungs))}" if rungs else ""
    return Figure(
        key=f"curves-{metric.replace('_', '-')}",
        title=f"{metric} by epoch{marks}",
        alt=f"Learning curves of {epochs['number'].nunique()} trials in {metric}; the table below has the best.",
        plot=figure,
        table=_table(epochs, board, metric),
    )


def _lines(epochs: pd.DataFrame, metric: str, name: str, colour: str, *, width: float, opacity: float) -> Scatter:
    """Return the curves of several trials as one trace, a gap after each."""
    import numpy as np
    from plotly.graph_objects import Scatter

    ordered = epochs.sort_values(["number", "epoch"])
    ends = np.flatnonzero(np.diff(ordered["number"].to_numpy(int))) + 1
    x, y, number = (
        np.insert(ordered[column].to_numpy(np.float32), ends, np.nan) for column in ("epoch", metric, "number")
    )
    several = len(ends) > 0
    return Scatter(
        x=x,
        y=y,
        text=[f"trial {n:.0f}" if n == n else "" for n in number] if several and len(number) < 3000 else None,
        name=name,
        mode="lines" if len(ordered) > ordered["number"].nunique() else "markers",
        line={"width": width, "color": colour},
        opacity=opacity,
        hoverinfo="all" if len(number) < 3000 else "skip",
    )


def _table(epochs: pd.DataFrame, board: pd.DataFrame, metric: str) -> Table:
    shown = board["number"].head(TABLED).tolist()
    wide = epochs[epochs["number"].isin(shown)].pivot_table(index="number", columns="epoch", values=metric)
    columns = wide.columns.tolist()
    step = -(-len(columns) // MOST_EPOCHS) or 1
    columns = columns[::-step][::-1]
    rows = [
        [int(n), *(None if wide[c].isna()[n] else float(wide[c][n]) for c in columns)] for n in shown if n in wide.index
    ]
    return Table(f"{metric} of the best {len(rows)} trials by epoch", ["trial", *(f"epoch {c}" for c in columns)], rows)
