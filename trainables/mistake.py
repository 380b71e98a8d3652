"""What is wrong in a declaration, as a record; a sentence is made of it where somebody reads it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

Path: TypeAlias = "tuple[str | int, ...]"
"""Where something is: names of mappings and numbers of list items, outermost first: ``("budget", "trials")``."""

Naming: TypeAlias = "Callable[[Path], str]"
"""Returns what a reader calls a field: the option that sets it, its dotted name in a file."""

ABSENT = object()
"""The value of a mistake that is not about a value."""


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong in a declaration.

    Attributes:
        path: the place of the field that breaks the rule.
        rule: what it breaks, as it reads after the field's name: ``must be >= 1``. ``{value}`` stands for the value
            where that is not said last (``, got 0``), ``{0}`` for the name of the first of ``others``.
        value: what was given, or ``ABSENT``.
        allowed: the names that are allowed; the nearest is suggested.
        label: what the allowed names are called.
        hint: what to do.
        others: further fields that the rule is about; where a file says nothing at ``path``, the mistake is there.
        whole: whether ``rule`` is a sentence already, from code that knows no declaration.
    """

    path: Path
    rule: str
    value: object = ABSENT
    allowed: tuple[str, ...] = ()
    label: str = "Known"
    hint: str = ""
    others: tuple[Path, ...] = ()
    whole: bool = False


def about(sentence: str, *path: str | int) -> Mistake:
    """Return a mistake that is a sentence already, about what lies at ``path``."""
    return Mistake(path, sentence, whole=True)


def placed(mistakes: Iterable[Mistake], *within: str) -> list[Mistake]:
    """Return mistakes of a part with their paths from the whole, which has the part at ``within``."""
    return [
        replace(m, path=(*within, *m.path), others=tuple((*within, *other) for other in m.others)) for m in mistakes
    ]


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
    """Return a field's name as in a file: ``budget.trials``; a change under ``set`` is called by its parameter."""
    inner = path[1:] if path[:1] == ("set",) and len(path) > 1 else path
    return ".".join(map(str, inner)) or "the study"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the known name closest to ``name``, else an empty string.

    One that has all its words and more (``val_macro_f1`` for ``val_f1``) is closer than one of as many letters.
    """
    names, words = list(known), set(name.split("_"))
    fuller = [other for other in names if words < set(other.split("_"))]
    match = difflib.get_close_matches(name, fuller or names, n=1, cutoff=0.0 if fuller else 0.5)
    return f" Did you mean {match[0]!r}?" if match else ""


def show_value(value: object) -> str:
    """Return ``value`` as a person wrote it, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
