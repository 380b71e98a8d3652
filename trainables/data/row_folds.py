"""The rows of a table cut into folds where more than chance decides which part a row is for: groups, and time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.data.fold_cut import Fold, time_bounds, with_fold, with_fold_of_groups
from trainables.data.parts import counted
from trainables.data.row_cut import RowRules, split_in_time, without_later_groups
from trainables.errors import DataError

FEWEST_ROWS, FEWEST_OF_A_CLASS = 10, 2
"""Rows that a fold in time needs to train on: as many, and so many for each class."""


def fold_rows(
    indices: Sequence[NDArray[np.int64]], y: NDArray[np.generic], rules: RowRules, fold: Fold, *, numeric: bool
) -> list[NDArray[np.int64]]:
    """Return which rows are for test, for validation and for training in a fold.

    In time, every fold trains on all rows before those that validate it (``TimeSeriesSplit``, an expanding window),
    cut where the time changes; rows whose group comes again in the later part are in none.

    Args:
        indices: which rows are for test, for validation and for training in the search's own cut.
        y: [N] class numbers, or numbers.
        rules: what decides.
        fold: which fold of how many.
        numeric: whether the target is a number.

    Raises:
        DataError: there are too few rows, groups, times or rows of a class.
    """
    classes = None if numeric else y.astype(np.int64)
    if rules.times is not None:
        test, val, train = indices
        kept = np.concatenate([val, train])
        order = kept[np.argsort(rules.times[kept], kind="stable")]
        spans = split_in_time(order, rules.times, time_bounds(len(order), fold.folds))
        earlier = np.concatenate(spans[: fold.number + 1])
        trained, held = without_later_groups([earlier, spans[fold.number + 1]], rules.first)
        least = FEWEST_ROWS if numeric else max(FEWEST_ROWS, FEWEST_OF_A_CLASS * len(np.unique(y)))
        if len(trained) < least:
            again, other = "", ""
            if rules.first is not None:
                again, other = " whose group does not come again when it validates", ", or --time without --group"
            found = f"{counted(len(trained), 'row')}{again}"
            raise DataError(
                f"fold {fold.number + 1} has {found} to train on, and needs {least}; use fewer folds{other}"
            )
        return [test, np.sort(held), np.sort(trained)]
    if rules.first is not None:
        return with_fold_of_groups(indices, classes, fold, rules.first)
    return with_fold(indices, classes, fold)
