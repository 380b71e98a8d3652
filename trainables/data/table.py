"""A user's table as examples: read, split, encoded by its training part alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.column_remarks import Remarks
from trainables.data.columns import ColumnKind, column_errors, column_notices, column_numbers, kind_of, why_useless
from trainables.data.numbered_texts import numbered_texts
from trainables.data.odd_numbers import odd_numbers
from trainables.data.parts import (
    Parts,
    absent_classes,
    list_first,
    part_indices,
    quote_first,
    spelled_alike,
    standardise_target,
)
from trainables.data.room import free_memory, gib
from trainables.data.spec import DataSpec
from trainables.data.splits import Arrays
from trainables.data.suspects import copied_rows, suspicious_columns
from trainables.data.table_columns import drop_identifiers, read_columns
from trainables.data.table_file import TableFile, read_table
from trainables.data.table_preprocessing import TablePreprocessing, fit_table
from trainables.data.target import Target, read_target
from trainables.data.text_dialect import clean_name
from trainables.errors import DataError
from trainables.mistake import nearest
from trainables.notice import Notice, notice_of

if TYPE_CHECKING:
    import pandas as pd


def load(spec: DataSpec, *, pair: int | None = None) -> Parts:
    """Return a CSV, TSV, Parquet or Excel file as examples.

    Args:
        spec: names the file, the target, and how the file is to be read as far as the user says so.
        pair: seeds a pair; see ``with_pair``.

    Raises:
        DataError: everything that is wrong with the file, a line each.
    """
    assert spec.path is not None and spec.target is not None, "the study's declaration is checked for both"
    path, target = Path(spec.path), clean_name(spec.target)
    spec = dataclasses.replace(spec, target=target, drop=tuple(map(clean_name, spec.drop)))
    read_as = {clean_name(name): kind for name, _, kind in (entry.rpartition("=") for entry in spec.read_as)}
    as_text = tuple(name for name, kind in read_as.items() if kind == "text")
    file = read_table(path, spec, as_text=as_text)
    errors = [
        line
        for option, names in (("--target", [target]), ("--drop", spec.drop), ("--as", tuple(read_as)))
        for line in _unknown(file.frame, option, names)
    ]
    if target in spec.drop:
        errors.append(f"--drop {target!r}: it is the target")
    if errors:
        raise DataError(errors)
    remarks = Remarks()
    table = read_columns(file, spec, read_as, remarks, errors)
    if errors:
        raise DataError(errors)
    rows = table[table[target].notna().to_numpy()]
    if not len(rows):
        raise DataError(f"--target {target!r} has no value in any of {len(table):,} rows")
    columns = drop_identifiers(rows.drop(columns=target), as_text, remarks)
    found = _target(rows[target], target, spec.task, errors)
    errors += column_errors(columns)
    if found is None or errors:
        raise DataError(errors)
    used = columns.assign(**{target: rows[target]})
    notices = [found.notice, *file.notices, *remarks.notices(), *_alike(used), *odd_numbers(used, read_as)]
    notices += numbered_texts(columns, read_as)
    if len(rows) < len(table):
        missing = len(table) - len(rows)
        text = f"dropped, no value for the target: {missing:,} rows"
        notices.append(Notice("dropped_rows", text, missing, warning=True))
    parts = _parts(columns, found, seed=spec.seed, pair=pair)
    notices += parts.notices
    if not parts.train.x.shape[1]:
        why = [notice.text for notice in notices if notice.kind.startswith("dropped")]
        raise DataError(f"--data table:{spec.path}: no column is left to learn from ({'; '.join(why) or 'none'})")
    assert isinstance(parts.preprocessing, TablePreprocessing)
    return dataclasses.replace(parts, notices=tuple(notices), preprocessing=_as_read(parts.preprocessing, file, spec))


def _parts(columns: pd.DataFrame, target: Target, *, seed: int, pair: int | None) -> Parts:
    """Return the examples, everything that is learned for them from the training part alone."""
    import pandas as pd

    test, val, train = part_indices(target.y, numeric=target.numeric, seed=seed, pair=pair)
    kinds = {str(name): kind_of(columns[name]) for name in columns}
    values = {name: column_numbers(columns[name], kind) for name, kind in kinds.items()}
    dropped = {name: why for name in kinds if (why := why_useless(values[name][train], kinds[name]))}
    kept = [name for name in kinds if name not in dropped]
    frame = pd.DataFrame({name: values[name] for name in kept}, index=range(len(columns)))
    fitted = fit_table(frame.iloc[train], kinds)
    _check_room(len(columns), fitted)
    x = fitted.encode(values, rows=len(columns))

    def part(indices: NDArray[np.int64]) -> Arrays:
        return Arrays(x[indices], target.y[indices])

    parts = Parts(part(train), part(val), part(test), labels=target.labels)
    trained = {name: values[name][train] for name in kept}
    notices: tuple[Notice, ...] = ()
    if pair is None:  # of a pair nobody reads them
        notices = (
            *column_notices(columns[kept], kinds, dropped, inputs=x.shape[1]),
            *absent_classes(parts),
            *suspicious_columns(trained, target.y[train], numeric=target.numeric, seed=seed),
            *copied_rows(parts, trained),
        )
    parts = dataclasses.replace(parts, notices=notices, preprocessing=fitted, class_values=target.values)
    return standardise_target(parts) if target.numeric else parts


def _check_room(rows: int, fitted: TablePreprocessing) -> None:
    """Refuse a table whose inputs, and their copy in three parts, are larger than the memory."""
    inputs = sum(column.width for column in fitted.columns)
    needed, free = 2 * rows * inputs * np.dtype(np.float32).itemsize, free_memory()
    if needed > free:
        texts = [column for column in fitted.columns if column.kind is ColumnKind.TEXT]
        most = [column.name for column in sorted(texts, key=lambda column: column.width, reverse=True)]
        raise DataError(
            f"{rows:,} rows as {inputs:,} inputs take {gib(needed)} of memory, and {gib(free)} are free; use fewer "
            f"rows, or --drop columns of text with many values ({quote_first(most) or 'none'})"
        )


def _alike(table: pd.DataFrame) -> list[Notice]:
    """Return which columns, and values of text columns, a person may take for one: ``Price``, ``price``."""
    notices = []
    if alike := spelled_alike(map(str, table)):
        text = f"columns of their own, though spelled alike: {quote_first(alike)}"
        notices.append(notice_of("alike_columns", text, alike, warning=True))
    texts = {
        str(name): column.dropna().unique() for name, column in table.items() if kind_of(column) is ColumnKind.TEXT
    }
    found = {name: same for name, values in texts.items() if (same := spelled_alike(map(str, values)))}
    if found:
        listed = list_first([f"{name!r} ({quote_first(same)})" for name, same in found.items()])
        text = f"values of their own, though spelled alike: {listed}"
        notices.append(notice_of("alike_values", text, found, warning=True))
    return notices


def _as_read(fitted: TablePreprocessing, file: TableFile, spec: DataSpec) -> TablePreprocessing:
    """Return what was fitted, with how the file was read."""
    used = {column.name for column in fitted.columns}
    return dataclasses.replace(
        fitted,
        unused=tuple(str(name) for name in file.frame if name not in used),
        missing=spec.missing,
        separator=spec.separator,
        decimal=spec.decimal or file.decimal,
        encoding=spec.encoding,
    )


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
