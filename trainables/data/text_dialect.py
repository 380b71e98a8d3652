"""What separates the columns of a text file, what stands before its decimals, and what its columns are called."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainables.data.number_text import decimal_mark, parse_number
from trainables.data.parts import list_first
from trainables.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""What separates the columns, by the ending of the file's name, unless only another one does."""

CANDIDATES = (",", ";", "\t", "|")
WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
SAMPLE_BYTES = 256 * 1024
SAMPLE_LINES = 200
CODE = re.compile(r"0\d+")
DIRECTIVE = re.compile(r"sep=(.)\r?\n")
"""How a spreadsheet program is told the separator, in a line before the header."""


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    Attributes:
        separator: one character between the columns.
        decimal: what stands before decimals; None where the file does not tell.
        names: the columns' names, as they stand in the header.
        skipped: lines before the header.
        zeros: a value with zeros in front, as a code has, by the name of its column.
        fits_too: another separator by which all lines have as many fields; empty if there is none.
    """

    separator: str
    decimal: str | None
    names: tuple[str, ...]
    zeros: Mapping[str, str]
    skipped: int = 0
    fits_too: str = ""


def find_dialect(data: bytes, *, ending: str, separator: str | None, what: str) -> Dialect:
    """Return how a text file is written, from its first lines.

    The separator is that of the file's ending, unless the first lines do not all have as many fields by it and do by
    another one.

    Args:
        data: all of it, UTF-8.
        ending: of its name: ``.csv`` or ``.tsv``.
        separator: that the user says; None to tell by looking.
        what: begins the line of an error.

    Raises:
        DataError: there is no header.
    """
    text = data[:SAMPLE_BYTES].decode(errors="ignore")
    directive = DIRECTIVE.match(text)
    usual = directive[1] if directive else SEPARATORS[ending]
    text = text[directive.end() :] if directive else text
    rows = {
        mark: _rows(text, mark, whole=len(data) <= SAMPLE_BYTES) for mark in {usual, *CANDIDATES, separator or usual}
    }
    even = {mark for mark, lines in rows.items() if _even(lines)}
    chosen = separator or (usual if usual in even or directive else next((m for m in CANDIDATES if m in even), usual))
    lines = rows[chosen]
    if not lines:
        raise DataError(f"{what} is no table: no columns to read")
    lengths = {len(line) for line in lines[1:]}
    if len(lines[0]) > 1 and len(lengths) == 1 and lengths != {len(lines[0])}:
        raise DataError(
            f"{what} is no table: the first line has {len(lines[0])} names, and the others have {lengths.pop()} fields"
        )
    fields = [field for line in lines[1:] for field in line]
    numbers = [number for field in fields if (number := parse_number(field)) is not None]
    decimal = decimal_mark(numbers)
    zeros = {
        name: field
        for line in reversed(lines[1:])
        for name, field in zip(lines[0], line, strict=False)
        if CODE.fullmatch(field)
    }
    wider = [m for m in CANDIDATES if m in even and chosen in even and len(rows[m][0]) > len(lines[0])]
    return Dialect(
        chosen, decimal, tuple(lines[0]), zeros, 1 if directive else 0, "" if separator else "".join(wider[:1])
    )


def clean_name(name: str) -> str:
    """Return a column's name without blanks around it, its accents encoded in the one way that keyboards do."""
    return unicodedata.normalize("NFC", name).strip()


def check_header(names: Sequence[str], what: str) -> None:
    """Refuse a name that two columns have: pandas would call the second another name, and read both.

    Raises:
        DataError: there is one.
    """
    counts = Counter(cleaned for name in names if (cleaned := clean_name(name)))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        listed = list_first([f"{name!r} {counts[name]}" for name in twice])
        raise DataError(f"{what}: several columns have one name ({listed}); rename or remove all but one")


def _rows(text: str, separator: str, *, whole: bool) -> list[list[str]]:
    """Return the fields of the first lines that are not blank; none where they cannot be told."""
    found: list[list[str]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=separator == " ")
        for fields in reader:
            if fields:
                found.append(fields)
            if len(found) > SAMPLE_LINES:
                break
        else:
            found = found if whole else found[:-1]  # the last one is cut
    except csv.Error:
        return []
    return found


def _even(rows: list[list[str]]) -> bool:
    return bool(rows) and len(rows[0]) > 1 and all(len(row) == len(rows[0]) for row in rows)
