"""Cross-validation: the training and the validation part together, cut into folds by scikit-learn.

The test part stays as it is and closed. A fold's own part validates; the others train.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.data.duplicates import with_copies
from trainables.errors import DataError

FEWEST_FOLDS, MOST_FOLDS = 2, 20


@dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation.

    Attributes:
        number: counted from 0.
        folds: how many there are.
        seed: shuffles the examples; that of the split.
    """

    number: int
    folds: int
    seed: int

    @property
    def random_state(self) -> int:
        """The seed as scikit-learn takes it: one made of several may be larger."""
        return self.seed % 2**32


def with_fold(
    indices: Sequence[NDArray[np.int64]],
    y: NDArray[np.int64] | None,
    fold: Fold,
    *,
    first: NDArray[np.int64] | None = None,
) -> list[NDArray[np.int64]]:
    """Return the test, validation and training part of a fold, given those of the search.

    The examples that are not for test, in their order in the source, are dealt by ``StratifiedKFold``, or by ``KFold``
    where the target is a number; shuffled by the seed of the split.

    Args:
        indices: which examples are for test, for validation and for training.
        y: [N] class numbers; None where the target is a number.
        fold: which fold of how many.
        first: [N] the first example with the same content, with which it stays; None where nobody looked.

    Raises:
        DataError: a class has fewer examples than there are folds, or there are too few in all.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    test, val, train = indices
    kept = np.sort(np.concatenate([val, train]))
    members = kept if first is None else kept[first[kept] == kept]
    _check_examples(None if y is None else y[members], len(members), fold.folds)
    if y is None:
        cuts = KFold(fold.folds, shuffle=True, random_state=fold.random_state).split(members)
    else:
        stratified = StratifiedKFold(fold.folds, shuffle=True, random_state=fold.random_state)
        cuts = stratified.split(members, y[members])
    trained, held = (members[part] for part in list(cuts)[fold.number])
    if first is not None:
        trained, held = (np.intersect1d(with_copies(first, part), kept) for part in (trained, held))
    return [test, held, trained]


def with_fold_of_groups(
    indices: Sequence[NDArray[np.int64]], y: NDArray[np.int64] | None, fold: Fold, groups: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Return the parts of a fold of which no group is in two: dealt by ``StratifiedGroupKFold``.

    Args:
        indices: which rows are for test, for validation and for training.
        y: [N] class numbers; None where the target is a number, whose groups are dealt to folds of about one size.
        fold: which fold of how many.
        groups: [N] a number for each group.

    Raises:
        DataError: there are fewer groups than folds, or a class has fewer rows.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    test, val, train = indices
    kept = np.sort(np.concatenate([val, train]))
    own, classes = groups[kept], np.zeros(len(kept), np.int64) if y is None else y[kept]
    found = len(np.unique(own))
    if found < fold.folds:
        raise DataError(f"there are {found} groups that are not for test; use --folds {found}")
    _check_examples(None if y is None else classes, len(kept), fold.folds)
    splitter = StratifiedGroupKFold(fold.folds, shuffle=True, random_state=fold.random_state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a class in fewer groups than folds
        trained, held = (kept[part] for part in list(splitter.split(kept, classes, own))[fold.number])
    return [test, held, trained]


def time_bounds(rows: int, folds: int) -> list[int]:
    """Return after how many of the ``rows``, the earliest first, each validation part begins, by ``TimeSeriesSplit``.

    Raises:
        DataError: they are too few.
    """
    from sklearn.model_selection import TimeSeriesSplit

    if rows <= folds:
        raise DataError(f"there are {rows} rows that are not for test; at least {folds + 1} are needed")
    return [int(held[0]) for _, held in TimeSeriesSplit(folds).split(np.arange(rows))]


def _check_examples(y: NDArray[np.int64] | None, examples: int, folds: int) -> None:
    counts = np.array([examples]) if y is None else np.unique(y, return_counts=True)[1]
    fewest = int(counts.min(initial=examples))
    if fewest >= folds:
        return
    what = "a class has" if y is not None else "there are"
    how = f"use --folds {fewest} or fewer" if fewest >= FEWEST_FOLDS else "too few to be cut into folds"
    raise DataError(f"{what} {fewest} training and validation example(s); {how}")
