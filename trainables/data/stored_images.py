"""The images of a part, read from a file of decoded pixels and standardised a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.data.image_preprocessing import ImagePreprocessing
from trainables.data.pixel_file import PixelFile
from trainables.data.streamed import Indices, Streamed


class StoredImages(Streamed):
    """Images of a file, standardised as those that are held in memory are, bit for bit.

    Args:
        pixels: all images.
        indices: the numbers of those of this part.
        made: how pixels become inputs.
    """

    def __init__(self, pixels: PixelFile, indices: Indices, made: ImagePreprocessing) -> None:
        super().__init__(indices)
        self._pixels, self._made = pixels, made

    @property
    def example_shape(self) -> tuple[int, ...]:
        """[channels, height, width]."""
        return self._pixels.shape[1:]

    def at(self, indices: Indices | slice) -> StoredImages:
        """Return some of the images, not read."""
        return StoredImages(self._pixels, self.indices[indices], self._made)

    def batches(self, batches: Sequence[Indices], *, seed: int) -> Iterator[NDArray[np.float32]]:
        """Yield the images of each batch; nothing is drawn, whatever the ``seed``."""
        for numbers in batches:
            yield self._made.encode(self._pixels[self.indices[numbers]])

    def content(self) -> Iterator[memoryview]:
        """Yield the inputs, as an array of all of them would hold them."""
        for block in self.in_order():
            yield block.data.cast("B")
