"""Train, validation and test parts of a data set, as arrays, with a fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.duplicates import equal_rows, with_copies
from trainables.data.preprocessing import Preprocessing
from trainables.data.spec import NO_DATA, DataSpec
from trainables.data.stratified import draw_stratified
from trainables.data.streamed import Streamed
from trainables.notice import Notice
from trainables.task import Task


@dataclass(frozen=True)
class Arrays:
    """Examples and their targets.

    Attributes:
        x: [N, ...] float32; or uint8 pixels [N, channels, height, width], where a declaration asks for them; or what
            reads such float32 inputs a batch at a time.
        y: [N] int64 class numbers, or float32 standardised numbers.
        weights: [N] float32, how much each example counts in the loss that is trained on, 1 on average; None where all
            count alike. Of the training part alone: nothing is validated or scored by weights.
    """

    x: NDArray[Any] | Streamed
    y: NDArray[Any]
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def held(self) -> NDArray[Any]:
        """``x``, which is in memory.

        Raises:
            TypeError: it is streamed.
        """
        if isinstance(self.x, Streamed):
            raise TypeError("these examples are streamed, and are no array")
        return self.x

    def at(self, indices: NDArray[np.int64] | slice) -> Arrays:
        """Return some of the examples; those that are streamed are not read."""
        x = self.x.at(indices) if isinstance(self.x, Streamed) else self.x[indices]
        return Arrays(x, self.y[indices], None if self.weights is None else self.weights[indices])

    def first(self, count: int) -> Arrays:
        """Return the first examples, in memory."""
        few = self.at(slice(count))
        return replace(few, x=few.x[:]) if isinstance(few.x, Streamed) else few


@dataclass(frozen=True)
class TargetScale:
    """How a numeric target was standardised, in its own units: by mean and deviation of the training part."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Splits:
    """What search code may see: train and validation. The test part is opened by ``load_test`` alone.

    Attributes:
        name: what the data set is called.
        classes: C; 0 where the target is a number.
        test_examples: how many examples are held out.
        fingerprint: sha256 over the arrays of all three parts, 64 hexadecimal digits.
        scale: how a numeric target was standardised; None for classes.
        labels: what the classes are called, in the order of their numbers; empty where they are numbers only.
        notices: what a user should know of how the data were read, and of what is to learn from them.
        extra_metrics: metrics that every report is to hold besides the usual ones.
        scratch: a folder for what a trainable computes from the data and several processes may share; None
            where there is none.
        shared: whether several processes train on these.
        spec: what they were loaded from; None where they were made otherwise.
        preprocessing: makes such examples of raw ones; None where there are no raw ones.
        class_values: the classes as the source has them, in the order of their numbers; empty where these are the same.
        class_counts: how many examples of each class the search's training part has; empty for a number.
        folds: train and validation of each fold of a cross-validation, everything learned from its own training part;
            empty where there is none.
    """

    name: str
    train: Arrays
    val: Arrays
    classes: int
    test_examples: int
    fingerprint: str
    scale: TargetScale | None = None
    labels: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    extra_metrics: tuple[str, ...] = ()
    scratch: str | None = None
    shared: bool = False
    spec: DataSpec | None = None
    preprocessing: Preprocessing | None = None
    class_values: tuple[Any, ...] = ()
    class_counts: tuple[int, ...] = ()
    folds: tuple[Splits, ...] = ()

    @property
    def of_a_trial(self) -> tuple[Splits, ...]:
        """What a trial trains on: every fold, or these examples where there are no folds."""
        if not self.folds:
            return (self,)
        return tuple(
            replace(fold, extra_metrics=self.extra_metrics, scratch=self.scratch, shared=self.shared)
            for fold in self.folds
        )

    @property
    def of_the_kept(self) -> Splits:
        """What the model that is kept of a trial trains on: the first fold, or these examples without folds.

        A fold may have other inputs than the study as a whole, as they are learned from its own training part.
        """
        return self.of_a_trial[0]

    @property
    def task(self) -> Task:
        """What is learned."""
        return Task.CLASSIFICATION if self.scale is None else Task.REGRESSION

    @property
    def outputs(self) -> int:
        """How many numbers a model returns for an example: C, or 1."""
        return self.classes if self.scale is None else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: [D] for a table, [channels, height, width] for an image."""
        return tuple(self.train.x.shape[1:])

    @property
    def streamed(self) -> bool:
        """Whether the examples are read a batch at a time, and not held in memory."""
        return isinstance(self.train.x, Streamed)

    def facts(self) -> dict[str, Any]:
        """Return what a reader should know of the data, as plain data: for the ledger and the terminal."""
        return {
            "name": self.name,
            "train": len(self.train),
            "validation": len(self.val),
            "test": self.test_examples,
            "shape": list(self.shape),
            "task": self.task.value if len(self.train) else NO_DATA,
            "classes": self.classes,
            "labels": list(self.labels),
            "target_mean": None if self.scale is None else self.scale.mean,
            "target_deviation": None if self.scale is None else self.scale.deviation,
            "notices": [notice.to_dict() for notice in self.notices],
        }


def fingerprint(*parts: Arrays) -> str:
    """Return the sha256 over shapes, types and bytes of the parts, in order; of weights too where there are any."""
    digest = hashlib.sha256()
    for part in parts:
        for array in (part.x, part.y) if part.weights is None else (part.x, part.y, part.weights):
            digest.update(f"{array.shape}{array.dtype.str}".encode())
            for block in array.content() if isinstance(array, Streamed) else (np.ascontiguousarray(array).data,):
                digest.update(block)
    return digest.hexdigest()


def stratified_split(y: NDArray[np.int64], sizes: tuple[int, ...], *, seed: int) -> list[NDArray[np.int64]]:
    """Split the indices of ``y`` into parts of the given sizes, each with the classes' proportions.

    Args:
        y: [N] labels.
        sizes: the parts' sizes; together at most N. What is left over is in no part.
        seed: the split depends on it and on ``y`` alone.

    Returns:
        For each part its indices, sorted.

    Raises:
        DataError: a part, or what is left over, is smaller than the number of classes.
    """
    rest = np.arange(len(y))
    parts = []
    for i, size in enumerate(sizes):
        if size == len(rest):
            taken, rest = rest, rest[:0]
        else:
            taken = rest[draw_stratified(y[rest], size, seed=(seed + i) % 2**32)]
            rest = np.setdiff1d(rest, taken, assume_unique=True)
        parts.append(taken)
    return parts


def resplit(splits: Splits, *, seed: int) -> Splits:
    """Return train and validation parts of the same sizes, cut anew from the two together.

    The test part stays closed. Columns and target stay standardised as they are, by the training part that
    was. Copies of a user's image stay together, so that the sizes may differ by as many. Of no examples nothing is cut.
    """
    if not len(splits.train):
        return splits
    if splits.streamed:
        raise TypeError("examples that are streamed are cut anew where they are read: see load_pair")
    x, y = (np.concatenate([getattr(part, name) for part in (splits.train, splits.val)]) for name in ("x", "y"))
    if splits.spec is not None and splits.spec.source == "images":
        val, train = _cut_with_copies(x, y, share=len(splits.val) / len(y), seed=seed)
    elif splits.task is Task.CLASSIFICATION:
        val, train = stratified_split(y, (len(splits.val), len(splits.train)), seed=seed)
    else:
        val, train = random_split(len(y), (len(splits.val), len(splits.train)), seed=seed)
    return replace(splits, train=Arrays(x[train], y[train]), val=Arrays(x[val], y[val]), folds=())


def _cut_with_copies(
    x: NDArray[Any], y: NDArray[np.int64], *, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which examples are taken, and the rest: a stratified cut of the distinct ones, which copies follow."""
    first = equal_rows(x)
    leads = np.flatnonzero(first == np.arange(len(first)))
    size = round(share * len(leads))
    taken, rest = (leads[chosen] for chosen in stratified_split(y[leads], (size, len(leads) - size), seed=seed))
    return with_copies(first, taken), with_copies(first, rest)


def random_split(n: int, sizes: tuple[int, ...], *, seed: int) -> list[NDArray[np.int64]]:
    """Split the indices 0 .. n - 1 into parts of the given sizes at random; each is sorted.

    Args:
        n: how many indices there are.
        sizes: the parts' sizes; together at most ``n``. What is left over is in no part.
        seed: the split depends on it and on the sizes alone.
    """
    order = np.random.default_rng(seed).permutation(n)
    ends = np.cumsum(sizes)
    return [np.sort(order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]
