"""Train, validation and test parts of a data set, as arrays, with a fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Arrays:
    """Examples and their labels.

    Attributes:
        x: [N, ...] float32.
        y: [N] int64 class numbers.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Splits:
    """What search code may see: train and validation. The test part is opened by ``load_test`` alone.

    Attributes:
        name: of the data set.
        classes: C.
        test_examples: how many examples are held out.
        fingerprint: sha256 over the arrays of all three parts, 64 hexadecimal digits.
    """

    name: str
    train: Arrays
    val: Arrays
    classes: int
    test_examples: int
    fingerprint: str


def fingerprint(*parts: Arrays) -> str:
    """Return the sha256 over shapes, types and bytes of the parts, in order."""
    digest = hashlib.sha256()
    for part in parts:
        for array in (part.x, part.y):
            digest.update(f"{array.shape}{array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def stratified_split(y: NDArray[np.int64], sizes: tuple[int, ...], *, seed: int) -> list[NDArray[np.int64]]:
    """Split the indices of ``y`` into parts of the given sizes, each with the classes' proportions.

    Args:
        y: [N] labels.
        sizes: of the parts; together at most N. What is left over is in no part.
        seed: the split depends on it and on ``y`` alone.

    Returns:
        For each part its indices, sorted.
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    rest = np.arange(len(y))
    parts = []
    for i, size in enumerate(sizes):
        if size == len(rest):
            taken, rest = rest, rest[:0]
        else:
            splitter = StratifiedShuffleSplit(1, train_size=size, random_state=(seed + i) % 2**32)
            chosen, _ = next(splitter.split(rest[:, None], y[rest]))
            taken = rest[np.sort(chosen)]
            rest = np.setdiff1d(rest, taken, assume_unique=True)
        parts.append(taken)
    return parts
