"""The columns of a user's table: what kind each is, and how they become the inputs of a model."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.date_text import is_iso
from trainables.data.parts import list_first, quote_first
from trainables.notice import Notice, notice_of

if TYPE_CHECKING:
    import pandas as pd

MOST_TEXTS = 1000
"""Distinct values of a text column; each becomes an input of its own."""

LARGEST = 1e30
"""Magnitude up to which a number is taken: float32 ends at 3e38."""

ROWS = 10_000
"""Rows that are encoded at once: the steps in between are in float64."""

DAY_US = 86_400_000_000


class ColumnKind(StrEnum):
    """What the values of a column are."""

    NUMBER = "numbers"
    FLAG = "true/false"
    DATE = "dates"
    TEXT = "text"
    OTHER = "other"


def kind_of(column: pd.Series[Any]) -> ColumnKind:
    """Return what the values of ``column`` are; one of text whose every value is an ISO date holds dates."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        return ColumnKind.TEXT
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred == "string":
        return ColumnKind.DATE if is_iso(column.dropna()) else ColumnKind.TEXT
    return _KINDS.get(inferred, ColumnKind.OTHER)


def column_errors(columns: pd.DataFrame) -> list[str]:
    """Return which columns cannot become inputs, a line each."""
    errors = []
    for name in columns:
        column, kind = columns[name], kind_of(columns[name])
        if kind is ColumnKind.OTHER:
            found = type(column.dropna().iloc[0]).__name__
            errors.append(
                f"column {name!r} holds {found} values, which are no number, text, date or true/false; "
                f"leave it out: --drop {name!r}"
            )
        elif kind is ColumnKind.TEXT and column.nunique() > MOST_TEXTS:
            first = column.dropna().iloc[0]
            errors.append(
                f"column {name!r} is text with {column.nunique():,} distinct values (such as {first!r}), and at most "
                f"{MOST_TEXTS:,} can be told apart; leave it out: --drop {name!r}"
            )
        elif kind is ColumnKind.NUMBER:
            count = int((np.abs(column_numbers(column, kind)) > LARGEST).sum())
            if count:
                errors.append(f"column {name!r} holds {count} infinite value(s), or beyond 1e30; make them empty")
    return errors


def column_numbers(column: pd.Series[Any], kind: ColumnKind) -> NDArray[Any]:
    """Return the values as float64 with NaN where one is missing; text as objects, likewise."""
    import pandas as pd

    if kind is ColumnKind.TEXT:
        texts = np.array(column.astype(object).map(str), object)
        texts[column.isna().to_numpy()] = np.nan
        return texts
    if kind is ColumnKind.DATE:
        days = _to_dates(column).to_numpy("datetime64[us]").astype(np.int64) / DAY_US
        return np.where(column.isna().to_numpy(), np.nan, days)
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        column = column.dt.total_seconds() / (DAY_US / 1e6)
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def why_useless(values: NDArray[Any], kind: ColumnKind) -> str:
    """Return why a column's training part has nothing to tell, or an empty string."""
    import pandas as pd

    distinct = pd.Series(values).nunique(dropna=kind is not ColumnKind.TEXT)
    if pd.isna(values).all():
        return "no value in the training part"
    return "" if distinct > 1 else "constant in the training part"


def column_notices(
    kept: pd.DataFrame, kinds: Mapping[str, ColumnKind], dropped: Mapping[str, str], *, inputs: int
) -> tuple[Notice, ...]:
    """Return what a user should know of columns that became ``inputs`` inputs, those that were dropped included."""
    counts = [f"{kind.value} {n}" for kind in ColumnKind if (n := sum(kinds[str(name)] is kind for name in kept))]
    text = f"columns: {len(kept.columns)} ({', '.join(counts)}), as {inputs} inputs"
    notices = [notice_of("columns", text, kept.columns)]
    for why in dict.fromkeys(dropped.values()):
        names = [name for name in dropped if dropped[name] == why]
        notices.append(notice_of("dropped_columns", f"dropped, {why}: {quote_first(names)}", names, warning=True))
    gaps = kept.isna().sum()
    if gaps.any():
        gaps = gaps[gaps > 0]
        text = f"missing values: {list_first([f'{name!r} {n}' for name, n in gaps.items()])}"
        notices.append(notice_of("missing_values", text, gaps.index))
    return tuple(notices)


def _to_dates(column: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    text = pd.api.types.infer_dtype(column, skipna=True) == "string"
    dates = pd.to_datetime(column, utc=True, format="ISO8601" if text else None)
    return dates.dt.tz_localize(None)


_KINDS: dict[str, ColumnKind] = {
    **dict.fromkeys(
        ("integer", "floating", "mixed-integer-float", "decimal", "timedelta64", "empty"), ColumnKind.NUMBER
    ),
    "boolean": ColumnKind.FLAG,
    **dict.fromkeys(("datetime64", "datetime", "date"), ColumnKind.DATE),
}
"""The kinds by what pandas calls the values of a column; ``empty`` is one in which all are missing."""
