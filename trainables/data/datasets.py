"""The data sets by name, and the one place where a declaration becomes examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from trainables.data import small, torchvision_sets
from trainables.data.parts import Parts
from trainables.data.splits import Arrays, Splits, fingerprint, random_split, stratified_split
from trainables.errors import DataError
from trainables.task import Task


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
class DataSet:
    """A named data set.

    Attributes:
        load: returns its parts for a declaration.
        task: what is learned from it.
        images: whether its examples are images  # [channels, height, width].
    """

    load: Callable[[DataSpec], Parts]
    task: Task = Task.CLASSIFICATION
    images: bool = False


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
        classes=int(parts.train.y.max()) + 1 if parts.scale is None else 0,
        test_examples=len(parts.test),
        fingerprint=fingerprint(parts.train, parts.val, parts.test),
        scale=parts.scale,
        labels=parts.labels,
        notes=parts.notes,
    )


def load_test(spec: DataSpec) -> Arrays:
    """Return the held-out part. Only a confirmation opens it, once, after the search."""
    return _load(spec).test


@lru_cache(maxsize=2)
def _load(spec: DataSpec) -> Parts:
    if spec.name not in DATASETS:
        raise DataError(f"unknown data set {spec.name!r}; known: {', '.join(DATASETS)}")
    parts = DATASETS[spec.name].load(spec)
    return parts if spec.train_examples is None else _fewer(parts, spec, spec.train_examples)


def _fewer(parts: Parts, spec: DataSpec, examples: int) -> Parts:
    train, seed = parts.train, spec.seed + 2
    fewest = 2 if parts.scale is not None else int(train.y.max()) + 1
    if not fewest <= examples <= len(train):
        raise DataError(f"train_examples must be between {fewest} and {len(train)} for {spec.name}, got {examples}")
    if parts.scale is None:
        (kept,) = stratified_split(train.y, (examples,), seed=seed)
    else:
        (kept,) = random_split(len(train), (examples,), seed=seed)
    return replace(parts, train=Arrays(train.x[kept], train.y[kept]))


def _shipped(load: Callable[[int], Parts], *, task: Task = Task.CLASSIFICATION, images: bool = False) -> DataSet:
    return DataSet(lambda spec: load(spec.seed), task, images)


def _torchvision(name: str, class_name: str) -> DataSet:
    def load(spec: DataSpec) -> Parts:
        return torchvision_sets.load(name, class_name, spec.data_dir, download=spec.download, seed=spec.seed)

    return DataSet(load, images=True)


DATASETS: dict[str, DataSet] = {
    "digits": _shipped(small.digits, images=True),
    "mnist": _torchvision("mnist", "MNIST"),
    "fashion_mnist": _torchvision("fashion_mnist", "FashionMNIST"),
    "iris": _shipped(small.table("load_iris")),
    "wine": _shipped(small.table("load_wine")),
    "breast_cancer": _shipped(small.table("load_breast_cancer")),
    "diabetes": _shipped(small.diabetes, task=Task.REGRESSION),
}
"""Every named data set and its loader."""
