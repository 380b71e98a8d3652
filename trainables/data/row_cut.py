"""Which rows of a table are for which part where more than chance decides: groups, time, and files of their own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.data.duplicates import with_copies
from trainables.data.pair_cut import TOO_FEW, draw, with_pair
from trainables.data.parts import TEST_SHARE, VALIDATION_SHARE
from trainables.data.splits import random_split, stratified_split
from trainables.derive import derive
from trainables.errors import DataError

Indices = NDArray[np.int64]

FOLDS = 5
"""Folds into which groups are dealt; one is for test, one for validation."""

LEAST_HISTORY = 0.75
"""Of the training rows that a pair in time could train on, the share that it trains on at least."""


@dataclass(frozen=True)
class RowRules:
    """What decides which part a row of the training file is for.

    Attributes:
        first: [N] the first row of the same group, no two rows of which are in two parts; None without groups.
        times: [N] nothing is trained on that is not earlier than what validates it; None without an order.
        val_rows: how many validation rows a file of their own has; 0 where they are cut from these.
        test_rows: the same of the test rows.
    """

    first: Indices | None = None
    times: NDArray[np.float64] | None = None
    val_rows: int = 0
    test_rows: int = 0


def cut_rows(
    y: NDArray[np.generic], rules: RowRules, *, numeric: bool, seed: int, pair: int | None = None
) -> list[Indices]:
    """Return which rows are for test, for validation and for training; none of a part that has a file of its own.

    In time, the latest rows are for test and those before them for validation; rows of one time stay together, and rows
    whose group comes again in a later part are in none. Otherwise groups are dealt to folds of about the same number of
    rows, each with the classes' proportions as far as that goes (``StratifiedGroupKFold``).

    With the seed of a ``pair``, these are the parts of that re-split: the rows that score it follow the test rows.

    - In time all three come from the search's training part, one after the other: a run trains on all rows up to some
      moment, drawn for the pair, is watched on the next ones and scored on those after them (an expanding window,
      evaluated from a rolling origin: Tashman 2000).
    - Else they are as ``with_pair`` says, with groups for examples; rows of a validation file are never trained on: all
      of them are watched.

    Args:
        y: [N] class numbers, or numbers.
        rules: what decides.
        numeric: whether the target is a number.
        seed: seeds the split.
        pair: seeds a pair.

    Raises:
        DataError: there are too few rows, groups or moments.
    """
    classes = None if numeric else y.astype(np.int64)
    if rules.times is not None:
        parts = _cut_in_time(rules.times, rules)
        return parts if pair is None else _pair_in_time(parts, rules.times, rules, pair)
    if rules.first is not None:
        parts = _cut_groups(rules.first, classes, rules, seed=seed)
    else:
        parts = _cut_at_random(len(y), classes, rules, seed=seed)
    if pair is None:
        return parts
    if not rules.val_rows:
        return with_pair(parts, classes, pair, first=rules.first)
    return _pair_beside_a_file(parts, classes, rules, pair)


def _cut_at_random(rows: int, classes: Indices | None, rules: RowRules, *, seed: int) -> list[Indices]:
    wanted = [round(rows * share) for share in _shares(rules) if share]
    sizes = (*wanted, rows - sum(wanted))
    cut = random_split(rows, sizes, seed=seed) if classes is None else stratified_split(classes, sizes, seed=seed)
    return _in_place(cut, rules)


def _cut_groups(first: Indices, classes: Indices | None, rules: RowRules, *, seed: int) -> list[Indices]:
    from sklearn.model_selection import StratifiedGroupKFold

    groups = len(np.unique(first))
    wanted = sum(share > 0 for share in _shares(rules))
    if not wanted:
        return _in_place([np.arange(len(first))], rules)
    if groups < FOLDS:
        raise DataError(f"--group: {groups} groups are too few to be cut into parts; at least {FOLDS} are needed")
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    y = np.zeros(len(first), np.int64) if classes is None else classes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a class with fewer rows than folds, which is said elsewhere
        dealt = [held for _, held in folds.split(y[:, None], y, first)]
    return _in_place([*dealt[:wanted], np.sort(np.concatenate(dealt[wanted:]))], rules)


def _cut_in_time(times: NDArray[np.float64], rules: RowRules) -> list[Indices]:
    order = np.argsort(times, kind="stable")
    test, val = (round(len(order) * share) for share in _shares(rules))
    ends = [len(order) - test - val, len(order) - test][: (val > 0) + (test > 0)]
    cut = without_later_groups(split_in_time(order, times, ends), rules.first)
    train, *later = cut
    return _in_place([*reversed(later), train], rules)


def _pair_in_time(parts: Sequence[Indices], times: NDArray[np.float64], rules: RowRules, pair: int) -> list[Indices]:
    test, val, train = parts
    order = train[np.argsort(times[train], kind="stable")]
    size = min((len(val) or rules.val_rows) // 2, len(order) // 6)
    free = len(order) - 2 * size
    if size < 1 or free < 1:
        raise DataError(TOO_FEW.format(train=len(train), val=len(val) or rules.val_rows))
    least = max(1, int(np.ceil(LEAST_HISTORY * free)))
    start = int(np.random.default_rng(derive(pair, "origin")).integers(least, free + 1))
    window = order[: start + 2 * size]
    cut = split_in_time(window, times, [start, start + size])
    trained, watched, scored = without_later_groups(cut, rules.first)
    return [np.concatenate([test, scored]), watched, np.sort(trained)]


def _pair_beside_a_file(parts: Sequence[Indices], classes: Indices | None, rules: RowRules, pair: int) -> list[Indices]:
    """Return a pair of which the rows of a file are watched, and never trained on."""
    test, val, train = parts
    own = train if rules.first is None else train[rules.first[train] == train]
    size = round(len(own) * min(0.5, rules.val_rows / 2 / len(train)))
    if not 1 <= size < len(own):
        raise DataError(TOO_FEW.format(train=len(own), val=rules.val_rows))
    scored = draw(own, classes, size, seed=derive(pair, "scored"))
    if rules.first is not None:
        scored = np.intersect1d(with_copies(rules.first, scored), train)
    return [np.concatenate([test, scored]), val, np.setdiff1d(train, scored)]


def _shares(rules: RowRules) -> tuple[float, float]:
    """Return the shares of test and of validation; 0 for what has a file."""
    return (0.0 if rules.test_rows else TEST_SHARE), (0.0 if rules.val_rows else VALIDATION_SHARE)


def _in_place(cut: Sequence[Indices], rules: RowRules) -> list[Indices]:
    """Return test, validation and train, given those of them that were cut, in this order."""
    found = list(cut)
    none = np.arange(0)
    test = none if rules.test_rows else np.sort(found.pop(0))
    val = none if rules.val_rows else np.sort(found.pop(0))
    return [test, val, np.sort(found[0])]


def split_in_time(order: Indices, times: NDArray[np.float64], ends: Sequence[int]) -> list[Indices]:
    """Cut rows that are in order near the positions ``ends``, nowhere between two rows of one time."""
    changes = np.flatnonzero(np.diff(times[order])) + 1
    chosen: list[int] = []
    for end in ends:
        later = changes[changes > (chosen[-1] if chosen else 0)]
        if not len(later):
            moments = len(changes) + 1
            raise DataError(f"--time: {moments} different time(s) are too few to cut parts from, one after the other")
        chosen.append(int(later[np.abs(later - end).argmin()]))
    return np.split(order, chosen)


def without_later_groups(parts: Sequence[Indices], first: Indices | None) -> list[Indices]:
    """Return parts, the earliest first, without the rows whose group comes again in a later one."""
    if first is None:
        return list(parts)
    kept: list[Indices] = []
    later = np.arange(0)
    for part in reversed(parts):
        kept.append(part[~np.isin(first[part], later)])
        later = np.union1d(later, first[part])
    if not all(len(part) for part in kept):
        raise DataError("--time and --group: every group of a part comes again in a later one; leave one of them out")
    return kept[::-1]
