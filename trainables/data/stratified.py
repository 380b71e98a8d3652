"""Examples drawn with the classes' proportions, index for index as scikit-learn draws them, without importing it.

scikit-learn takes a second to import, with SciPy, which a search has no other use for before it trains.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainables.errors import DataError


def draw_stratified(y: NDArray[np.int64], size: int, *, seed: int) -> NDArray[np.int64]:
    """Draw examples so that each class has its share of them, as far as whole numbers allow.

    It draws what ``sklearn.model_selection.StratifiedShuffleSplit(1, train_size=size, random_state=seed)`` does.

    Args:
        y: [N] labels.
        size: how many are drawn, of N at most N - 1.
        seed: 0 to 2**32 - 1.

    Returns:
        [size] their indices, sorted.

    Raises:
        DataError: what is drawn, or what is left, could not have an example of each class.
    """
    _, classes, counts = np.unique(y, return_inverse=True, return_counts=True)
    if (why := _fault(len(y), size, counts)) is not None:
        raise DataError(f"{len(y)} examples cannot be split into {size} and the rest: {why}")
    rng = np.random.RandomState(seed)  # not a Generator: the stream is scikit-learn's
    of_a_class = np.split(np.argsort(classes, kind="stable"), np.cumsum(counts)[:-1])
    shares = _shares(counts, size, rng)
    _shares(counts - shares, len(y) - size, rng)  # of the rest; it draws from the same stream
    drawn = [indices[rng.permutation(len(indices))][:share] for indices, share in zip(of_a_class, shares, strict=True)]
    return np.sort(np.concatenate(drawn))


def _fault(n: int, size: int, counts: NDArray[np.int64]) -> str | None:
    """Return why ``size`` of ``n`` examples cannot be drawn by class; None if they can."""
    if not 0 < size < n:
        return "one of the two would be empty"
    if counts.min() < 2:
        return f"{np.count_nonzero(counts < 2)} of {len(counts)} classes have one example, and each needs two"
    if min(size, n - size) < len(counts):
        return f"one of the two would have fewer examples than there are classes, {len(counts)}"
    return None


def _shares(counts: NDArray[np.int64], size: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Return how many of ``size`` draws each class has: in proportion, rounded down.

    What is left goes to the largest remainders, of equal ones by chance.

    Args:
        counts: [C] examples of each class.
        size: how many are drawn in all.
        rng: breaks the ties.
    """
    exact = counts / counts.sum() * size
    shares: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    left = int(size - shares.sum())
    remainders = exact - shares
    for remainder in np.unique(remainders)[::-1]:
        if left <= 0:
            break
        equal = np.flatnonzero(remainders == remainder)
        chosen = rng.choice(equal, size=min(len(equal), left), replace=False)
        shares[chosen] += 1
        left -= len(chosen)
    return shares
