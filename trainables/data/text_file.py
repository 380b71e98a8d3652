"""The bytes of a text file as UTF-8: how many may be read, whether they are text, and in which encoding."""

from __future__ import annotations

import codecs
import gzip
import re
from pathlib import Path

from trainables.data.room import free_memory, gib
from trainables.errors import DataError
from trainables.notice import Notice

MEMORY_OF_TEXT = 4
"""Times its size that a table in a text file takes in memory, at least."""

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
"""What a file begins with to tell its encoding; those of UTF-32 begin as those of UTF-16 do."""

BINARY = {b"PK\x03\x04": "a ZIP archive or .xlsx", b"\x1f\x8b": "compressed by gzip", b"PAR1": "Parquet"}
"""What other files begin with."""

WESTERN = ("cp1252", "latin-1")
"""Tried, in this order, where text is no UTF-8 and the user does not say what it is."""

LOOKED_AT = 1 << 20


def read_text_file(path: Path, encoding: str | None, *, what: str) -> tuple[bytes, tuple[Notice, ...]]:
    """Return what a text file holds as UTF-8 without a byte-order mark, and what to know of its encoding.

    Args:
        path: of the file; it is decompressed where its name ends in ``.gz``.
        encoding: that the user says; None to tell by looking.
        what: begins the lines of errors.

    Raises:
        OSError, EOFError: it cannot be read.
        DataError: it is too large for the memory, or no text.
    """
    limit = free_memory() // MEMORY_OF_TEXT
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        size = path.stat().st_size
        data = b"" if size > limit else file.read(LOOKED_AT)
        if encoding is None and _without_mark(data) is None and not data.startswith(tuple(MARKS)):
            _refuse_binary(data, what)  # before a sparse file's gigabytes of zeros are read
        data += b"" if size > limit else file.read(limit + 1)
    if max(size, len(data)) > limit:
        text = gib(size) if size > limit else f"more than {gib(limit)}"
        raise DataError(
            f"{what} has {text} of text, which takes {MEMORY_OF_TEXT} times as much in memory, and "
            f"{gib(limit * MEMORY_OF_TEXT)} are free; use fewer rows or columns"
        )
    return _as_utf8(data, encoding, what)


def _as_utf8(data: bytes, encoding: str | None, what: str) -> tuple[bytes, tuple[Notice, ...]]:
    found = next((name for start, name in MARKS.items() if data.startswith(start)), None) or _without_mark(data)
    name = encoding or found
    if not (name or "").lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32", "utf16", "utf32")):
        _refuse_binary(data, what)
    if name is None and data.isascii():
        return data, ()
    for candidate in (name,) if name else ("utf-8", *WESTERN):
        try:
            text = data.decode(candidate)
        except UnicodeDecodeError as error:
            wrong = f"it is not {candidate} text, byte {error.start:,} is {data[error.start]:#04x}"
        except LookupError:
            raise DataError(f"{what}: --encoding {candidate} is no encoding of text that Python knows") from None
        else:
            notices = () if encoding else _said(candidate, text)
            return text.removeprefix("\ufeff").encode(), notices
    raise DataError(f"{what} is no table: {wrong}")


def _without_mark(data: bytes) -> str | None:
    """Return which UTF-16 it is where every second byte of plain text is zero; else None."""
    start = data[:LOOKED_AT]
    for name, zeros, letters in (("utf-16-le", start[1::2], start[::2]), ("utf-16-be", start[::2], start[1::2])):
        if zeros and zeros.count(0) * 10 > 9 * len(zeros) and letters.count(0) * 10 < len(letters):
            return name
    return None


def _refuse_binary(data: bytes, what: str) -> None:
    found = next((name for start, name in BINARY.items() if data.startswith(start)), None)
    if found is None and (zero := data.find(0)) < 0:
        return
    why = f"it is {found}" if found else f"it is not text, byte {zero:,} is zero"
    raise DataError(f"{what} is no table: {why}")


def _said(encoding: str, text: str) -> tuple[Notice, ...]:
    if encoding in ("utf-8", "utf-8-sig"):
        return ()
    if encoding not in WESTERN:
        return (Notice("encoding", f"encoding: {encoding}"),)
    word = next(word for word in re.split(r"[\s,;|\"]", text) if not word.isascii())
    said = f"encoding: not UTF-8, read as {encoding} (such as {word[:20]!r}); --encoding NAME reads it as another"
    return (Notice("encoding", said, warning=True),)
