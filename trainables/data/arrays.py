"""A user's arrays as examples: a file that ``numpy.savez`` wrote, cut into parts where it has one part only."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.array_preprocessing import ArrayPreprocessing
from trainables.data.parts import (
    TEST_SHARE,
    Parts,
    centre_pixels,
    part_indices,
    standardise_columns,
    standardise_target,
)
from trainables.data.recut import Recut, cut_anew
from trainables.data.splits import Arrays, random_split, stratified_split
from trainables.data.target import Target, read_target
from trainables.errors import DataError, first_line
from trainables.mistake import nearest
from trainables.notice import Notice

WHOLE = ("x", "y")
GIVEN = ("x_train", "y_train", "x_val", "y_val")
HELD_OUT = ("x_test", "y_test")
NAMES = (*WHOLE, *GIVEN, *HELD_OUT)
"""The arrays that a file may hold: all examples, or those of each part."""

CHANNELS = (1, 3, 4)
EXPECTED = f"expected {' and '.join(WHOLE)}, or {', '.join(GIVEN)} and maybe {', '.join(HELD_OUT)}"


def load(path: Path, *, task: str, seed: int, recut: Recut | None = None) -> Parts:
    """Return the arrays of a file as examples.

    Numbers are standardised by the training part: columns one by one, images by their pixels' means.

    Args:
        path: of a file with ``x`` [N, D], [N, height, width], [N, channels, height, width] or with the channels last,
            and ``y`` [N], [N, 1] or one column a class; or with both for each part.
        task: ``classification``, ``regression``, or ``auto`` (see ``read_target``).
        seed: seeds the split.
        recut: a pair or a fold, where not the parts of the search are wanted; see ``cut_anew``.

    Raises:
        DataError: everything that is wrong with the file, a line each.
    """
    what = f"--data arrays:{path}"
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files} if hasattr(file, "files") else None
    except OSError as error:
        raise DataError(f"{what} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{what} is no file of arrays: {first_line(error)}") from None
    if found is None:
        raise DataError(f"{what} holds one array without names; {EXPECTED}, as numpy.savez writes them")
    return parts_of(found, what=what, task=task, seed=seed, recut=recut)


def parts_of(
    found: Mapping[str, NDArray[Any]], *, what: str, task: str, seed: int, recut: Recut | None = None
) -> Parts:
    """Return named arrays as examples; ``what`` begins each line of what is wrong. See ``load``."""
    pairs = _pairs(found, what)
    notices: list[Notice] = []
    xs: list[NDArray[Any]] = []
    ys: list[NDArray[Any]] = []
    errors: list[str] = []
    for x_name, y_name in pairs:
        x, y = as_inputs(found[x_name], f"{what}: {x_name}", errors, notices), found[y_name]
        y = one_column(y, f"{what}: {y_name}", errors, notices)
        if not errors and len(x) != len(y):
            errors.append(f"{what}: {x_name} has {len(x):,} examples, {y_name} has {len(y):,}; {_order(found)}")
        xs.append(x)
        ys.append(y)
    if not errors and len({x.shape[1:] for x in xs}) > 1:
        errors.append(f"{what}: the parts' examples differ in shape: {', '.join(str(x.shape[1:]) for x in xs)}")
    if errors:
        wrong_order = len(pairs) > 1 and found["x_val"].ndim == 1 and found["y_train"].ndim > 1
        raise DataError([f"{what}: {_order(found)}, as it seems in another"] if wrong_order else errors)
    target = target_of(np.concatenate(ys), what, task)
    sizes = [len(x) for x in xs]
    if len(sizes) == 2:
        cut = round(sizes[0] * TEST_SHARE)
        text = f"test: {cut:,} examples are cut from x_train, as there is no x_test"
        notices.append(Notice("arrays_test_cut", text, cut))
    indices = _indices(sizes, target, seed=seed)
    test, val, train = cut_anew(indices, None if target.numeric else target.y, recut)
    x = np.concatenate(xs)

    def part(indices: NDArray[np.int64]) -> Arrays:
        return Arrays(x[indices].astype(np.float32), target.y[indices])

    parts = Parts(part(train), part(val), part(test), labels=target.labels)
    made = ArrayPreprocessing(x.shape[1:], (standardise_columns if x.ndim == 2 else centre_pixels)(parts))
    parts = standardise_target(parts) if target.numeric else parts
    return dataclasses.replace(
        parts, notices=(target.notice, *dict.fromkeys(notices)), preprocessing=made, class_values=target.values
    )


def _pairs(found: Mapping[str, NDArray[Any]], what: str) -> list[tuple[str, str]]:
    """Return the names of inputs and targets, part by part."""
    strangers = [name for name in found if name not in NAMES]
    if strangers:
        raise DataError([f"{what}: {name!r} is unknown.{nearest(name, NAMES)} {EXPECTED}" for name in strangers])
    if set(found) == set(WHOLE):
        return [("x", "y")]
    if set(found) in (set(GIVEN), {*GIVEN, *HELD_OUT}):
        return [(f"x_{part}", f"y_{part}") for part in ("train", "val", "test") if f"x_{part}" in found]
    raise DataError(f"{what} holds {', '.join(found) or 'nothing'}; {EXPECTED}")


def as_inputs(x: NDArray[Any], what: str, errors: list[str], notices: list[Notice]) -> NDArray[Any]:
    """Return inputs as [N, D] or [N, channels, height, width].

    Args:
        x: numbers, which may lack the channels, or have them last.
        what: begins each message.
        errors: takes what is wrong, a line each.
        notices: takes what was understood.
    """
    if x.dtype.kind not in "biuf":
        errors.append(f"{what} holds {x.dtype} values; inputs are numbers")
    elif not 2 <= x.ndim <= 4:
        errors.append(f"{what} has the shape {x.shape}; expected [N, D], [N, height, width] or [N, channels, ...]")
    elif not x.size:
        errors.append(f"{what} is empty, of shape {x.shape}")
    elif x.dtype.kind == "f" and not np.isfinite(x).all():
        count = int((~np.isfinite(x)).sum())
        errors.append(f"{what}: {count:,} of {x.size:,} numbers are NaN or infinite; fill them, or give a table")
    elif x.ndim == 3:
        notices.append(
            Notice("arrays_grey", f"inputs of {x.shape[1]} x {x.shape[2]} are taken as images of one channel")
        )
        return x[:, None]
    elif x.ndim == 4 and x.shape[3] in CHANNELS and x.shape[1] not in CHANNELS:
        text = f"images of shape {x.shape[1:]} are taken as height, width and channels"
        notices.append(Notice("arrays_channels_last", text))
        return x.transpose(0, 3, 1, 2)
    return x


def one_column(y: NDArray[Any], what: str, errors: list[str], notices: list[Notice]) -> NDArray[Any]:
    """Return targets as [N]; one column a class becomes the class's number.

    Args:
        y: [N], [N, 1] or one column a class.
        what: begins each message.
        errors: takes what is wrong, a line each.
        notices: takes what was understood.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        return y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "biuf" and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
        notices.append(Notice("arrays_one_hot", f"targets of {y.shape[1]} columns are taken as one column a class"))
        numbers: NDArray[Any] = np.argmax(y, axis=1)
        return numbers
    if y.ndim != 1:
        errors.append(f"{what} has the shape {y.shape}; one target an example is learned: [N], or one column a class")
    return y


