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


def small_folds(folds: Sequence[Splits], splits: Splits, spec: DataSpec) -> tuple[Notice, ...]:
    """Return a warning where a fold in time trains on less than half of its span, as groups come again."""
    if spec.time is None or spec.group is None:
        return ()
    step = (len(splits.train) + len(splits.val)) / (len(folds) + 1)
    trained = {i: len(fold.train) for i, fold in enumerate(folds, 1) if len(fold.train) < step * i / 2}
    if not trained:
        return ()
    each = ", ".join(f"{rows:,} of about {step * i:,.0f} rows in fold {i}" for i, rows in trained.items())
    text = (
        f"few rows train, as those of a group that comes again when a fold validates are left out: {each}; fewer "
        "folds, or --time without --group, leave more"
    )
    return (Notice("small_folds", text, len(trained), warning=True),)


def _range(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
