"""A user's table as examples: read, split, encoded by its training part alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.columns import column_errors, encode_columns
from trainables.data.parts import Parts, part_indices, quote_first, standardise_target
from trainables.data.splits import Arrays
from trainables.data.table_file import read_table
from trainables.data.target import Target, read_target
from trainables.errors import DataError
from trainables.mistake import nearest
from trainables.notice import Notice, texts_of

if TYPE_CHECKING:
    import pandas as pd


def load(path: Path, *, target: str, task: str, drop: Sequence[str], seed: int) -> Parts:
    """Return a CSV, TSV or Parquet file as examples.

    Args:
        path: the file's path.
        target: the column to predict; rows without it are left out.
        task: ``classification``, ``regression``, or ``auto`` (see ``read_target``).
        drop: columns to leave out.
        seed: seeds the split.

    Raises:
        DataError: everything that is wrong with the file, a line each.
    """
    table, notices = read_table(path)
    errors = _unknown(table, "--target", [target]) + _unknown(table, "--drop", drop)
    if target in drop:
        errors.append(f"--drop {target!r}: it is the target")
    if errors:
        raise DataError(errors)
    labelled = table[target].notna().to_numpy()
    rows = table[labelled]
    if not len(rows):
        raise DataError(f"--target {target!r} has no value in any of {len(table):,} rows")
    columns = rows.drop(columns=[target, *drop])
    found = _target(rows[target], target, task, errors)
    errors += column_errors(columns)
    if found is None or errors:
        raise DataError(errors)
    if len(rows) < len(table):
        missing = len(table) - len(rows)
        text = f"dropped, no value for the target: {missing:,} rows"
        notices = (*notices, Notice("dropped_rows", text, missing, warning=True))
    parts = _parts(columns, found, seed=seed)
    if not parts.train.x.shape[1]:
        raise DataError(
            f"--data table:{path}: no column is left to learn from ({'; '.join(texts_of(parts.notices[1:])) or 'none'})"
        )
    return dataclasses.replace(parts, notices=(found.notice, *notices, *parts.notices))


def _parts(columns: pd.DataFrame, target: Target, *, seed: int) -> Parts:
    test, val, train = part_indices(target.y, numeric=target.numeric, seed=seed)
    inputs = encode_columns(columns, train)

    def part(indices: NDArray[np.int64]) -> Arrays:
        return Arrays(inputs.x[indices], target.y[indices])

    parts = Parts(part(train), part(val), part(test), labels=target.labels, notices=inputs.notices)
    return standardise_target(parts) if target.numeric else parts


def _target(column: pd.Series[Any], name: str, task: str, errors: list[str]) -> Target | None:
    try:
        return read_target(column, name, task)
    except DataError as error:
        errors += error.errors
        return None


def _unknown(table: pd.DataFrame, option: str, names: Sequence[str]) -> list[str]:
    known = list(table.columns)
    return [
        f"{option} {name!r} is no column of the table.{nearest(name, known)} {_columns(known)}"
        for name in names
        if name not in known
    ]


def _columns(known: list[str]) -> str:
    if sum(_is_number(name) for name in known) * 2 > len(known):
        return f"The first line looks like data, not like names: {quote_first(known)}"
    return f"Columns: {quote_first(known)}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
