"""A study from a YAML file: every mistake at once, each with file and line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from search.declaration.from_data import Declared, declare_study
from search.errors import UsageError
from spaces.located_yaml import YamlDocument, YamlError, load_yaml

MOST_BYTES = 256 * 1024
"""A larger file is no study."""

_Place = tuple[str | int, ...]
_SHORT = ("set", "space", "settings")
"""Where a name that stands alone in a message may be declared."""


def read_study(file: Path, *, kind: str | None = None, model: str | None = None) -> tuple[Declared, list[str]]:
    """Read the study that a file declares; see ``declare_study``.

    Returns:
        The study as far as it can be told, and what is wrong, a line each: ``study.yaml:12: budget.trials must be
        >= 1, got 0``.

    Raises:
        UsageError: the file cannot be read at all.
    """
    text = _text(file)
    try:
        marked = load_yaml(text)
    except YamlError as error:
        raise UsageError([f"{_place(file, line)}: {what}" for line, what in error.errors]) from None
    if marked.data is None:
        raise UsageError(f"--config {file} is empty: a study has at least a kind")
    if not isinstance(marked.data, Mapping):
        found = "a list" if isinstance(marked.data, list) else "a value"
        raise UsageError(
            f"{_place(file, 1)}: expected the fields of a study, such as kind: regularization, got {found}"
        )
    declared = declare_study(marked.data, kind=kind, model=model)
    placed = [(_line(marked, path, line), line) for path, line in declared.errors]
    placed.sort(key=lambda pair: pair[0] or 0)
    return declared, [f"{_place(file, number)}: {line}" for number, line in placed]


def _text(file: Path) -> str:
    """Return what the file holds.

    Raises:
        UsageError: absent, a folder, too large, or not UTF-8.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"--config {file}: cannot be read ({reason})") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"--config {file}: has more than {MOST_BYTES // 1024} KiB; a study is a few")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{_place(file, line)}: not UTF-8 (byte {data[error.start]:#04x})") from None


def _line(marked: YamlDocument, path: _Place, message: str) -> int | None:
    """Return the line that a message is about; None where the file does not say what is wrong (a default is).

    That is where the message's path leads. A check that looks at several fields names them: the deepest name
    that the file has is the place then.
    """
    said, _, _ = message.partition(", got ")
    best = _known(marked, path)
    for word in re.findall(r"[A-Za-z_][\w.-]*", said):
        parts = tuple(word.rstrip(".-").split("."))
        for place in (_known(marked, parts), *((section, *parts) for section in _SHORT)):
            if place in marked.lines and len(place) > len(best):
                best = place
    return marked.lines.get(best)


def _known(marked: YamlDocument, path: _Place) -> _Place:
    """Return the longest beginning of ``path`` that the file has."""
    while path and path not in marked.lines:
        path = path[:-1]
    return path


def _place(file: Path, line: int | None) -> str:
    return str(file) if line is None else f"{file}:{line}"
