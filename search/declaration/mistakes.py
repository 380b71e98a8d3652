"""Mistakes in a declaration: raised by its checks as records, and made into sentences where somebody reads them."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import PydanticCustomError

from search.errors import UsageError
from trainables.mistake import Mistake, dotted, sentence

OF_A_CHECK = "lanewise"
"""The type of the errors that ``refuse`` raises: they hold mistakes."""


def usage_error(mistakes: Iterable[Mistake]) -> UsageError:
    """Return what is raised for mistakes in a declaration; it names the fields as a file or Python does."""
    found = tuple(mistakes)
    return UsageError(tuple(dict.fromkeys(sentence(mistake, dotted) for mistake in found)), found)


def refuse(mistakes: Iterable[Mistake]) -> None:
    """Fail a check of a pydantic model where there are mistakes."""
    found = tuple(mistakes)
    if found:
        raise PydanticCustomError(OF_A_CHECK, "refused", {"mistakes": found})
