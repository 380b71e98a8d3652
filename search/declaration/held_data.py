"""Data that a program holds, declared from Python: kept in a file, so that other processes have them too.

The file lies in a folder of this process until a search copies it beside its ledger.
"""

from __future__ import annotations

import atexit
import dataclasses
import hashlib
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.declaration.held_objects import described, is_array, is_dataset, of_dataset, to_array, to_frame
from search.errors import UsageError
from trainables.data import DataSpec
from trainables.data.arrays import EXPECTED, GIVEN, HELD_OUT, NAMES, WHOLE
from trainables.errors import first_line
from trainables.mistake import nearest
from trainables.task import AUTO

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

FRAME = "frame"
TAKEN = (
    "a name, a path, a mapping, a pandas frame with target=, (x, y), "
    "(x_train, y_train, x_val, y_val[, x_test, y_test]), a torch Dataset or one for each part, "
    "or a scikit-learn Bunch"
)


def held_fields(data: Any, target: Any = None) -> dict[str, Any]:
    """Return fields of ``DataSpec`` for data that a program holds: a frame, arrays, a dataset, a path, a mapping.

    Args:
        data: see ``TAKEN``; a mapping may hold ``frame``, or arrays as ``x``, ``y``, ``x_train`` ..., beside fields.
        target: the column of a frame or a table that is predicted.

    Raises:
        UsageError: they cannot be examples; one line that says what they are.
    """
    if isinstance(data, str | Path):
        return {"path" if isinstance(data, Path) else "text": str(data)}
    if isinstance(data, Mapping):
        return _of_mapping(data, target)
    if (frame := to_frame(data)) is not None:
        return _hold_frame(frame, target, described(data))
    if is_dataset(data):
        return hold_arrays(dict(zip(WHOLE, of_dataset(data, "data"), strict=True)), "dataset")
    if isinstance(data, Sequence):
        return _of_sequence(data)
    if is_array(data):
        raise UsageError(f"data: {described(data)} has no targets; give (x, y)")
    raise UsageError(f"data: {described(data)} is not taken; expected {TAKEN}")


def held_file(path: str | None) -> Path | None:
    """Return the file of data that this process holds, if ``path`` is one."""
    if path is None or not _folder.cache_info().currsize or Path(path).parent != _folder():
        return None
    return Path(path)


def _of_mapping(data: Mapping[Any, Any], target: Any) -> dict[str, Any]:
    fields = {str(name): value for name, value in data.items()}
    if {"data", "target"} <= fields.keys():
        return _of_bunch(fields)
    if target is not None:
        if fields.get("target", target) != target:
            raise UsageError(f"target {target!r} and data.target {fields['target']!r} differ; give one of them")
        fields["target"] = target
    arrays = {name: fields.pop(name) for name in NAMES if name in fields}
    frame = fields.pop(FRAME, None)
    ways = [
        name for name, given in (("arrays", arrays), (FRAME, frame is not None), ("path", fields.get("path"))) if given
    ]
    if len(ways) > 1:
        raise UsageError(f"data: {' and '.join(ways)} name different data; give one of them")
    if arrays:
        return {**hold_arrays(arrays, "arrays", task=fields.get("task", AUTO)), **fields}
    if frame is None:
        return fields
    table = to_frame(frame)
    if table is None:
        raise UsageError(f"data.frame: {described(frame)} is no pandas frame")
    known = [field.name for field in dataclasses.fields(DataSpec)]
    if strangers := [name for name in fields if name not in known]:
        raise UsageError([f"data.{name} is unknown.{nearest(name, known)}" for name in strangers])
    return {**_hold_frame(table, fields.pop("target", None), described(frame)), **fields}


def _of_bunch(bunch: Mapping[str, Any]) -> dict[str, Any]:
    """Return what scikit-learn's loaders return, as a frame with the names of its columns and of its classes."""
    import numpy as np
    import pandas as pd

    x, y = bunch["data"], np.asarray(bunch["target"])
    names = bunch.get("target_names")
    if y.ndim == 1 and y.dtype.kind in "iu" and names is not None and 1 < len(names) and y.max() < len(names):
        y = np.asarray(names).astype(str)[y]
    frame = to_frame(x)
    if frame is None:
        array = to_array(x, "data")
        if array.ndim != 2:
            return hold_arrays({"x": array, "y": y}, "arrays")
        columns = bunch.get("feature_names")
        frame = pd.DataFrame(array, columns=None if columns is None else list(columns))
    return _with_targets(frame, y)


