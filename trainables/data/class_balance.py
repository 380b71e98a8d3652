"""How many examples the classes have, whether one is rare, and weights by which all count alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trainables.data.parts import Parts, list_first
from trainables.data.splits import Arrays
from trainables.errors import DataError
from trainables.notice import Notice, notice_of

RARE_SHARE = 0.2
"""Of an even share of the training examples, below which a class is rare: a tenth of all, of two classes."""

RARE_CLASSES = "rare_classes"
"""Kind of the notice that names classes which are rare."""


def class_counts(parts: Parts, classes: int) -> tuple[int, ...]:
    """Return how many training examples each class has; empty where the target is a number."""
    return tuple(np.bincount(parts.train.y, minlength=classes).tolist()) if classes else ()


def rare_classes(counts: Sequence[int]) -> list[int]:
    """Return the numbers of the classes that are rare among ``counts`` training examples."""
    even = sum(counts) / max(len(counts), 1)
    return [number for number, count in enumerate(counts) if count < RARE_SHARE * even]


def balanced(train: Arrays) -> Arrays:
    """Return training examples of which every class weighs as much as any other, 1 an example on average.

    Weights that the examples have count within their class (as scikit-learn's ``class_weight="balanced"`` does).

    Raises:
        DataError: a class has no weight at all.
    """
    own = np.ones(len(train), np.float32) if train.weights is None else train.weights
    of_class = np.bincount(train.y, weights=own)
    present = np.unique(train.y)
    if not of_class[present].all():
        raise DataError("--class-weight balanced: --weight is 0 in every training row of a class")
    weights = own / of_class[train.y] * (len(train) / len(present))
    return replace(train, weights=weights.astype(np.float32))


def balance_notices(counts: Sequence[int], labels: Sequence[str], *, own: bool, weighted: bool) -> list[Notice]:
    """Return how many training examples the classes have, and which are rare.

    Args:
        counts: by class.
        labels: what the classes are called; empty where they are numbers only.
        own: whether the data are a user's own, of which the counts are always said.
        weighted: whether the classes are weighted in the loss.
    """
    names = list(labels) or [str(number) for number in range(len(counts))]
    rare = [names[number] for number in rare_classes(counts)]
    order = np.argsort(counts, kind="stable")
    notices = []
    if counts and (own or rare):
        each = list_first([f"{names[number]} {counts[number]:,}" for number in order.tolist()])
        notices.append(Notice("class_counts", f"training examples by class, the fewest first: {each}"))
    if rare:
        advice = "" if weighted else "; --class-weight balanced lets every class count alike in the loss"
        text = f"rare, less than a fifth of an even share: {list_first([repr(name) for name in rare])}{advice}"
        notices.append(notice_of(RARE_CLASSES, text, rare, warning=True))
    if weighted:
        text = "weights: every class counts alike in the loss that is trained on; validation counts every example once"
        notices.append(Notice("class_weights", text))
    return notices
