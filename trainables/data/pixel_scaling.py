"""Standardises decoded images by their training part."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainables.data.image_preprocessing import ImagePreprocessing
from trainables.data.memory import allocate
from trainables.data.pixel_file import PixelFile
from trainables.data.preprocessing import Standardisation

BLOCK_PIXELS = 1 << 22
"""Numbers that are standardised at once."""


def encode_part(pixels: NDArray[np.uint8], part: NDArray[np.int64], made: ImagePreprocessing) -> NDArray[np.float32]:
    """Return the images of a part as float32.

    Args:
        pixels: [N, channels, height, width].
        part: the numbers of its images.
        made: how they become inputs.
    """
    x = allocate((len(part), *pixels.shape[1:]), np.float32)
    start = 0
    for block in _blocks(pixels, part):
        x[start : start + len(block)] = made.encode(pixels[block])
        start += len(block)
    return x


def copy_part(pixels: PixelFile, part: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the images of a part as bytes: in memory, or in a file where they are large."""
    x = allocate((len(part), *pixels.shape[1:]), np.uint8)
    start = 0
    for block in _blocks(pixels, part):
        x[start : start + len(block)] = pixels[block]
        start += len(block)
    return x


def standardisation_of(pixels: NDArray[np.uint8] | PixelFile, train: NDArray[np.int64]) -> Standardisation:
    """Return the mean of each pixel and the deviation of each channel (1 for a constant one) over the training part.

    Each pixel of each channel is shifted by its mean, so that one that never changes is exactly 0 (see
    ``centre_pixels``); each channel is scaled by its own deviation, because channels differ in contrast, while pixels
    of a channel keep theirs among each other.

    They come from sums of whole numbers: the same, bit for bit, however the images are cut into blocks.

    Args:
        pixels: [N, channels, height, width].
        train: the numbers of the images in the training part.
    """
    sums = np.zeros(pixels.shape[1:], np.int64)
    squares = np.zeros(pixels.shape[1], np.int64)
    for block in _blocks(pixels, train):
        values = pixels[block]
        sums += values.sum(axis=0, dtype=np.int64)
        squares += np.square(values, dtype=np.uint32).sum(axis=(0, 2, 3), dtype=np.int64)
    n = len(train) * pixels.shape[2] * pixels.shape[3]
    totals = sums.sum(axis=(1, 2)).tolist()
    deviation = [math.sqrt(n * square - total**2) / n for square, total in zip(squares.tolist(), totals, strict=True)]
    scale = np.array([d or 1.0 for d in deviation], np.float32)[:, None, None]
    return Standardisation((sums / len(train)).astype(np.float32), scale)


def _blocks(pixels: NDArray[np.uint8] | PixelFile, indices: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    size = max(1, BLOCK_PIXELS // math.prod(pixels.shape[1:]))
    return (indices[start : start + size] for start in range(0, len(indices), size))
