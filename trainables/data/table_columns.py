"""The columns of a table file with the types that their values have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.data.column_remarks import Remark, Remarks
from trainables.data.number_columns import told_decimal
from trainables.data.spec import DataSpec
from trainables.data.table_file import TableFile
from trainables.data.text_columns import FEW, TextReader

if TYPE_CHECKING:
    import pandas as pd


def read_columns(
    file: TableFile, spec: DataSpec, read_as: Mapping[str, str], remarks: Remarks, errors: list[str]
) -> pd.DataFrame:
    """Return the columns that are used, text as numbers, dates or true/false where it is that.

    Args:
        file: the table as its file has it.
        spec: which columns are left out, which words are missing values, and which column is the target.
        read_as: ``number``, ``text`` or ``date`` by the name of a column, where the user says so.
        remarks: takes what a user should know of the columns.
        errors: takes why some cannot be read, a line each.
    """
    import pandas as pd

    columns = {
        str(name): with_gaps(column, spec.missing) for name, column in file.frame.items() if name not in spec.drop
    }
    texts = {name: column for name, column in columns.items() if is_text(column)}
    decimal = spec.decimal or file.decimal or _told(texts.values())
    assert spec.target is not None, "the study's declaration is checked for it"
    reader = TextReader(decimal, file.typed, spec.target, remarks, errors)
    for name, column in columns.items():
        asked = read_as.get(name)
        if name in texts and asked != "text":
            columns[name] = reader.read(column, name, asked)
        elif name not in texts and asked is not None:
            columns[name] = _converted(column, name, asked, reader)
    return pd.DataFrame(columns, copy=False)


def drop_identifiers(columns: pd.DataFrame, kept: Sequence[str], remarks: Remarks) -> pd.DataFrame:
    """Return the columns without text that has nearly another value in each row: names, keys, free text.

    Args:
        columns: N rows.
        kept: columns that the user says are text.
        remarks: takes which are dropped.
    """
    dropped = []
    for name, column in columns.items():
        if name in kept or not is_text(column):
            continue
        values, different = int(column.notna().sum()), int(column.nunique())
        if different > FEW and different * 2 > values:
            remarks.add(Remark.IDENTIFIERS, str(name), f"{different:,} values in {values:,} rows")
            dropped.append(name)
    return columns.drop(columns=dropped)


def is_text(column: pd.Series[Any]) -> bool:
    """Say whether a column's values are texts, missing ones aside."""
    import pandas as pd

    if isinstance(column.dtype, pd.StringDtype):
        return True
    return column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "string"


def _told(texts: Any) -> str | None:
    """Return the decimal mark that more of some text columns tell; None where none does."""
    marks = [mark for text in texts if (mark := told_decimal(text.dropna())) is not None]
    return max(marks, key=marks.count) if marks else None


def with_gaps(column: pd.Series[Any], missing: Sequence[str]) -> pd.Series[Any]:
    """Return a column without the words that the user says are missing values, numbers among them."""
    if not missing:
        return column
    if is_text(column):
        return column.mask(column.str.strip().isin(missing))
    if column.dtype.kind in "iuf":
        numbers = [float(word) for word in missing if _is_number(word)]
        return column.mask(column.isin(numbers)) if numbers else column
    return column


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _converted(column: pd.Series[Any], name: str, asked: str, reader: TextReader) -> pd.Series[Any]:
    """Return a column that is no text as what the user says it is."""
    dates = column.dtype.kind == "M"
    if asked == "text":
        return column.astype("str").mask(column.isna())
    if (asked == "date") == dates or (asked == "number" and column.dtype.kind in "iufb"):
        return column.astype(np.float64) if column.dtype.kind == "b" else column
    if asked == "date" and column.dtype.kind in "iuf":
        whole = column.astype("Int64") if (column.dropna() % 1 == 0).all() else column
        return reader.read(whole.astype("str").mask(column.isna()), name, asked)
    reader.errors.append(f"--as {name!r}={asked}: the column holds {'dates' if dates else str(column.dtype)} values")
    return column
