"""Trials ranked by the best value of the objective over their epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trainables.report import SECONDS

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Objective


def with_objectives(epochs: pd.DataFrame) -> pd.DataFrame:
    """Return the frame of ``Ledger.epochs_frame`` with a column for all that an objective may name.

    The seconds of an epoch are one, under the name ``epoch_seconds``.
    """
    return epochs.rename(columns={"seconds": SECONDS})


def improvements(board: pd.DataFrame, *, ascending: bool) -> list[tuple[int, float]]:
    """Return the trials that bettered all before them, by their numbers, each with its value; the first is one.

    Args:
        board: the frame of ``leaderboard``.
        ascending: whether lower values are better.
    """
    found: list[tuple[int, float]] = []
    ordered = board.sort_values("number")
    for number, value in zip(ordered["number"].tolist(), ordered["value"].astype(float).tolist(), strict=True):
        if not found or (value < found[-1][1] if ascending else value > found[-1][1]):
            found.append((number, value))
    return found


def leaderboard(
    trials: pd.DataFrame, epochs: pd.DataFrame, objective: Objective, smoothed: Mapping[int, float] | None = None
) -> pd.DataFrame:
    """Rank the trials that reported a finite value.

    Args:
        trials: the frame of ``Ledger.trials_frame``.
        epochs: the frame of ``Ledger.epochs_frame``.
        objective: the metric and its direction.
        smoothed: each trial's best value without the noise, by number, where a model of the curves has one.

    Returns:
        Best first: ``rank``, ``number``, ``value`` (the best over its epochs), ``epoch`` (where that
        was), ``epochs`` (trained), ``state``, ``stop_reason``, ``origin`` where the trials have it, ``smoothed``
        where that is given, a ``params_<name>`` column each, ``params``, the active ones as a dict, and ``metrics``,
        all of that epoch as a dict.
    """
    import numpy as np
    import pandas as pd

    if smoothed:
        trials = trials.assign(smoothed=trials["number"].map(dict(smoothed)))
    shown = [c for c in trials.columns if c in ("origin", "smoothed") or c.startswith("params_")]
    columns = ["rank", "number", "value", "epoch", "epochs", "state", "stop_reason", *shown, "params", "metrics"]
    if epochs.empty:
        return pd.DataFrame(columns=columns)
    epochs = with_objectives(epochs)
    finite = epochs[np.isfinite(epochs[objective.metric].astype(float))]
    ascending = objective.direction.ascending
    best = finite.sort_values([objective.metric, "epoch"], ascending=[ascending, True], kind="stable").drop_duplicates(
        "number"
    )
    names = [c for c in best.columns if c not in ("number", "epoch", "at", SECONDS)]
    best["metrics"] = pd.Series(best[names].to_dict("records"), index=best.index)
    best = best.rename(columns={objective.metric: "value"})[["number", "value", "epoch", "metrics"]]
    trained = epochs.groupby("number")["epoch"].max().rename("epochs").reset_index()
    board = best.merge(trained, on="number").merge(trials, on="number")
    board = board.sort_values(["value", "number"], ascending=[ascending, True], kind="stable")
    board.insert(0, "rank", range(1, len(board) + 1))
    return board[columns].reset_index(drop=True)
