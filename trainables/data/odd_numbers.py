"""Numbers in a table that may stand for something else: missing values, dates, codes, the sum of a column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.parts import list_first
from trainables.notice import Notice, notice_of

if TYPE_CHECKING:
    import pandas as pd

STAND_INS = (-99.0, -999.0, -9999.0, -99999.0, -999999.0, -999.25, 999.0, 9999.0, 99999.0, 999999.0)
"""Numbers that are written where there is none."""

EXACT = 2**53
"""Whole numbers up to which float64 tells neighbours apart."""

LONGEST = 2.0**64
"""Whole numbers up to which they may be codes: beyond, a number with gaps is more likely a quantity."""

FEWEST_ROWS = 10
"""Rows that a table needs for its last one to be the sum of the others hardly by chance."""

_DATES = (19000101, 21001231)


def inexact(column: pd.Series[Any]) -> bool:
    """Say whether whole numbers are so long that different ones are one number as float64."""
    if column.dtype.kind in "iu":
        return bool(len(column) and max(abs(int(column.min())), abs(int(column.max()))) > EXACT)
    if column.dtype.kind != "f" or not column.notna().any():
        return False
    x = np.abs(column.dropna().to_numpy(np.float64))
    return bool(((x >= EXACT) & (x < LONGEST)).all())  # whole numbers with gaps


def odd_numbers(columns: pd.DataFrame, read_as: Mapping[str, str]) -> list[Notice]:
    """Return which columns of numbers may hold something else.

    Args:
        columns: of all rows that are used.
        read_as: what columns are by what the user says; of these nothing is said.
    """
    numbers = {str(name): column for name, column in columns.items() if column.dtype.kind in "iuf"}
    values = {name: column.dropna().to_numpy(np.float64) for name, column in numbers.items()}
    asked = {name: x for name, x in values.items() if name not in read_as and len(x)}
    notices = [
        *_said(
            "stand_ins",
            "far from all others, as what stands for a missing value is: {}; --missing VALUE reads it so",
            asked,
            _stand_in,
        ),
        *_said(
            "dates_as_numbers",
            "read as numbers, though they could be dates: {}; --as COLUMN=date or --as COLUMN=number says which",
            asked,
            _date,
        ),
    ]
    long = [name for name in asked if inexact(numbers[name])]
    if long:
        text = f"longer than a number can tell apart (beyond 2^53): {list_first(list(map(repr, long)))}"
        notices.append(notice_of("long_numbers", f"{text}; --as COLUMN=text keeps codes", long, warning=True))
    sums = [name for name, column in numbers.items() if _ends_in_sum(column.to_numpy(np.float64, na_value=np.nan))]
    if sums:
        text = f"the last row is the sum of all others: {list_first(list(map(repr, sums)))}; remove it from the file"
        notices.append(notice_of("sum_in_last_row", text, sums, warning=True))
    return notices


def _said(
    kind: str, sentence: str, values: Mapping[str, NDArray[np.float64]], find: Callable[[NDArray[np.float64]], str]
) -> list[Notice]:
    found = {name: detail for name, x in values.items() if (detail := find(x))}
    if not found:
        return []
    listed = list_first([f"{name!r} ({detail})" for name, detail in found.items()])
    return [notice_of(kind, sentence.format(listed), found, warning=True)]


def _stand_in(x: NDArray[np.float64]) -> str:
    """Return the least or greatest value, in words, if it stands for missing ones; else an empty string."""
    for value in (float(x.min()), float(x.max())):
        others = x[x != value]
        if value not in STAND_INS or not 2 <= len(x) - len(others) <= len(others):
            continue
        if np.abs(others - value).min() > np.ptp(others):
            return f"{value:g} {len(x) - len(others):,}"
    return ""


def _date(x: NDArray[np.float64]) -> str:
    """Return the first value as a date if all are whole numbers such as 20240314; else an empty string."""
    if x.min() < _DATES[0] or x.max() > _DATES[1] or (x != np.round(x)).any():
        return ""
    import pandas as pd

    texts = pd.Series(np.unique(x).astype(np.int64)).astype("str")
    dates = pd.to_datetime(texts, format="%Y%m%d", errors="coerce")
    return f"{x[0]:.0f}" if len(dates) > 1 and dates.notna().all() else ""


def _ends_in_sum(x: NDArray[np.float64]) -> bool:
    others, last = x[:-1][np.isfinite(x[:-1])], x[-1] if len(x) else np.nan
    if len(others) < FEWEST_ROWS or not np.isfinite(last) or abs(last) <= np.abs(others).max():
        return False
    return bool(abs(others.sum() - last) <= 1e-4 * abs(last))
