"""Mistakes in a declaration: raised by its checks as records, and made into sentences where somebody reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from pydantic_core import PydanticCustomError

from search.errors import UsageError
from spaces import nearest
from spaces.declare import show_value
from spaces.mistake import ABSENT, Mistake, Path

Naming: TypeAlias = Callable[[Path], str]
"""Returns what a reader calls a field: the option that sets it, its dotted name in a file."""

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


def sentence(mistake: Mistake, naming: Naming) -> str:
    """Return a mistake as one line, in the words of ``naming``."""
    if mistake.whole:
        return mistake.rule
    value = "" if mistake.value is ABSENT else show_value(mistake.value)
    rule, hint = mistake.rule, mistake.hint
    for i, other in enumerate(mistake.others):
        rule, hint = (text.replace(f"{{{i}}}", naming(other)) for text in (rule, hint))
    if value and "{value}" not in rule:
        rule += f", got {value}"
    gap = "" if rule.startswith(":") else " "
    text = f"{naming(mistake.path)}{gap}{rule.replace('{value}', value)}"
    if mistake.allowed:
        named = mistake.value if isinstance(mistake.value, str) else str(mistake.path[-1] if mistake.path else "")
        text += f".{nearest(named, mistake.allowed)} {mistake.label}: {', '.join(mistake.allowed)}"
    return f"{text}; {hint}" if hint else text


def dotted(path: Path) -> str:
    """Return a field's name as in a file: ``budget.trials``; the whole is ``the study``."""
    return ".".join(map(str, path)) or "the study"
