"""Which trials are confirmed where a model of the curves decided: those that it holds for the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.declaration.study import Study
from search.ledger import EpochRow, Ledger
from search.ledger.smoothed import read_smoothed

if TYPE_CHECKING:
    import pandas as pd


def by_surrogate(study: Study, ledger: Ledger, study_id: int, board: pd.DataFrame) -> pd.DataFrame:
    """Return a leaderboard in the order of the surrogate's mean, where ``freeze_thaw`` has one; else as it is.

    The best of many noisy values is a lucky one. What the model of all curves expects of a trial, at the best of the
    epochs that it trained, is not.

    Args:
        study: the declaration.
        ledger: holds the study.
        study_id: of the study.
        board: the frame of ``leaderboard``.
    """
    if study.scheduler.name != "freeze_thaw" or board.empty:
        return board
    epochs = ledger.epochs(study_id)
    means = read_smoothed(ledger, study_id, epochs=len(epochs)) or _replayed(study, ledger, study_id, epochs)
    if not means:
        return board
    expected = board["number"].map(means)
    order = expected if study.objective.direction.ascending else -expected
    return board.assign(expected=expected, order=order).sort_values("order", kind="stable").drop(columns="order")


def _replayed(study: Study, ledger: Ledger, study_id: int, epochs: Sequence[EpochRow]) -> dict[int, float]:
    """Return what the surrogate holds of each trial, fitted again: the last session ended too soon to keep that."""
    from search.brain.scheduler import build_scheduler

    scheduler = build_scheduler(study)
    scheduler.replay(epochs, ledger.trials(study_id), ledger.decisions(study_id))
    return scheduler.means()
