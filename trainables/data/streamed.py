"""Inputs that stay outside of memory: read, and made what a model takes, a batch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

BLOCK_BYTES = 1 << 24
"""Bytes of inputs that are in memory at once where all of them are passed over."""


class Streamed(ABC):
    """Inputs of one part  # [N, ...] float32, of which a batch at a time is in memory.

    It has what of an array a trial asks for, ``len``, ``shape``, ``dtype`` and ``x[indices]``, which reads these
    examples into an array; it is never turned into one by itself.

    Attributes:
        in_turn: whether one trial of a process may read at a time.
    """

    in_turn: ClassVar[bool] = False
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.float32)

    def __init__(self, indices: Indices) -> None:
        self.indices = indices

    @property
    @abstractmethod
    def example_shape(self) -> tuple[int, ...]:
        """The shape of one example."""

    @abstractmethod
    def at(self, indices: Indices | slice) -> Streamed:
        """Return some of the examples, not read."""

    @abstractmethod
    def batches(self, batches: Sequence[Indices], *, seed: int) -> Iterator[NDArray[np.float32]]:
        """Yield the inputs of each of ``batches``, in order.

        Args:
            batches: of each the numbers of its examples, from 0.
            seed: of what is drawn while they are read (a random transform): the same for the same numbers and seed.
        """

    @abstractmethod
    def content(self) -> Iterator[bytes | memoryview]:
        """Yield bytes that are others where the examples are others, for a fingerprint."""

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, indices: Indices | slice) -> NDArray[np.float32]:
        chosen = np.arange(len(self))[indices]
        return next(self.batches([chosen], seed=0))

    def __array__(self, *_: object, **__: object) -> NDArray[Any]:
        raise TypeError("streamed examples are not one array: x[indices] reads some of them")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that an array of all examples would have."""
        return (len(self), *self.example_shape)

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return self.indices.nbytes

    def in_order(self, size: int | None = None) -> Iterator[NDArray[np.float32]]:
        """Yield all inputs in their order, ``size`` examples at a time, by default as many as are ``BLOCK_BYTES``."""
        if size is None:
            size = max(1, BLOCK_BYTES // max(1, 4 * int(np.prod(self.example_shape))))
        numbers = np.arange(len(self))
        yield from self.batches([numbers[start : start + size] for start in range(0, len(self), size)], seed=0)
