"""The data sets that scikit-learn ships: they need no download."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.data.image_preprocessing import ImagePreprocessing
from trainables.data.number_preprocessing import NumberPreprocessing
from trainables.data.parts import Parts, centre_pixels, cut_into_parts, standardise_columns, standardise_target
from trainables.data.recut import Recut

DIGITS_LARGEST = 16
"""The largest value of a pixel of the digits."""


def digits(seed: int, *, pixels: bool = False, recut: Recut | None = None) -> Parts:
    """Return 1,797 handwritten digits of 8x8 pixels (Alpaydin, Kaynak 1998), as images of one channel.

    Args:
        seed: seeds the split.
        pixels: return bytes, 0 to 255, instead of centred numbers.
        recut: a pair or a fold, where not the parts of the search are wanted; see ``cut_anew``.
    """
    x, y = read_digits()
    raw = ImagePreprocessing((1, 8, 8), largest=DIGITS_LARGEST, unit=DIGITS_LARGEST)
    images = x.reshape(-1, *raw.shape)
    if pixels:
        return replace(cut_into_parts(raw.encode(images), y, numeric=False, seed=seed, recut=recut), preprocessing=raw)
    parts = cut_into_parts((images / DIGITS_LARGEST).astype(np.float32), y, numeric=False, seed=seed, recut=recut)
    return replace(parts, preprocessing=replace(raw, standardisation=centre_pixels(parts)))


def read_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the digits' pixels [1797, 64], 0 to 16, and their numbers [1797], as ``load_digits`` of scikit-learn does.

    The file that it ships is read without importing scikit-learn, which takes a second.
    """
    spec = find_spec("sklearn")
    assert spec is not None and spec.origin is not None, "it is one of our requirements"
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    rows = np.loadtxt(file, delimiter=",")
    return rows[:, :-1], rows[:, -1].astype(np.int64)


def table(loader: str) -> Callable[[int, Recut | None], Parts]:
    """Return what loads one of scikit-learn's tables with classes, such as ``load_wine``."""

    def load(seed: int, recut: Recut | None) -> Parts:
        from sklearn import datasets

        found = getattr(datasets, loader)()
        parts = cut_into_parts(found.data.astype(np.float32), found.target, numeric=False, seed=seed, recut=recut)
        names = tuple(map(str, found.feature_names))
        return replace(parts, preprocessing=NumberPreprocessing(names, standardise_columns(parts)))

    return load


def diabetes(seed: int, recut: Recut | None = None) -> Parts:
    """Return 442 patients, ten measurements each, and how far the disease went a year on (Efron et al. 2004)."""
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    parts = cut_into_parts(found.data.astype(np.float32), found.target, numeric=True, seed=seed, recut=recut)
    made = NumberPreprocessing(tuple(found.feature_names), standardise_columns(parts))
    return replace(standardise_target(parts), preprocessing=made)
