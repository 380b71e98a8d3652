"""What to know of how a table's rows came to be in their parts, and of how much each counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.data.part_files import PartFile
from trainables.data.parts import counted
from trainables.data.row_keys import RowKeys
from trainables.data.spec import DataSpec
from trainables.notice import Notice

PARTS = ("test", "validation", "train")


def row_notices(
    keys: RowKeys, indices: Sequence[NDArray[np.int64]], files: Sequence[PartFile], spec: DataSpec
) -> list[Notice]:
    """Return what to know of the rows.

    Args:
        keys: of the training file.
        indices: its rows for test, for validation and for training.
        files: of the parts that have one.
        spec: names the columns.
    """
    notices = [notice for file in files for notice in file.notices]
    cut = [(name, part) for name, part in zip(PARTS, indices, strict=True) if len(part)][::-1]
    if keys.groups is not None:
        each = ", ".join(f"{len(np.unique(keys.groups[part])):,} {name}" for name, part in cut)
        number = len(np.unique(keys.groups))
        text = f"groups: {number:,} of {spec.group!r}, none in two parts ({each}); it is no input"
        notices.append(Notice("row_groups", text, number))
    if keys.times is not None:
        notices.append(Notice("row_times", f"in time, by {spec.time!r}, which is no input: {_spans(keys, cut)}"))
        left = len(keys.times) - sum(len(part) for _, part in cut)
        if left:
            share = f"{left:,} of {counted(len(keys.times), 'row')}, {left / len(keys.times):.0%}"
            text = f"left out, rows of a group that comes again in a later part: {share}"
            notices.append(Notice("later_groups", text, left, warning=True))
    if keys.weights is not None:
        weights = keys.weights[indices[2]]
        low, high = weights.min() / weights.mean(), weights.max() / weights.mean()
        text = f"weights: {spec.weight!r}, {low:.3g} to {high:.3g} times its mean, in the loss that is trained on alone"
        notices.append(Notice("row_weights", f"{text}; validation and test count every row once"))
    return notices


def _spans(keys: RowKeys, cut: Sequence[tuple[str, NDArray[np.int64]]]) -> str:
    assert keys.times is not None, "asked only of rows in time"
    return ", ".join(
        f"{name} {_written(keys.times[part].min(), keys)} to {_written(keys.times[part].max(), keys)}"
        for name, part in cut
    )


def _written(time: float, keys: RowKeys) -> str:
    """Return a time as a person writes it: a date, with hours where it has any, or a number."""
    if not keys.dated:
        return f"{time:.12g}"
    whole = float(time).is_integer()
    seconds = np.datetime64(round(time * 86_400), "s")
    return str(seconds.astype("datetime64[D]") if whole else seconds)
