"""What is said of the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence

from trainables.data.spec import DataSpec
from trainables.data.splits import Splits
from trainables.notice import Notice
from trainables.task import Task


def splitter_name(spec: DataSpec, task: Task) -> str:
    """Return the class of scikit-learn by which the folds are cut."""
    if spec.time is not None:
        return "TimeSeriesSplit"
    if spec.group is not None:
        return "StratifiedGroupKFold"
    return "StratifiedKFold" if task is Task.CLASSIFICATION else "KFold"


def folds_notice(folds: Sequence[Splits], spec: DataSpec) -> Notice:
    """Return how many folds there are, how they were cut, and how many examples train and validate in each."""
    train, val = _range([len(fold.train) for fold in folds]), _range([len(fold.val) for fold in folds])
    how = splitter_name(spec, folds[0].task)
    text = (
        f"folds: {len(folds)} by {how}, of train and validation together ({train} train, {val} validate); a trial "
        "trains on each, and its metrics are the means over them"
    )
    if spec.time is not None:
        text += f"; the model that is kept is that of the first, of the earliest {len(folds[0].train):,} rows"
    return Notice("folds", text, len(folds))


def _range(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