def _of_sequence(data: Sequence[Any]) -> dict[str, Any]:
    """Return (x, y), the arrays of all parts, pairs of these, or the datasets of the parts."""
    if data and all(isinstance(item, tuple | list) and len(item) == 2 and is_array(item[0]) for item in data):
        data = [array for pair in data for array in pair]
    elif len(data) in (2, 3) and all(is_dataset(item) for item in data):
        data = [array for i, item in enumerate(data) for array in of_dataset(item, f"data[{i}]")]
    names = {2: WHOLE, 4: GIVEN, 6: (*GIVEN, *HELD_OUT)}.get(len(data))
    if names is None:
        items = ", ".join(described(item) for item in data[:3])
        more = " ..." if len(data) > 3 else ""
        raise UsageError(f"data: a {type(data).__name__} of {len(data)} ({items}{more}); {EXPECTED}")
    if len(data) == 2 and (frame := to_frame(data[0])) is not None:
        return _with_targets(frame, data[1])
    return hold_arrays(dict(zip(names, data, strict=True)), "arrays")


def _with_targets(frame: pd.DataFrame, y: Any) -> dict[str, Any]:
    if isinstance(y, str):
        return _hold_frame(frame, y, described(frame))
    column = to_array(y, "data[1]")
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1 or len(column) != len(frame):
        raise UsageError(f"data: {described(frame)} and targets of shape {column.shape}; expected one for each row")
    name = str(getattr(y, "name", None) or "target")
    if name in map(str, frame.columns):
        raise UsageError(
            f"data: the targets are called {name!r}, as a column of the frame is; give target={name!r} alone"
        )
    return _hold_frame(frame.assign(**{name: column}), name, described(frame))


def _hold_frame(frame: pd.DataFrame, target: Any, what: str) -> dict[str, Any]:
    """Write a frame as the file that is read as any table is."""
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    columns = [str(name) for name in frame.columns]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise UsageError(f"data: {what} has two columns called {twice[0]!r}")
    if target is None:
        raise UsageError(f"data: {what} needs target=COLUMN, the column to predict; columns: {', '.join(columns[:8])}")
    if str(target) not in columns:
        raise UsageError(f"target {target!r} is no column of the frame.{nearest(str(target), columns)}")
    if frame.index.nlevels > 1 or frame.index.name is not None:
        names = ", ".join(str(name) for name in frame.index.names)
        warnings.warn(f"data: the index of the frame ({names}) is no input; reset_index() makes it one", stacklevel=5)
    mixed = [name for name in columns if frame[name].dtype == object and _is_mixed(frame[name])]
    frame = frame.assign(**{name: frame[name].map(str, na_action="ignore") for name in mixed})

    def write(file: Path) -> None:
        try:
            frame.to_parquet(file, index=False)
        except Exception as error:  # Arrow raises whatever a column's values lead it to
            raise UsageError(f"data: {what} cannot be kept: {first_line(error)}") from None

    return {"source": "table", "path": _held(write, ".parquet"), "name": FRAME, "target": str(target)}


def _is_mixed(column: pd.Series[Any]) -> bool:
    kinds = {type(value) for value in column.dropna()}
    return len(kinds) > 1


def hold_arrays(found: Mapping[str, Any], name: str, *, task: Any = AUTO, what: str = "data") -> dict[str, Any]:
    """Write arrays as the file that ``trainables.data.arrays`` reads, and return the fields of ``DataSpec`` for it.

    Args:
        found: by the names that such a file may hold.
        name: what the data are called.
        task: ``classification``, ``regression``, or ``auto`` to tell by the targets.
        what: begins each message.

    Raises:
        UsageError: they cannot be examples; a line each.
    """
    import numpy as np

    from trainables.data.arrays import parts_of
    from trainables.errors import DataError

    arrays: dict[str, NDArray[np.generic]] = {key: to_array(value, f"{what}: {key}") for key, value in found.items()}

    def write(file: Path) -> None:
        with file.open("wb") as opened:
            np.savez(opened, **arrays)  # type: ignore[arg-type]

    try:
        parts_of(arrays, what=what, task=str(task), seed=0)
    except DataError as error:
        raise UsageError(error.errors) from None
    return {"source": "arrays", "path": _held(write, ".npz"), "name": name}


def _held(write: Callable[[Path], None], ending: str) -> str:
    """Write a file, and return its path, which depends on what is in it: the same data are the same study."""
    file = _folder() / f"new{ending}"
    write(file)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return str(file.replace(file.with_name(f"{digest[:16]}{ending}")))


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="lanewise-data-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
