"""Decoded pixels in a file, of which the images that are asked for are read, and no others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trainables.errors import DataError


class PixelFile:
    """Images in a file  # [N, channels, size, size] uint8, indexed as an array is.

    They are read with plain reads: through a memory map the kernel maps whole runs of pages around each image, which
    count as memory of this process, and a file that is cut short ends it. What was read lately stays in the kernel's
    cache either way. It is pickled as its path: a process that unpickles it must see the file.

    Args:
        path: of the file, which holds three channels an image.
        images: N.
        size: width and height, in pixels.
        channels: 3, or 1 where all images are grey: the first is given.

    Raises:
        DataError: it is not there, or of another size.
    """

    def __init__(self, path: Path, *, images: int, size: int, channels: int = 3) -> None:
        self.path, self._images, self._size = path, images, size
        self.shape = (images, channels, size, size)
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DataError(
                f"{path}, decoded images, cannot be read here ({error.strerror}); on several machines let "
                "XDG_CACHE_HOME name a folder that all of them see"
            ) from None
        held = os.fstat(self._file.fileno()).st_size
        if held != images * self.bytes_each:
            self._file.close()
            raise DataError(f"{path} is damaged: it has {held:,} bytes, not {images * self.bytes_each:,}")

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    @property
    def bytes_each(self) -> int:
        """Bytes of an image in the file."""
        return 3 * self._size * self._size

    def with_channels(self, channels: int) -> Self:
        """Return the same images with all three of their channels, or the first alone."""
        return type(self)(self.path, images=self._images, size=self._size, channels=channels)

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        _, channels, height, width = self.shape
        found = np.empty((len(indices), channels, height, width), np.uint8)
        size = channels * height * width
        for image, number in zip(found.reshape(len(indices), size), indices.tolist(), strict=True):
            if os.preadv(self._file.fileno(), [image.data], number * self.bytes_each) != size:
                raise DataError(f"{self.path} is damaged: it ends before image {number:,}")
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self.path, self._images, self._size, self.shape[1])


def _opened(path: Path, images: int, size: int, channels: int) -> PixelFile:
    return PixelFile(path, images=images, size=size, channels=channels)
