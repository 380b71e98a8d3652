"""The training and the validation part, cut otherwise than the search cuts them: for a pair, or for a fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trainables.data.fold_cut import Fold, with_fold
from trainables.data.pair_cut import with_pair

Recut: TypeAlias = "int | Fold"
"""The seed of a pair (see ``with_pair``), or a fold (see ``with_fold``)."""


def cut_anew(
    indices: Sequence[NDArray[np.int64]],
    y: NDArray[np.int64] | None,
    recut: Recut | None,
    *,
    first: NDArray[np.int64] | None = None,
) -> list[NDArray[np.int64]]:
    """Return the test, validation and training part that ``recut`` asks for, given those of the search.

    Args:
        indices: which examples are for test, for validation and for training.
        y: [N] class numbers; None where the target is a number.
        recut: a pair, or a fold; None for the parts of the search.
        first: [N] the first example with the same content, with which it stays; None where nobody looked.

    Raises:
        DataError: there are too few examples.
    """
    if isinstance(recut, Fold):
        return with_fold(indices, y, recut, first=first)
    return with_pair(indices, y, recut, first=first)
