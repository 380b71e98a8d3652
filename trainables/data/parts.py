"""A data set cut into its three parts, and how the parts are standardised: by the training part alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainables.data.splits import Arrays, TargetScale, random_split, stratified_split

VALIDATION_SHARE = 0.2
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Parts:
    """Train, validation and test examples.

    Attributes:
        scale: of a numeric target; None for classes.
        labels: what the classes are called, in the order of their numbers; empty where they are numbers only.
        notes: what a user should know of how the data were read, a line each.
    """

    train: Arrays
    val: Arrays
    test: Arrays
    scale: TargetScale | None = None
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def cut(x: NDArray[np.float32], y: NDArray[np.generic], *, numeric: bool, seed: int) -> Parts:
    """Split examples 60 : 20 : 20; classes with their proportions, numbers at random.

    Args:
        x: [N, ...].
        y: [N] class numbers, or the target in its own units where ``numeric``.
        numeric: whether the target is a number.
        seed: of the split.
    """
    test, val = (round(len(y) * share) for share in (TEST_SHARE, VALIDATION_SHARE))
    sizes = (test, val, len(y) - test - val)
    if numeric:
        indices = random_split(len(y), sizes, seed=seed)
    else:
        indices = stratified_split(y.astype(np.int64), sizes, seed=seed)
    kind = np.float32 if numeric else np.int64
    held_out, validation, training = (Arrays(x[i], y[i].astype(kind)) for i in indices)
    return Parts(training, validation, held_out)


def centred_pixels(parts: Parts) -> Parts:
    """Shift each pixel, in place, by its mean over the training part; scale all by that part's deviation over all.

    A pixel that never changes becomes exactly 0. Left at another value it would act as a second bias,
    whose gradient under batch norm is rounding noise, which AdamW scales up to whole steps.
    """
    x = parts.train.x
    return _shifted(parts, x.mean(axis=0, dtype=np.float64), x.std(dtype=np.float64))


def standard_columns(parts: Parts) -> Parts:
    """Give every column, in place, mean 0 and deviation 1 over the training part; a constant one becomes 0."""
    x = parts.train.x
    deviation = x.std(axis=0, dtype=np.float64)
    return _shifted(parts, x.mean(axis=0, dtype=np.float64), np.where(deviation > 0, deviation, 1.0))


def standard_target(parts: Parts) -> Parts:
    """Give a numeric target mean 0 and deviation 1 over the training part, and keep its scale."""
    y = parts.train.y
    scale = TargetScale(float(y.mean(dtype=np.float64)), float(y.std(dtype=np.float64)) or 1.0)
    scaled = (
        Arrays(p.x, ((p.y - scale.mean) / scale.deviation).astype(np.float32))
        for p in (parts.train, parts.val, parts.test)
    )
    train, val, test = scaled
    return replace(parts, train=train, val=val, test=test, scale=scale)


def _shifted(parts: Parts, mean: NDArray[np.float64], deviation: NDArray[np.float64] | np.float64) -> Parts:
    """Standardise the parts where they lie: a copy of a large set would double the memory of a search."""
    for x in (parts.train.x, parts.val.x, parts.test.x):
        x -= mean.astype(np.float32)
        x /= np.float32(deviation)
    return parts
