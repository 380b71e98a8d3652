"""Reads a CSV or TSV file as a table, in whatever separator, decimal mark and encoding it is written."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.data.parts import list_first
from trainables.data.spec import SEPARATOR_WORDS, DataSpec
from trainables.data.text_dialect import WORDS, Dialect, check_header, clean_name, find_dialect
from trainables.data.text_file import read_text_file
from trainables.errors import DataError
from trainables.notice import Notice, notice_of

if TYPE_CHECKING:
    import pandas as pd


def read_text_table(
    path: Path, ending: str, spec: DataSpec, *, as_text: Sequence[str], what: str
) -> tuple[pd.DataFrame, str | None, tuple[Notice, ...]]:
    """Return the table, its decimal mark where that can be told, and what a user should know.

    Args:
        path: of the file.
        ending: of its name, without ``.gz``: ``.csv`` or ``.tsv``.
        spec: what the user says of separator, decimal mark, encoding and missing words.
        as_text: columns whose values are kept as they are written.
        what: begins the lines of errors.

    Raises:
        DataError: it is no table.
        Exception: whatever pandas raises on damaged text.
    """
    import pandas as pd

    data, notices = read_text_file(path, spec.encoding, what=what)
    separator = None if spec.separator is None else SEPARATOR_WORDS.get(spec.separator, spec.separator)
    dialect = find_dialect(data, ending=ending, separator=separator, what=what)
    check_header(dialect.names, what)
    if len(dialect.names) < 2:
        raise DataError(
            f"{what} has one column only ({dialect.names[0]!r}); expected at least two, separated by "
            f"{WORDS.get(dialect.separator, repr(dialect.separator))}, with their names in the first line; "
            "--separator names another mark"
        )
    decimal = spec.decimal or dialect.decimal
    with warnings.catch_warnings():
        # Rows longer than the header would be cut; that is only a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            io.BytesIO(data),
            sep=dialect.separator,
            # where the comma separates, a decimal comma is quoted, and each column tells for itself
            decimal=decimal if decimal and (spec.decimal or dialect.separator != ",") else ".",
            skiprows=dialect.skipped,
            skipinitialspace=dialect.separator == " ",
            index_col=False,
            low_memory=False,
            dtype={name: "str" for name in dialect.names if clean_name(name) in as_text},
            keep_default_na=False,
            na_values=["", *spec.missing],
        )
    _check_short_rows(frame, data, dialect, what)
    return frame, decimal, (*notices, *_said(dialect, ending, spec, decimal), *_zeros(dialect, frame))


def _said(dialect: Dialect, ending: str, spec: DataSpec, decimal: str | None) -> tuple[Notice, ...]:
    notices = []
    name = WORDS.get(dialect.separator, dialect.separator)
    if spec.separator is None and dialect.separator != {".csv": ",", ".tsv": "\t"}[ending]:
        notices.append(Notice("separator", f"separated by {name}, found by looking at the first lines"))
    if dialect.fits_too:
        text = f"separated by {name}, though {WORDS[dialect.fits_too]} would fit too; --separator says which"
        notices.append(Notice("separator", text, warning=True))
    if spec.decimal is None and decimal == ",":
        notices.append(Notice("decimal", "decimal mark: a comma, found by looking at the first lines"))
    return tuple(notices)


def _zeros(dialect: Dialect, frame: pd.DataFrame) -> list[Notice]:
    codes = {name: text for name, text in dialect.zeros.items() if name in frame and frame[name].dtype.kind in "iuf"}
    if not codes:
        return []
    listed = list_first([f"{name!r} ({text!r})" for name, text in codes.items()])
    text = f"read as numbers, without the zeros in front: {listed}; --as COLUMN=text keeps codes as they are"
    return [notice_of("leading_zeros", text, codes, warning=True)]


def _check_short_rows(frame: pd.DataFrame, data: bytes, dialect: Dialect, what: str) -> None:
    """Refuse a file whose rows have fewer fields than the header: pandas fills them up without a word."""
    if not frame.iloc[:, -1].isna().any():
        return
    text = io.StringIO(data.decode(), newline="")
    reader = csv.reader(text, delimiter=dialect.separator, skipinitialspace=dialect.separator == " ")
    names = len(dialect.names)
    short = [(reader.line_num, len(fields)) for fields in reader if fields and len(fields) < names]
    if short:
        line, fields_there = short[0]
        raise DataError(
            f"{what} is no table: the first line has {names} names, and {len(short):,} row(s) have fewer fields (line "
            f"{line} has {fields_there})"
        )
