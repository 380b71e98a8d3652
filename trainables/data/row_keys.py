"""The columns of a table that say of its rows what belongs together, when it was and how much it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.column_encoder import ColumnEncoder
from trainables.data.column_remarks import Remarks
from trainables.data.columns import ColumnKind, column_numbers, kind_of
from trainables.data.spec import DataSpec
from trainables.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RowKeys:
    """What ``--group``, ``--time`` and ``--weight`` say of N rows; each None where there is no such column.

    Attributes:
        groups: [N] texts.
        times: [N] numbers; of dates, days since 1970.
        weights: [N] numbers from 0.
        dated: whether the times are dates.
    """

    groups: NDArray[Any] | None = None
    times: NDArray[np.float64] | None = None
    weights: NDArray[np.float64] | None = None
    dated: bool = False

    @property
    def first(self) -> NDArray[np.int64] | None:
        """The first row of the same group  # [N]."""
        if self.groups is None:
            return None
        _, first, number = np.unique(self.groups, return_index=True, return_inverse=True)
        found: NDArray[np.int64] = first[number]
        return found


def key_columns(spec: DataSpec) -> dict[str, str]:
    """Return the columns that are keys, which are no inputs, by the options that name them."""
    named = {"--group": spec.group, "--time": spec.time, "--weight": spec.weight}
    return {option: column for option, column in named.items() if column is not None}


def key_errors(spec: DataSpec) -> list[str]:
    """Return which of the key columns cannot be one beside what else is said of the columns, a line each."""
    keys = key_columns(spec)
    errors = [f"{option} {name!r}: it is the target" for option, name in keys.items() if name == spec.target]
    errors += [f"{option} {name!r}: --drop leaves it out" for option, name in keys.items() if name in spec.drop]
    named = list(keys.values())
    errors += [f"{option} {name!r}: it is named twice" for option, name in keys.items() if named.count(name) > 1]
    if spec.time is not None and spec.val_file is not None and spec.test_file is None:
        errors.append("--time with --val-file needs --test-file too: test rows are later than those of validation")
    return errors


def read_keys(rows: pd.DataFrame, spec: DataSpec) -> RowKeys:
    """Return the keys of rows whose columns were read, none of them without a target.

    Raises:
        DataError: a value is missing or of the wrong kind, a line each column.
    """
    errors = [
        f"{option} {name!r} is missing in {missing:,} of {len(rows):,} rows"
        for option, name in key_columns(spec).items()
        if (missing := int(rows[name].isna().sum()))
    ]
    kinds = {name: kind_of(rows[name]) for name in key_columns(spec).values()}
    if spec.time is not None and kinds[spec.time] not in (ColumnKind.DATE, ColumnKind.NUMBER):
        errors.append(f"--time {spec.time!r} holds {kinds[spec.time].value}; dates or numbers give an order")
    if spec.weight is not None and kinds[spec.weight] is not ColumnKind.NUMBER:
        errors.append(f"--weight {spec.weight!r} holds {kinds[spec.weight].value}; a weight is a number from 0")
    if errors:
        raise DataError(errors)
    groups = None if spec.group is None else rows[spec.group].astype(str).to_numpy(object).astype(str)
    times = None if spec.time is None else column_numbers(rows[spec.time], kinds[spec.time])
    weights = None if spec.weight is None else column_numbers(rows[spec.weight], ColumnKind.NUMBER)
    if weights is not None and (not np.isfinite(weights).all() or weights.min() < 0):
        raise DataError(f"--weight {spec.weight!r} holds {weights.min():g}; a weight is a finite number from 0")
    dated = spec.time is not None and kinds[spec.time] is ColumnKind.DATE
    return RowKeys(groups, times, weights, dated)


def keys_of_part(frame: pd.DataFrame, spec: DataSpec, like: RowKeys, *, decimal: str | None) -> RowKeys:
    """Return groups and times of the raw rows of another file, read as those of the training file were.

    Raises:
        DataError: a column is not there, a value is missing or of another kind, a line each column.
    """
    found: dict[str, NDArray[Any]] = {}
    errors: list[str] = []
    time_kind = ColumnKind.DATE if like.dated else ColumnKind.NUMBER
    for key, name, kind in (("groups", spec.group, ColumnKind.TEXT), ("times", spec.time, time_kind)):
        if name is None:
            continue
        if name not in frame:
            errors.append(f"column {name!r} is missing")
        elif missing := int(frame[name].isna().sum()):
            errors.append(f"column {name!r} is missing in {missing:,} of {len(frame):,} rows")
        elif kind is ColumnKind.TEXT:
            found[key] = frame[name].astype(str).str.strip().to_numpy(object).astype(str)
        else:
            try:
                found[key] = ColumnEncoder(name, kind).read(frame[name], decimal=decimal, remarks=Remarks())
            except DataError as error:
                errors += error.errors
    if errors:
        raise DataError(errors)
    return RowKeys(found.get("groups"), found.get("times"), dated=like.dated)
