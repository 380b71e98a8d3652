"""Standardises decoded images by their training part."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainables.data.memory import allocate
from trainables.data.splits import Arrays

BLOCK_PIXELS = 1 << 22
"""Numbers that are standardised at once."""


def standardised(
    pixels: NDArray[np.uint8], y: NDArray[np.int64], indices: list[NDArray[np.int64]]
) -> tuple[Arrays, ...]:
    """Return the parts as float32.

    Each pixel of each channel is shifted by its mean over the training part, so that one that never changes is exactly
    0 (see ``centre_pixels``); each channel is scaled by its own deviation over that part, because channels differ in
    contrast, while pixels of a channel keep theirs among each other.

    Args:
        pixels: [N, channels, height, width].
        y: [N] class numbers.
        indices: which images are in each part; the training part's come first.
    """
    mean, scale = _statistics(pixels, indices[0])
    arrays = []
    for part in indices:
        x = allocate((len(part), *pixels.shape[1:]), np.float32)
        start = 0
        for block in _blocks(pixels, part):
            x[start : start + len(block)] = (pixels[block] - mean) / scale
            start += len(block)
        arrays.append(Arrays(x, y[part]))
    return tuple(arrays)


def _statistics(pixels: NDArray[np.uint8], train: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean of each pixel and the deviation of each channel (1 for a constant one).

    They come from sums of whole numbers: the same, bit for bit, however the images are cut into blocks.
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
    return (sums / len(train)).astype(np.float32), scale


def _blocks(pixels: NDArray[np.uint8], indices: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    size = max(1, BLOCK_PIXELS // math.prod(pixels.shape[1:]))
    return (indices[start : start + size] for start in range(0, len(indices), size))
