"""The data sets by name, and the one place where a declaration becomes examples."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from trainables.data import sklearn_sets, torchvision_sets
from trainables.data.class_balance import balance_notices, balanced, class_counts
from trainables.data.fold_cut import Fold
from trainables.data.fold_notice import folds_notice, small_folds
from trainables.data.halves import half_of
from trainables.data.parts import Parts
from trainables.data.recut import Recut
from trainables.data.room import gib
from trainables.data.spec import NO_DATA, DataSpec, Source, path_errors
from trainables.data.splits import Arrays, Splits, fingerprint, random_split, stratified_split
from trainables.errors import DataError
from trainables.notice import Notice
from trainables.task import Task


@dataclass(frozen=True)
class DataSet:
    """A named data set.

    Attributes:
        load: returns its parts for a declaration, and for a pair or a fold if not those of the search are wanted.
        task: what is learned from it.
        images: whether its examples are images  # [channels, height, width].
        needs_files: whether its files lie in a folder of the user's, where they may be downloaded to.
    """

    load: Callable[[DataSpec, Recut | None], Parts]
    task: Task = Task.CLASSIFICATION
    images: bool = False
    needs_files: bool = False


def load_splits(spec: DataSpec) -> Splits:
    """Return the train and validation parts.

    Raises:
        DataError: unknown name, absent files, or too few examples.
    """
    parts = _load(spec, _data_stamp(spec))
    known = NO_DATA if spec.source == NO_DATA else _fingerprint(spec, parts.train, parts.val, parts.test)
    splits = _splits(spec, parts, parts, known)
    return splits if spec.folds is None else _with_folds(splits, spec, spec.folds, parts)


def _with_folds(splits: Splits, spec: DataSpec, number: int, searched: Parts) -> Splits:
    """Return splits with the folds of a cross-validation, everything that is learned for each from its own part."""
    folds = []
    for i in range(number):
        try:
            parts = _read(spec, Fold(i, number, spec.seed))
        except DataError as error:  # the study's own cut could be read
            raise DataError([f"--folds {number}: {line}" for line in error.errors]) from None
        known = _fingerprint(spec, parts.train, parts.val)
        folds.append(_splits(replace(spec, folds=None), parts, searched, known))
    notices = (*splits.notices, *small_folds(folds, splits, spec), folds_notice(folds, spec))
    return replace(splits, folds=tuple(folds), notices=notices)


def _fingerprint(spec: DataSpec, *parts: Arrays) -> str:
    """Return the fingerprint of parts, whose inputs are not hashed where the user's function gives one for them."""
    if spec.source == "arrays" and spec.fingerprint is not None:
        parts = tuple(replace(part, x=np.frombuffer(spec.fingerprint.encode(), np.uint8)) for part in parts)
    return fingerprint(*parts)


def _splits(spec: DataSpec, parts: Parts, searched: Parts, fingerprint: str) -> Splits:
    """Return parts as what search code may see; ``searched`` are those of the search, whose classes are counted."""
    counts = class_counts(searched, _classes(searched))
    weighted = spec.class_weight is not None
    if weighted and not counts:
        raise DataError(f"--class-weight {spec.class_weight} is for classes, and the target of {spec.name} is a number")
    own = spec.source in ("table", "arrays", "stream")
    return Splits(
        name=spec.name,
        train=balanced(parts.train) if weighted else parts.train,
        val=parts.val,
        classes=_classes(parts),
        test_examples=len(parts.test),
        fingerprint=fingerprint,
        scale=parts.scale,
        labels=parts.labels,
        notices=(*parts.notices, *balance_notices(counts, parts.labels, own=own, weighted=weighted)),
        class_counts=counts,
        spec=spec,
        preprocessing=parts.preprocessing,
        class_values=parts.class_values,
    )


def load_test(spec: DataSpec) -> Arrays:
    """Return the held-out part. Only a confirmation opens it, once, after the search."""
    return _load(spec, _data_stamp(spec)).test


@dataclass(frozen=True)
class Pair:
    """A re-split of train and validation, which every configuration that is compared trains on once.

    Attributes:
        splits: what a run trains on, and what it watches meanwhile; standardised by this training part alone.
        scored: what its model is scored on; of the search's training part, so that it chose nothing.
        test: the held-out part, as ``splits`` is standardised.
    """

    splits: Splits
    scored: Arrays
    test: Arrays


def load_pair(spec: DataSpec, *, seed: int) -> Pair:
    """Return the re-split that ``seed`` makes, everything that is learned for it from its own training part.

    The held-out part is among it: only a confirmation calls this, after the search.

    Raises:
        DataError: as ``load_splits``, or there are too few examples.
    """
    stamp = _data_stamp(spec)
    searched = _load(spec, stamp)
    parts = _read(spec, seed)
    test, scored = (parts.test.at(part) for part in (slice(len(searched.test)), slice(len(searched.test), None)))
    parts = replace(parts, test=test)
    return Pair(_splits(spec, parts, searched, _fingerprint(spec, parts.train, parts.val, scored)), scored, test)


@lru_cache(maxsize=2)
def _load(spec: DataSpec, stamp: Hashable) -> Parts:
    return _read(spec, None)


