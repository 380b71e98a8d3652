"""Columns of text whose every value has a digit: months, weeks, quoted formulas, sizes, which text tells nothing of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trainables.data.columns import ColumnKind, kind_of
from trainables.data.parts import list_first
from trainables.notice import Notice, notice_of

if TYPE_CHECKING:
    import pandas as pd

MOST_CODES = 10
"""Distinct values up to which such a column is taken for a few codes, as text is."""


def numbered_texts(columns: pd.DataFrame, read_as: Mapping[str, str]) -> list[Notice]:
    """Return which columns of text may be numbers or dates in a form that is not read.

    Args:
        columns: of all rows that are used.
        read_as: what columns are by what the user says; of these nothing is said.
    """
    found = {}
    for name, column in columns.items():
        if str(name) in read_as or kind_of(column) is not ColumnKind.TEXT:
            continue
        values = column.dropna().astype(str).drop_duplicates()
        if len(values) > MOST_CODES and values.str.contains(r"\d").all():
            found[str(name)] = f"{len(values):,} values, such as {values.iloc[0]!r}"
    if not found:
        return []
    listed = list_first([f"{name!r} ({detail})" for name, detail in found.items()])
    text = (
        f"read as text, an input for each value, though each has a digit: {listed}; write numbers as 1234.5 and dates "
        "as 2024-03-01, or say --as COLUMN=text"
    )
    return [notice_of("numbered_texts", text, found, warning=True)]
