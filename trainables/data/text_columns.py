"""The text columns of a table: which hold numbers, dates or true/false, written as people write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.column_remarks import Remark, Remarks
from trainables.data.date_text import ISO_DATE, AmbiguousDatesError, parse_dates
from trainables.data.number_columns import AmbiguousNumbersError, Reading, read_numbers
from trainables.data.parts import list_first

if TYPE_CHECKING:
    import pandas as pd

MISSING_WORDS = frozenset(
    "na n/a nan -nan none null nil <na> #n/a #na #null! n.a. 1.#ind -1.#ind 1.#qnan -1.#qnan".split()
)
"""Words, in small letters, that are missing values in a column which is of numbers, dates or true/false otherwise."""

GAPS = 0.01
"""Share of the values of a column up to which values of another kind become missing."""

FEW = 20
"""Distinct values up to which a column of mixed values is a usable text, and a target is taken for classes."""

_NAMES = {"number": "number", "date": "date", "flag": "true or false"}


@dataclass(frozen=True)
class Distinct:
    """The values of a text column, each once.

    Attributes:
        texts: the distinct values, without the missing one.
        counts: in how many rows each is, with the same index.
        codes: [N] which of them is in each row; -1 where it is missing.
    """

    texts: pd.Series[Any]
    counts: pd.Series[Any]
    codes: NDArray[np.int64]

    def count(self, chosen: pd.Series[Any]) -> int:
        """Return in how many rows the chosen texts are."""
        return int(self.counts[chosen].sum())

    def listed(self, chosen: pd.Series[Any]) -> str:
        """Return the chosen texts in words, each with how often it occurs, the most frequent first."""
        counts = self.counts[chosen].sort_values(ascending=False, kind="stable")
        texts = self.texts[counts.index]
        return list_first([f"{text!r} {count:,}" for text, count in zip(texts, counts, strict=True)])


@dataclass(frozen=True)
class TextReader:
    """Reads the text columns of a table, and gathers what is to say of them.

    Attributes:
        decimal: the mark before decimals where a column's values do not tell it; None for unknown.
        typed: whether the file has types of its own, so that text in it is meant to be text.
        target: the column in which few values, written in a way of their own, are classes.
        remarks: takes what a user should know.
        errors: takes why columns cannot be read, a line each.
    """

    decimal: str | None
    typed: bool
    target: str
    remarks: Remarks = field(default_factory=Remarks)
    errors: list[str] = field(default_factory=list)

    def read(self, column: pd.Series[Any], name: str, asked: str | None) -> pd.Series[Any]:
        """Return a text column as numbers, dates or true/false where its values are those, else as it is.

        Args:
            column: [N] texts, missing ones among them.
            name: what it is called.
            asked: ``number`` or ``date`` where the user says what it holds; None to tell by the values.
        """
        found = distinct(column)
        trimmed = found.texts.str.strip()
        changed = trimmed != found.texts
        if changed.any() or (trimmed == "").any():
            column = column.str.strip()
            column = column.mask(column == "")
            if changed.any():
                self.remarks.add(Remark.SPACES, name, f"{found.count(changed):,} values")
            found = distinct(column)
        words = found.texts.str.lower().isin(MISSING_WORDS)
        texts, counts = found.texts[~words], found.counts[~words]
        if not len(texts):
            if asked is None and words.any():
                self.remarks.add(Remark.WORDS_AS_TEXT, name, found.listed(words))
                return column
            return column.where(column.isna()).astype(np.float64)
        try:
            reading = self._parsed(texts, counts, asked)
        except AmbiguousDatesError:
            self.errors.append(
                f"column {name!r} holds dates such as {texts.iloc[0]!r}, whose day and month cannot be told apart; "
                f"write them as 2024-03-14, or use --as {name!r}=text or --drop {name!r}"
            )
            return column
        except AmbiguousNumbersError:
            self.errors.append(
                f"column {name!r} holds numbers such as {texts.iloc[0]!r}, and nothing tells whether the comma is for "
                f"thousands or before decimals; --decimal . or --decimal , says it, or use --drop {name!r}"
            )
            return column
        if reading is None:
            if asked is not None:
                self.errors.append(f"--as {name!r}={asked}: most values are no {asked} (such as {texts.iloc[0]!r})")
            elif words.any():
                self.remarks.add(Remark.WORDS_AS_TEXT, name, found.listed(words))
            return column
        odd = reading.values.isna().reindex(found.texts.index, fill_value=False)
        if asked is None and not self._fits(found, reading, odd, name):
            return column
        self._remark(found, reading, words, odd, name)
        return _spread(column, found, reading)

    def _parsed(self, texts: pd.Series[Any], counts: pd.Series[Any], asked: str | None) -> Reading | None:
        """Return distinct texts as what most rows hold; None where that is text."""
        day_first = True if self.decimal == "," else None
        parsers: dict[str, Callable[[], Reading | None]] = {
            "number": lambda: read_numbers(texts, counts, self.decimal, asked=asked is not None),
            "date": lambda: _read_dates(texts, asked=asked == "date", day_first=day_first),
            "flag": lambda: Reading("flag", texts.str.lower().map({"true": True, "false": False})),
        }
        for kind in parsers if asked is None else (asked,):
            reading = parsers[kind]()
            fewest = 0 if asked is not None else int(counts.sum()) // 2
            if reading is not None and counts[reading.values.notna()].sum() > fewest:
                return reading
        return None

    def _fits(self, found: Distinct, reading: Reading, odd: pd.Series[Any], name: str) -> bool:
        """Say whether a column is read as what most of its values are; note what is to say where it is not."""
        several = reading.values.nunique() > FEW
        if name == self.target and reading.spelled and not several:
            return False
        total, count = int(found.counts.sum()), found.count(odd)
        if not count:
            plain = reading.kind == "number" and not reading.spelled and len(reading.values) == len(found.texts)
            if self.typed and plain and len(found.texts) * 2 <= total:
                self.remarks.add(Remark.NUMERALS, name, f"such as {found.texts.iloc[0]!r}")
                return False
            return True
        if count <= GAPS * total:
            return True
        what, words = _NAMES[reading.kind], found.texts[odd]
        if several:
            missing = f"--missing {words.iloc[0]!r}" if len(words) == 1 else "--missing WORD"
            self.errors.append(
                f"column {name!r}: {count:,} of {total:,} values are no {what} ({found.listed(odd)}), and at most "
                f"{GAPS:.0%} are read as missing; use --as {name!r}={reading.kind} to read all of these as missing, "
                f"--as {name!r}=text, {missing}, or --drop {name!r}"
            )
        else:
            self.remarks.add(Remark.MIXED_TEXT, name, f"no {what}: {found.listed(odd)}")
        return False

    def _remark(self, found: Distinct, reading: Reading, words: pd.Series[Any], odd: pd.Series[Any], name: str) -> None:
        add = self.remarks.add
        if reading.spelled:
            add(Remark.SPELLED_DATES if reading.kind == "date" else Remark.SPELLED_NUMBERS, name, reading.spelled)
        if words.any():
            add(Remark.MISSING_WORDS, name, found.listed(words))
        if odd.any():
            add(Remark.ODD_VALUES, name, f"no {_NAMES[reading.kind]}: {found.listed(odd)}")


def distinct(column: pd.Series[Any]) -> Distinct:
    """Return the values of a text column, each once."""
    import pandas as pd

    codes, texts = pd.factorize(column)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    return Distinct(pd.Series(texts, dtype="str"), pd.Series(counts), codes.astype(np.int64))


def _spread(column: pd.Series[Any], found: Distinct, reading: Reading) -> pd.Series[Any]:
    """Return the value of each row from that of its text."""
    values = reading.values.astype(object) if reading.kind == "flag" else reading.values
    return values.reindex(found.codes).set_axis(column.index)  # a code of -1 is in no index: missing


def _read_dates(texts: pd.Series[Any], *, asked: bool, day_first: bool | None) -> Reading | None:
    dates = parse_dates(texts, asked=asked, day_first=day_first)
    if dates is None or dates.isna().all():
        return None
    first = dates.first_valid_index()
    spelled = f"{texts[first]!r} is {dates[first]}".removesuffix(" 00:00:00")
    return Reading("date", dates, "" if ISO_DATE.match(texts[first]) else spelled)
