"""How a pair cuts train and validation anew: what scores it trained the trials of the search, and chose nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.data.duplicates import with_copies
from trainables.data.splits import random_split, stratified_split
from trainables.derive import derive
from trainables.errors import DataError

TOO_FEW = "{train} training and {val} validation examples are too few for a re-split: it needs two of each"


def with_pair(
    indices: Sequence[NDArray[np.int64]],
    y: NDArray[np.int64] | None,
    pair: int | None,
    *,
    first: NDArray[np.int64] | None = None,
) -> list[NDArray[np.int64]]:
    """Return the test, validation and training part of a pair, given those of the search.

    Half of the validation part stays what a run watches while it trains: it chooses the epoch. The other half is
    trained on, and as many examples of the training part as it has are what the run is scored on: no configuration
    and no epoch was chosen by them. They follow the test part, which stays as it is, in the first of the three. So
    the training part is as large as that of the search.

    Args:
        indices: which examples are for test, for validation and for training.
        y: [N] class numbers, whose proportions every part keeps as far as it can; None where the target is a number.
        pair: seeds the cut; None for the parts of the search.
        first: [N] the first example with the same content, all of which stay together; None where nobody looked.

    Raises:
        DataError: there are too few examples for a re-split.
    """
    test, val, train = indices
    if pair is None:
        return [test, val, train]
    leads = np.arange(_end(indices)) if first is None else first
    own_val, own_train = (part[leads[part] == part] for part in (val, train))
    scored = draw(own_train, y, min(len(own_val), len(own_train)) // 2, seed=derive(pair, "scored"))
    joined = draw(own_val, y, len(scored), seed=derive(pair, "joined"))
    watched, rest = np.setdiff1d(own_val, joined), np.setdiff1d(own_train, scored)
    if not len(scored) or not len(watched):
        raise DataError(TOO_FEW.format(train=len(train), val=len(val)))
    parts = [scored, watched, np.concatenate([rest, joined])]
    if first is not None:
        kept = np.concatenate([val, train])
        parts = [np.intersect1d(with_copies(first, part), kept) for part in parts]
    return [np.concatenate([test, parts[0]]), parts[1], np.sort(parts[2])]


def draw(members: NDArray[np.int64], y: NDArray[np.int64] | None, size: int, *, seed: int) -> NDArray[np.int64]:
    """Return ``size`` of ``members``, drawn with the proportions of their classes where each has enough."""
    if y is not None:
        try:
            (chosen,) = stratified_split(y[members], (size,), seed=seed % 2**32)
            return members[chosen]
        except DataError:
            pass  # a class with one example, or more classes than examples to draw
    (chosen,) = random_split(len(members), (size,), seed=seed)
    return members[chosen]


def _end(indices: Sequence[NDArray[np.int64]]) -> int:
    return 1 + max(int(part.max(initial=-1)) for part in indices)
