"""What a user should know of how a file, a folder, a model or a function was read or used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

NOTE = "note"
ARTIFACT = "artifact"
"""The kinds of the notices that a trial's own code makes: a line of text, the name of a file."""

UNREAD = "unread_parameter"
SOUGHT = "sought_parameter"
"""The kinds of the notices about parameters that nothing read, and about names that were looked for among them."""

MOST_NAMES = 100
"""Names that a notice keeps: it is stored with the study and sent to MLflow."""


@dataclass(frozen=True)
class Notice:
    """One thing to know, which is no error.

    Attributes:
        kind: a stable word for programs, such as ``dropped_rows`` or ``task``.
        text: a sentence of one line, which says the count and the first names itself.
        count: of how many rows, files, columns ... it speaks; None where nothing is counted.
        names: what they are called, at most ``MOST_NAMES`` of them.
        warning: whether a person may have expected something else.
    """

    kind: str
    text: str
    count: int | None = None
    names: tuple[str, ...] = ()
    warning: bool = False

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` made plain data of."""
        return cls(saved["kind"], saved["text"], saved["count"], tuple(saved["names"]), saved["warning"])

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "kind": self.kind,
            "text": self.text,
            "count": self.count,
            "names": list(self.names),
            "warning": self.warning,
        }


@dataclass(frozen=True)
class TryOut:
    """What came of trying something out before a search.

    Attributes:
        errors: why no trial could train, a line each; empty if one can.
        notices: what else to know.
        unread: parameters and settings that were given and that nothing read, whatever was tried.
        sought: names that were looked for among them and are not there.
    """

    errors: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    unread: tuple[str, ...] = ()
    sought: tuple[str, ...] = ()


def notice_of(kind: str, text: str, names: Iterable[object], *, warning: bool = False) -> Notice:
    """Return a notice that speaks of ``names``, which are counted."""
    named = [str(name) for name in names]
    return Notice(kind, text, len(named), tuple(named[:MOST_NAMES]), warning)


def texts_of(notices: Sequence[Notice]) -> list[str]:
    """Return the sentences, in order."""
    return [notice.text for notice in notices]
