"""Reads the small text files that a user names: a study, a space."""

from __future__ import annotations

from pathlib import Path

from search.errors import UsageError

MOST_BYTES = 256 * 1024
"""A larger file is no study."""


def read_text_file(file: Path, flag: str) -> str:
    """Return what a file holds.

    Args:
        file: as the user named it.
        flag: the option that names it, for the messages.

    Raises:
        UsageError: absent, a folder, a pipe (which would be waited for) or a device, too large, or not UTF-8.
    """
    try:
        if file.exists() and not file.is_file() and not file.is_dir():
            raise UsageError(f"{flag} {file}: is no regular file (a pipe, a socket or a device); save it in one first")
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"{flag} {file}: cannot be read ({reason})") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"{flag} {file}: has more than {MOST_BYTES // 1024} KiB; a study is a few")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{file}:{line}: not UTF-8 (byte {data[error.start]:#04x})") from None
