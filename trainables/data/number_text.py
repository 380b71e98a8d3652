"""Numbers as people write them: thousands marks, decimal commas, signs, percent, currencies, units."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MARKS = (".", ",")
"""What may stand before the decimals."""

_SPACES = " '\u2019\u202f\u2009\u00a0"
_MINUS = "\u2212\u2013-"
_CURRENCY = r"(?:US\$|[$€£¥₹₩₽₺]|USD|EUR|GBP|CHF|JPY|CNY|INR)"
_UNIT = r"[^\W\d_]{1,10}[²³]?(?:/[^\W\d_]{1,8}[²³]?)?|[%‰]|°[CFKcfk]?|" + _CURRENCY
_SHAPE = re.compile(
    rf"(?P<open>\()?(?P<sign>[+{_MINUS}])?\s*(?P<before>{_CURRENCY})?\s*(?P<inner>[+{_MINUS}])?"
    rf"(?P<digits>[\d.,{_SPACES}]*\d[.,]?)(?P<power>[eE][+-]?\d+)?\s*(?P<after>{_UNIT})?(?P<close>\))?"
)


def _plain(decimal: str, thousands: str) -> re.Pattern[str]:
    """Return what digits look like with a decimal mark, and whole groups of three between marks of one kind."""
    mark, groups = re.escape(decimal), rf"[{re.escape(thousands)}{_SPACES}]"
    lakhs = r"|[1-9]\d?(?:,\d\d)+,\d{3}" if thousands == "," else ""  # 12,34,567
    return re.compile(
        rf"(?:[1-9]\d{{0,2}}(?P<mark>{groups})\d{{3}}(?:(?P=mark)\d{{3}})*{lakhs}|\d+)(?:{mark}\d*)?|{mark}\d+"
    )


_DIGITS = {".": _plain(".", ","), ",": _plain(",", ".")}
_BEFORE_POWER = {".": re.compile(r"\d+(\.\d*)?|\.\d+"), ",": re.compile(r"\d+(,\d*)?|,\d+")}
"""What stands before an exponent: thousands are not marked there."""


@dataclass(frozen=True)
class NumberText:
    """A text that is a number.

    Attributes:
        readings: it as Python writes numbers, by the decimal mark with which it is one: ``1,234`` is ``1234``
            with a point and ``1.234`` with a comma.
        unit: what stands before and after it: ``$``, ``%``, ``kg``; empty for none.
    """

    readings: Mapping[str, str]
    unit: str


def parse_number(text: str) -> NumberText | None:
    """Return what number ``text`` is, or None.

    ``(1,200)`` is negative, as accountants write it. Bounds such as ``<7.0`` are no numbers.
    """
    if not text.isascii():  # the digits of other scripts
        text = "".join(str(unicodedata.decimal(letter, letter)) for letter in text)
    shape = _SHAPE.fullmatch(text.strip())
    if shape is None or bool(shape["open"]) != bool(shape["close"]):
        return None
    signs = [shape["sign"], shape["inner"]]
    if (shape["before"] and shape["after"]) or all(signs) or (shape["open"] and any(signs)):
        return None
    minus = "-" if shape["open"] or any(sign and sign in _MINUS for sign in signs) else ""
    forms = _BEFORE_POWER if shape["power"] else _DIGITS
    readings = {
        mark: minus + _as_python(shape["digits"], mark) + (shape["power"] or "")
        for mark in MARKS
        if forms[mark].fullmatch(shape["digits"])
    }
    return NumberText(readings, shape["before"] or shape["after"] or "") if readings else None


def _as_python(digits: str, mark: str) -> str:
    thousands = {".": ",", ",": "."}[mark]
    return digits.translate(str.maketrans("", "", thousands + _SPACES)).replace(mark, ".")


def decimal_mark(numbers: Iterable[NumberText]) -> str | None:
    """Return the mark that most of ``numbers`` need to be numbers at all; None where none needs one or the other."""
    needed = [next(iter(number.readings)) for number in numbers if len(number.readings) == 1]
    if not needed:
        return None
    return "." if needed.count(".") * 2 >= len(needed) else ","