def _read(spec: DataSpec, recut: Recut | None) -> Parts:
    if spec.source == "named" and spec.name not in DATASETS:
        raise DataError(f"unknown data set {spec.name!r}; known: {', '.join(DATASETS)}")
    if spec.pixels and (
        spec.source in ("table", "arrays", "stream") or (spec.source == "named" and not DATASETS[spec.name].images)
    ):
        images = ", ".join(name for name, found in DATASETS.items() if found.images)
        raise DataError(f"{spec.name} has no images; data sets that have: {images}, or images:FOLDER")
    parts = _LOADERS[spec.source](spec, recut)
    if spec.half is not None:
        parts = half_of(parts, spec.half, name=spec.name, classes=_classes(parts))
    return parts if spec.train_examples is None else _fewer(parts, spec, spec.train_examples)


def _data_stamp(spec: DataSpec) -> Hashable:
    """Return what changes with the user's file, folder or function, so that nothing outdated is taken for it."""
    errors = path_errors(spec)
    if errors:
        raise DataError(errors)
    if spec.source == "stream":
        from trainables.data.dataset_source import fingerprint_of

        assert spec.function is not None, "the study's declaration is checked for it"
        return fingerprint_of(spec.function)
    if spec.path is None:
        return None
    if spec.source in ("table", "arrays"):
        return tuple(_file_stamp(file) for file in (spec.path, spec.val_file, spec.test_file) if file is not None)
    from trainables.data.image_listing import list_images

    try:
        listing = list_images(Path(spec.path))
        return tuple(map(_file_stamp, listing.files)), listing.notices
    except OSError as error:
        raise DataError(f"--data images:{spec.path} cannot be read: {error.strerror} ({error.filename})") from None


def _classes(parts: Parts) -> int:
    """Return how many classes there are; 0 where the target is a number."""
    if parts.scale is not None:
        return 0
    return len(parts.labels) or int(parts.train.y.max(initial=-1)) + 1


def _file_stamp(file: str | Path) -> tuple[str, int, int]:
    found = os.stat(file)
    return str(file), found.st_size, found.st_mtime_ns


def _fewer(parts: Parts, spec: DataSpec, examples: int) -> Parts:
    train, seed = parts.train, spec.seed + 2
    fewest = _classes(parts) or 2
    if not fewest <= examples <= len(train):
        raise DataError(f"train_examples must be between {fewest} and {len(train)} for {spec.name}, got {examples}")
    try:
        if parts.scale is None:
            (kept,) = stratified_split(train.y, (examples,), seed=seed)
        else:
            (kept,) = random_split(len(train), (examples,), seed=seed)
    except DataError as error:
        raise DataError(f"train_examples {examples} of {spec.name}: {error}") from None
    return replace(parts, train=train.at(kept))


def _shipped(load: Callable[[int, Recut | None], Parts], *, task: Task = Task.CLASSIFICATION) -> DataSet:
    return DataSet(lambda spec, recut: load(spec.seed, recut), task)


def _torchvision(name: str, class_name: str) -> DataSet:
    def load(spec: DataSpec, recut: Recut | None) -> Parts:
        return torchvision_sets.load(
            name, class_name, spec.data_dir, download=spec.download, seed=spec.seed, pixels=spec.pixels, recut=recut
        )

    return DataSet(load, images=True, needs_files=True)


def _named(spec: DataSpec, recut: Recut | None) -> Parts:
    return DATASETS[spec.name].load(spec, recut)


def _table(spec: DataSpec, recut: Recut | None) -> Parts:
    from trainables.data import table

    return table.load(spec, recut=recut)


def _images(spec: DataSpec, recut: Recut | None) -> Parts:
    from trainables.data import images

    assert spec.path is not None, "the study's declaration is checked for it"
    return images.load(
        Path(spec.path),
        size=spec.image_size,
        seed=spec.seed,
        pixels=spec.pixels,
        background=spec.background,
        memory_mb=spec.memory_mb,
        recut=recut,
    )


def _arrays(spec: DataSpec, recut: Recut | None) -> Parts:
    from trainables.data import arrays

    assert spec.path is not None, "the study's declaration is checked for it"
    parts = arrays.load(Path(spec.path), task=spec.task, seed=spec.seed, recut=recut)
    if spec.function is None:
        return parts
    size = sum(part.held.nbytes for part in (parts.train, parts.val, parts.test))
    return replace(parts, notices=(*parts.notices, Notice("held", f"held in memory: {gib(size)} of examples")))


def _stream(spec: DataSpec, recut: Recut | None) -> Parts:
    from trainables.data import streams

    assert spec.function is not None, "the study's declaration is checked for it"
    return streams.load(
        spec.function,
        task=spec.task,
        seed=spec.seed,
        workers=spec.workers_per_trial,
        memory_mb=spec.memory_mb,
        recut=recut,
    )


def _nothing(spec: DataSpec, recut: Recut | None) -> Parts:
    none = Arrays(np.empty((0, 0), np.float32), np.empty(0, np.int64))
    return Parts(none, none, none)


_LOADERS: dict[Source, Callable[[DataSpec, Recut | None], Parts]] = {
    "named": _named,
    "table": _table,
    "images": _images,
    "arrays": _arrays,
    "stream": _stream,
    "none": _nothing,
}

DATASETS: dict[str, DataSet] = {
    "digits": DataSet(lambda spec, recut: sklearn_sets.digits(spec.seed, pixels=spec.pixels, recut=recut), images=True),
    "mnist": _torchvision("mnist", "MNIST"),
    "fashion_mnist": _torchvision("fashion_mnist", "FashionMNIST"),
    "iris": _shipped(sklearn_sets.table("load_iris")),
    "wine": _shipped(sklearn_sets.table("load_wine")),
    "breast_cancer": _shipped(sklearn_sets.table("load_breast_cancer")),
    "diabetes": _shipped(sklearn_sets.diabetes, task=Task.REGRESSION),
}
"""Every named data set and its loader."""
