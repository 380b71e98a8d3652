"""A column of texts as numbers: one decimal mark and one unit for all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.data.number_text import NumberText, decimal_mark, parse_number

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 200
"""Distinct values that are looked at where all would take long."""


class AmbiguousNumbersError(ValueError):
    """Numbers such as ``1,234``, and nothing that tells whether the comma is for thousands or before decimals."""


@dataclass(frozen=True)
class Reading:
    """Distinct texts as what they are.

    Attributes:
        kind: ``number``, ``date`` or ``flag``.
        values: one for each text, missing where it is none of the kind.
        spelled: a text that is written in another way than Python writes it, and what was read, in words; empty if
            there is none.
    """

    kind: str
    values: pd.Series[Any]
    spelled: str = ""


def read_numbers(
    texts: pd.Series[Any], counts: pd.Series[Any], decimal: str | None, *, asked: bool = False
) -> Reading | None:
    """Return distinct texts as numbers; None where they are clearly not.

    Args:
        texts: distinct values, none of them missing.
        counts: in how many rows each is, with the same index.
        decimal: the decimal mark where the values do not tell it; None for unknown. Then it is a point, and ``1,234``
            is 1234 if there are smaller numbers without a mark beside it.
        asked: whether a user says that they are numbers, however few look so.

    Raises:
        AmbiguousNumbersError: there are none, so that it could be 1.234 as well.
    """
    import pandas as pd

    plain = pd.to_numeric(texts, errors="coerce").astype(np.float64)
    pointed = plain.notna() & texts.str.contains(".", regex=False)
    if plain.notna().all() and (decimal != "," or not pointed.any()):
        return Reading("number", plain)
    others = texts[plain.isna()]
    sample = others.iloc[:SAMPLE]
    if not asked and len(others) * 2 > len(texts) and len(_parsed(sample)) * 4 < len(sample):
        return None
    parsed = _parsed(others)
    told = decimal_mark([*parsed.values(), *_parsed(texts[pointed].iloc[:SAMPLE]).values()])
    mark = told or decimal or "."
    if mark == ",":
        parsed, plain = {**parsed, **_parsed(texts[pointed])}, plain.mask(pointed)
    unit = _unit(parsed, counts, rows_without=int(counts[plain.notna()].sum()))
    read = {i: found.readings[mark] for i, found in parsed.items() if found.unit == unit and mark in found.readings}
    values = plain if not unit else plain.mask(plain.notna())
    values = values.fillna(pd.to_numeric(pd.Series(read, dtype="str")).astype(np.float64))
    spelled = next((i for i, text in read.items() if text != texts[i]), None)
    if told is None and decimal is None and any("," in texts[i] for i in read):
        whole = plain[plain.notna()]
        if not len(whole) or (whole.abs() >= 1000).any():
            raise AmbiguousNumbersError
    return Reading("number", values, "" if spelled is None else f"{texts[spelled]!r} is {read[spelled]}")


def told_decimal(texts: pd.Series[Any]) -> str | None:
    """Return the decimal mark that the first of some texts, none of them missing, need; None where none does."""
    return decimal_mark(_parsed(texts.iloc[:SAMPLE]).values())


def _parsed(texts: pd.Series[Any]) -> dict[Any, NumberText]:
    return {i: number for i, text in texts.items() if (number := parse_number(text)) is not None}


def _unit(parsed: Mapping[Any, NumberText], counts: pd.Series[Any], *, rows_without: int) -> str:
    """Return the unit that most rows have; empty for none."""
    rows = Counter({"": rows_without})
    for i, number in parsed.items():
        rows[number.unit] += int(counts[i])
    return max(rows, key=lambda unit: (rows[unit], unit == ""))
