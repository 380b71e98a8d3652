"""A user's table as examples: read, split, encoded by its training part alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trainables.data.column_encoder import ColumnEncoder
from trainables.data.column_remarks import Remarks
from trainables.data.columns import ColumnKind, column_errors, kind_of
from trainables.data.numbered_texts import numbered_texts
from trainables.data.odd_numbers import odd_numbers
from trainables.data.part_files import TEST_FILE, VAL_FILE, PartFile, order_errors, read_part_file
from trainables.data.parts import Parts, list_first, quote_first, spelled_alike
from trainables.data.recut import Recut
from trainables.data.row_keys import RowKeys, key_columns, key_errors, read_keys
from trainables.data.spec import DataSpec
from trainables.data.table_columns import drop_identifiers, read_columns
from trainables.data.table_file import TableFile, read_table
from trainables.data.table_parts import TableRows, table_parts
from trainables.data.table_preprocessing import TablePreprocessing
from trainables.data.target import Target, read_target
from trainables.data.text_dialect import clean_name
from trainables.errors import DataError
from trainables.mistake import nearest
from trainables.notice import Notice, notice_of
from trainables.stage import stage

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def load(spec: DataSpec, *, recut: Recut | None = None) -> Parts:
    """Return a CSV, TSV, Parquet or Excel file as examples.

    Args:
        spec: names the file, the target, and how the file is to be read as far as the user says so.
        recut: a pair or a fold, where not the parts of the search are wanted; see ``cut_anew``.

    Raises:
        DataError: everything that is wrong with the file, a line each.
    """
    assert spec.path is not None and spec.target is not None, "the study's declaration is checked for both"
    path, target = Path(spec.path), clean_name(spec.target)
    spec = _cleaned(spec)
    keys = key_columns(spec)
    read_as = {clean_name(name): kind for name, _, kind in (entry.rpartition("=") for entry in spec.read_as)}
    if spec.group is not None:
        read_as = {**read_as, spec.group: "text"}  # 007 is another group than 7
    as_text = tuple(name for name, kind in read_as.items() if kind == "text")
    file = read_table(path, spec, as_text=as_text)
    named = {"--target": (target,), "--drop": spec.drop, "--as": tuple(read_as)}
    named |= {option: (name,) for option, name in keys.items()}
    errors = [line for option, names in named.items() for line in _unknown(file.frame, option, names)]
    if target in spec.drop:
        errors.append(f"--drop {target!r}: it is the target")
    if errors := errors + key_errors(spec):
        raise DataError(errors)
    remarks = Remarks()
    table = read_columns(file, spec, read_as, remarks, errors)
    if errors:
        raise DataError(errors)
    rows = table[table[target].notna().to_numpy()]
    if not len(rows):
        raise DataError(f"--target {target!r} has no value in any of {len(table):,} rows")
    columns = drop_identifiers(rows.drop(columns=[target, *keys.values()]), as_text, remarks)
    found = _collect(partial(read_target, rows[target], target, spec.task), errors)
    of_rows = _collect(partial(read_keys, rows, spec), errors)
    errors += column_errors(columns)
    if found is None or of_rows is None or errors:
        raise DataError(errors)
    used = columns.assign(**{target: rows[target]})
    notices = [found.notice, *file.notices, *remarks.notices(), *_alike(used), *odd_numbers(used, read_as)]
    notices += numbered_texts(columns, read_as)
    if len(rows) < len(table):
        missing = len(table) - len(rows)
        text = f"dropped, no value for the target: {missing:,} rows"
        notices.append(Notice("dropped_rows", text, missing, warning=True))
    as_read = partial(_as_read, file=file, spec=spec)
    files = _part_files(used, spec, found, of_rows, as_read)
    with stage(f"cutting {len(rows):,} rows into parts, and making inputs of {len(columns.columns)} columns"):
        parts = table_parts(TableRows(columns, found, of_rows, files), spec, recut=recut, as_read=as_read)
    notices += parts.notices
    if not parts.train.x.shape[1]:
        why = [notice.text for notice in notices if notice.kind.startswith("dropped")]
        raise DataError(f"--data table:{spec.path}: no column is left to learn from ({'; '.join(why) or 'none'})")
    return dataclasses.replace(parts, notices=tuple(notices))


def _cleaned(spec: DataSpec) -> DataSpec:
    """Return a declaration with the names of its columns as a table that was read has them."""
    given: dict[str, Any] = {name: getattr(spec, name) for name in ("target", "group", "time", "weight")}
    cleaned: dict[str, Any] = {name: None if column is None else clean_name(column) for name, column in given.items()}
    return dataclasses.replace(spec, **cleaned, drop=tuple(map(clean_name, spec.drop)))


def _part_files(
    used: pd.DataFrame,
    spec: DataSpec,
    target: Target,
    keys: RowKeys,
    as_read: Callable[[TablePreprocessing], TablePreprocessing],
) -> dict[str, PartFile]:
    """Read the files of the parts that have one, by the option that names it.

    Args:
        used: the columns of the training file that are inputs or the target.
        spec: the declaration.
        target: of the training file.
        keys: of the training file.
        as_read: completes a preprocessing by how that file was read.
    """
    given = {VAL_FILE: spec.val_file, TEST_FILE: spec.test_file}
    texts = [str(name) for name in used if kind_of(used[name]) is ColumnKind.TEXT and name != spec.target]
    how = as_read(TablePreprocessing(tuple(ColumnEncoder(name, ColumnKind.TEXT) for name in texts)))
    errors: list[str] = []
    kind = kind_of(used[spec.target])
    read = partial(read_part_file, spec=spec, target=target, kind=kind, like=keys, how=how)
    found = {
        option: file
        for option, path in given.items()
        if path is not None and (file := _collect(partial(read, option, path), errors)) is not None
    }
    if errors := errors + order_errors(keys, list(found.values()), spec):
        raise DataError(errors)
    return found


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


def _collect(build: Callable[[], T], errors: list[str]) -> T | None:
    """Return what is built; None, with why in ``errors``, where it cannot be."""
    try:
        return build()
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