def target_of(y: NDArray[Any], what: str, task: str) -> Target:
    """Return what is learned from targets [N], none of which may be missing; see ``read_target``."""
    import pandas as pd

    column = pd.Series(y)
    missing = int(column.isna().sum())
    if missing:
        raise DataError(f"{what}: {missing:,} of {len(y):,} targets are missing; leave their examples out")
    try:
        return read_target(column, "y", task)
    except DataError as error:
        raise DataError([line.replace("--target 'y'", f"{what}: y", 1) for line in error.errors]) from None


def _indices(sizes: list[int], target: Target, *, seed: int) -> list[NDArray[np.int64]]:
    """Return which examples are for test, for validation and for training."""
    if len(sizes) == 1:
        return part_indices(target.y, numeric=target.numeric, seed=seed)
    ends = np.cumsum(sizes)
    train, val, *held_out = np.split(np.arange(ends[-1]), ends[:-1])
    if held_out:
        return [held_out[0], val, train]
    size = round(len(train) * TEST_SHARE)
    if target.numeric:
        (test,) = random_split(len(train), (size,), seed=seed)
    else:
        (test,) = stratified_split(target.y[train], (size,), seed=seed)
    return [test, val, np.setdiff1d(train, test, assume_unique=True)]


def _order(found: Mapping[str, NDArray[Any]]) -> str:
    return "the order is x, y" if set(found) == set(WHOLE) else f"the order is {', '.join(GIVEN)}"
