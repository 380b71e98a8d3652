"""A data set's classes cut into two halves: one to learn features from, one to use them on.

The A/B design of Yosinski et al. 2014 (arXiv:1411.1792).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trainables.data.parts import Parts
from trainables.data.spec import Half
from trainables.data.splits import Arrays
from trainables.errors import DataError
from trainables.notice import notice_of

FEWEST_CLASSES = 4
"""Classes that a data set needs: two for each half."""


def half_of(parts: Parts, half: Half, *, name: str, classes: int) -> Parts:
    """Return the examples of the first or the second half of the classes, which are numbered from 0 again.

    Args:
        parts: the whole data set.
        half: which half of the classes.
        name: what messages call the data set.
        classes: C; with an odd number the second half has one more.

    Raises:
        DataError: fewer than ``FEWEST_CLASSES`` classes, or a target that has none.
    """
    if classes < FEWEST_CLASSES:
        raise DataError(
            f"{name} has {classes} classes; at least {FEWEST_CLASSES} are needed to learn from one half and "
            "transfer to the other; --source-data names other data to learn from, --weights other weights"
        )
    middle = classes // 2
    low, high = (0, middle) if half == "first" else (middle, classes)
    labels = parts.labels[low:high]
    named = [str(label) for label in labels] or [str(number) for number in range(low, high)]
    text = f"classes: {', '.join(named)}, the {half} half of {classes}"
    notice = notice_of("half_of_classes", text, named)
    values = (parts.class_values or parts.labels or tuple(range(classes)))[low:high]
    train, val, test = (_between(part, low, high) for part in (parts.train, parts.val, parts.test))
    notices = (*parts.notices, notice)
    return replace(parts, train=train, val=val, test=test, labels=labels, notices=notices, class_values=values)


def _between(part: Arrays, low: int, high: int) -> Arrays:
    kept = np.flatnonzero((part.y >= low) & (part.y < high))
    chosen = part.at(kept)
    return replace(chosen, y=chosen.y - low)
