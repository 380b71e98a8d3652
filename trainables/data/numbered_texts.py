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

CODE = r"^([^\W\d_]+)[-_]?\d+$"
MOST_LETTERS = 2
"""Letters that codes begin with where they are not the same for all: three may be a month."""


def numbered_texts(columns: pd.DataFrame, read_as: Mapping[str, str]) -> list[Notice]:
    """Return which columns of text may be numbers or dates in a form that is not read.

    Args:
        columns: of all rows that are used.
        read_as: what columns are by what the user says; of these nothing is said.
    """
    codes, others = dict[str, str](), dict[str, str]()
    for name, column in columns.items():
        if str(name) in read_as or kind_of(column) is not ColumnKind.TEXT:
            continue
        values = column.dropna().astype(str).drop_duplicates()
        if len(values) > MOST_CODES and values.str.contains(r"\d").all():
            found = codes if _are_codes(values) else others
            found[str(name)] = f"{len(values):,} values, such as {values.iloc[0]!r}"
    notices = []
    if others:
        text = (
            f"read as text, an input for each value, though each has a digit: {_listed(others)}; write numbers as "
            "1234.5 and dates as 2024-03-01, or say --as COLUMN=text"
        )
        notices.append(notice_of("numbered_texts", text, others, warning=True))
    if codes:
        text = (
            f"codes read as text, an input for each value: {_listed(codes)}; --drop leaves one out, and --as "
            "COLUMN=text says that it is meant"
        )
        notices.append(notice_of("numbered_texts", text, codes, warning=True))
    return notices


def _are_codes(values: pd.Series[str]) -> bool:
    """Say whether texts are letters with a number, as ``p028`` and ``C85`` are, and ``Jan-10`` is not."""
    letters = values.str.extract(CODE, expand=False)
    return bool(letters.notna().all()) and bool((letters.str.len() <= MOST_LETTERS).all() or letters.nunique() == 1)


def _listed(found: Mapping[str, str]) -> str:
    return list_first([f"{name!r} ({detail})" for name, detail in found.items()])
