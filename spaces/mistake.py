"""What is wrong in a declaration, as a record; a sentence is made of it where somebody reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Path: TypeAlias = "tuple[str | int, ...]"
"""Where something is: names of mappings and numbers of list items, outermost first: ``("budget", "trials")``."""

ABSENT = object()
"""The value of a mistake that is not about a value."""


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong in a declaration.

    Attributes:
        path: of the field that breaks the rule.
        rule: what it breaks, as it reads after the field's name: ``must be >= 1``. ``{value}`` stands for the value
            where that is not said last (``, got 0``), ``{0}`` for the name of the first of ``others``.
        value: what was given, or ``ABSENT``.
        allowed: the names that are; the nearest is suggested.
        label: what they are called.
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
