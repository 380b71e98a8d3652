"""Dates as people write them: ISO 8601, the American and the European order, months by name, with a time or without."""

from __future__ import annotations

import datetime
import itertools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 50
"""Values by which the forms are told that could be those of a column."""

TRIED = 5
"""Values of these with which each form is tried first."""

ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LIKE_A_DATE = re.compile(r"(?=.*\d)[\w ]{1,9}[-/. ][\w]{1,9},?[-/. ]\d{2,4}\b.*")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_DATES = (
    *(f"%{a}{mark}%{b}{mark}%{year}" for mark in "/.-" for a, b in ("dm", "md") for year in "Yy"),
    *("%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%d"),
    *(f"%d{mark}%{month}{mark}%{year}" for mark in " -" for month in "bB" for year in "Yy"),
    *(f"%{month} %d{comma} %Y" for month in "bB" for comma in (",", "")),
)
_COMPACT = ("%Y%m%d", "%Y-%m", "%Y")
"""What is a number, or nothing, unless a user says that it is a date."""


class AmbiguousDatesError(ValueError):
    """The day and the month cannot be told apart."""


def parse_dates(texts: pd.Series[Any], *, asked: bool = False, day_first: bool | None = None) -> pd.Series[Any] | None:
    """Return ``texts`` as dates, missing where one is none; None where too few are.

    Args:
        texts: distinct values, none of them missing.
        asked: whether a user says that they are dates, so that ``20240314`` and ``2024`` are too.
        day_first: which order a day and a month have where that cannot be told; None for unknown.

    Raises:
        AmbiguousDatesError: it cannot be told, and is not given.
    """
    import pandas as pd

    sample = texts.iloc[:SAMPLE]
    if sample.str.match(ISO_DATE).mean() > 0.5:
        return _to_days(pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce"))
    if not asked and sample.str.fullmatch(_LIKE_A_DATE).mean() <= 0.5:
        return None
    forms = [date + time for date, time in itertools.product(_DATES, _TIMES)] + list(_COMPACT if asked else ())
    first = [str(text) for text in sample.iloc[:TRIED]]
    likely = [form for form in forms if any(_has_form(text, form) for text in first)]
    found = {form: pd.to_datetime(texts, format=form, errors="coerce") for form in likely}
    most = max((int(dates.notna().sum()) for dates in found.values()), default=0)
    if most == 0 or (most * 2 <= len(texts) and not asked):
        return None
    best = {form: dates for form, dates in found.items() if int(dates.notna().sum()) == most}
    form = next(iter(best))
    if any(not dates.equals(best[form]) for dates in best.values()):
        form = next((form for form in best if form.startswith("%d") is day_first), "")
        if day_first is None and not (form := next((form for form in best if form.startswith("%d.")), "")):
            raise AmbiguousDatesError
    return best[form]


def is_iso(texts: pd.Series[Any]) -> bool:
    """Say whether every one of ``texts``, none of them missing, is an ISO 8601 date."""
    import pandas as pd

    if not all(ISO_DATE.match(text) for text in texts.iloc[:SAMPLE]) or not texts.str.match(ISO_DATE).all():
        return False
    return bool(pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce").notna().all())


def _has_form(text: str, form: str) -> bool:
    try:
        datetime.datetime.strptime(text, form)
    except ValueError:
        return False
    return True


def _to_days(dates: pd.Series[Any]) -> pd.Series[Any]:
    days: pd.Series[Any] = dates.dt.tz_localize(None)
    return days
