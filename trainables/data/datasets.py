"""The named data sets: scikit-learn's digits, and MNIST and Fashion-MNIST through torchvision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from trainables.data.splits import Arrays, Splits, fingerprint, stratified_split
from trainables.errors import DataError

VALIDATION_SHARE = 0.2
TEST_SHARE = 0.2
IMAGE_VALIDATION_EXAMPLES = 10_000


@dataclass(frozen=True)
class DataSpec:
    """Which examples, and how they are split.

    Attributes:
        name: a key of ``DATASETS``.
        data_dir: where torchvision's sets lie; unused by the sets that scikit-learn ships.
        download: allow torchvision to download into ``data_dir``.
        train_examples: use only this many training examples (stratified); None for all.
        seed: of the splits.
    """

    name: str = "digits"
    data_dir: str | None = None
    download: bool = False
    train_examples: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class _Parts:
    train: Arrays
    val: Arrays
    test: Arrays


def load_splits(spec: DataSpec) -> Splits:
    """Return the train and validation parts.

    Raises:
        DataError: unknown name, absent files, or too few examples.
    """
    parts = _load(spec)
    return Splits(
        name=spec.name,
        train=parts.train,
        val=parts.val,
        classes=int(parts.train.y.max()) + 1,
        test_examples=len(parts.test),
        fingerprint=fingerprint(parts.train, parts.val, parts.test),
    )


def load_test(spec: DataSpec) -> Arrays:
    """Return the held-out part. Only a confirmation opens it, once, after the search."""
    return _load(spec).test


@lru_cache(maxsize=2)
def _load(spec: DataSpec) -> _Parts:
    if spec.name not in DATASETS:
        raise DataError(f"unknown data set {spec.name!r}; known: {', '.join(DATASETS)}")
    parts = DATASETS[spec.name](spec)
    if spec.train_examples is None:
        return parts
    if not parts.train.y.max() < spec.train_examples <= len(parts.train):
        raise DataError(
            f"train_examples must be between {parts.train.y.max() + 1} and {len(parts.train)} "
            f"for {spec.name}, got {spec.train_examples}"
        )
    (kept,) = stratified_split(parts.train.y, (spec.train_examples,), seed=spec.seed + 2)
    return _Parts(Arrays(parts.train.x[kept], parts.train.y[kept]), parts.val, parts.test)


def _digits(spec: DataSpec) -> _Parts:
    """1,797 handwritten digits of 8x8 pixels, shipped with scikit-learn (Alpaydin, Kaynak 1998)."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    pixels = (x / 16.0).astype(np.float32)
    labels = y.astype(np.int64)
    test, val = (round(len(y) * share) for share in (TEST_SHARE, VALIDATION_SHARE))
    indices = stratified_split(labels, (test, val, len(y) - test - val), seed=spec.seed)
    held_out, validation, training = (Arrays(pixels[i], labels[i]) for i in indices)
    return _standardised(training, validation, held_out)


def _torchvision(class_name: str) -> Callable[[DataSpec], _Parts]:
    def load(spec: DataSpec) -> _Parts:
        from torchvision import datasets

        if spec.data_dir is None:
            raise DataError(
                f"data set {spec.name!r} needs --data-dir FOLDER (files as torchvision lays them out in "
                f"FOLDER/{class_name}/raw), or --download to fetch it there"
            )
        try:
            sets = [
                getattr(datasets, class_name)(spec.data_dir, train=train, download=spec.download)
                for train in (True, False)
            ]
        except Exception as error:  # torchvision's readers assert, and raise whatever damaged bytes lead them to
            where = Path(spec.data_dir).absolute() / class_name / "raw"
            cause = str(error) or type(error).__name__
            if spec.download:
                raise DataError(f"data set {spec.name!r} is not in {where} ({cause}); the download failed") from None
            if "not found" in cause:
                raise DataError(f"data set {spec.name!r} is not in {where} ({cause}); --download fetches it") from None
            raise DataError(
                f"data set {spec.name!r} in {where} cannot be read ({cause}); remove it, and --download fetches it anew"
            ) from None
        full, test = (
            Arrays((s.data.numpy() / 255.0).astype(np.float32).reshape(len(s.data), -1), s.targets.numpy())
            for s in sets
        )
        size = IMAGE_VALIDATION_EXAMPLES
        val, train = stratified_split(full.y, (size, len(full) - size), seed=spec.seed)
        return _standardised(Arrays(full.x[train], full.y[train]), Arrays(full.x[val], full.y[val]), test)

    return load


def _standardised(train: Arrays, val: Arrays, test: Arrays) -> _Parts:
    """Shift each pixel by its mean over the training part; scale all by that part's deviation over all.

    A pixel that never changes becomes exactly 0. Left at another value it would act as a second bias,
    whose gradient under batch norm is rounding noise, which AdamW scales up to whole steps.
    """
    mean, deviation = train.x.mean(axis=0, dtype=np.float64), train.x.std(dtype=np.float64)
    return _Parts(*(Arrays(((p.x - mean) / deviation).astype(np.float32), p.y) for p in (train, val, test)))


DATASETS: dict[str, Callable[[DataSpec], _Parts]] = {
    "digits": _digits,
    "mnist": _torchvision("MNIST"),
    "fashion_mnist": _torchvision("FashionMNIST"),
}
"""Every named data set and its loader."""
