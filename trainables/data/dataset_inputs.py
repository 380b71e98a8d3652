"""The inputs of a part of a user's datasets, read a batch at a time and standardised as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trainables.data.dataset_source import DatasetSource
from trainables.data.preprocessing import Standardisation
from trainables.data.streamed import Indices, Streamed


class DatasetInputs(Streamed):
    """Some of the examples of a source.

    Args:
        source: reads them.
        indices: their numbers.
        standardisation: what is done to each.
        identity: what tells these data from others.
    """

    in_turn: ClassVar[bool] = True  # reading seeds the global generators, which are one for all threads

    def __init__(
        self, source: DatasetSource, indices: Indices, standardisation: Standardisation, *, identity: str
    ) -> None:
        super().__init__(indices)
        self._source, self._standardisation, self._identity = source, standardisation, identity

    @property
    def example_shape(self) -> tuple[int, ...]:
        """[D], or [channels, height, width]."""
        return tuple(self._standardisation.mean.shape)

    def at(self, indices: Indices | slice) -> DatasetInputs:
        """Return some of the examples, not read."""
        return DatasetInputs(self._source, self.indices[indices], self._standardisation, identity=self._identity)

    def batches(self, batches: Sequence[Indices], *, seed: int) -> Iterator[NDArray[np.float32]]:
        """Yield the inputs of each batch, in order."""
        for batch in self._source.read([self.indices[numbers] for numbers in batches], seed=seed):
            x: NDArray[np.float32] = batch.x.numpy()
            self._standardisation.apply_in_place(x)
            yield x

    def content(self) -> Iterator[bytes]:
        """Yield what tells the data from others, which examples these are, and how they are standardised."""
        yield self._identity.encode()
        for array in (self.indices, self._standardisation.mean, self._standardisation.deviation):
            yield array.tobytes()
