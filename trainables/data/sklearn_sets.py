"""The data sets that scikit-learn ships: they need no download."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trainables.data.parts import Parts, centre_pixels, cut_into_parts, standardise_columns, standardise_target


def digits(seed: int, *, pixels: bool = False) -> Parts:
    """Return 1,797 handwritten digits of 8x8 pixels (Alpaydin, Kaynak 1998), as images of one channel.

    Args:
        seed: seeds the split.
        pixels: return bytes, 0 to 255, instead of centred numbers.
    """
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    images = x.reshape(-1, 1, 8, 8)
    if pixels:
        return cut_into_parts(np.rint(images * (255 / 16)).astype(np.uint8), y, numeric=False, seed=seed)
    return centre_pixels(cut_into_parts((images / 16.0).astype(np.float32), y, numeric=False, seed=seed))


def table(loader: str) -> Callable[[int], Parts]:
    """Return what loads one of scikit-learn's tables with classes, such as ``load_wine``."""

    def load(seed: int) -> Parts:
        from sklearn import datasets

        x, y = getattr(datasets, loader)(return_X_y=True)
        return standardise_columns(cut_into_parts(x.astype(np.float32), y, numeric=False, seed=seed))

    return load


def diabetes(seed: int) -> Parts:
    """Return 442 patients, ten measurements each, and how far the disease went a year on (Efron et al. 2004)."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True, scaled=False)
    return standardise_target(standardise_columns(cut_into_parts(x.astype(np.float32), y, numeric=True, seed=seed)))
