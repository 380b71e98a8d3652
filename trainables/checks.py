"""Checks of one value of a configuration: each returns what is wrong."""

from __future__ import annotations

import math

from trainables.mistake import Mistake


def whole(config: object, *names: str, low: int) -> list[Mistake]:
    """Return a mistake for each of ``names`` that is no whole number of at least ``low`` in ``config``."""
    values = [(n, getattr(config, n)) for n in names]
    return [
        Mistake((n,), f"must be a whole number >= {low}", v)
        for n, v in values
        if isinstance(v, bool) or not isinstance(v, int) or v < low
    ]


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> list[Mistake]:
    """Return a mistake if ``value`` is not among the ``allowed``, else nothing."""
    return [] if value in allowed else [Mistake((name,), f"must be one of {', '.join(allowed)}", value)]


def between(config: object, name: str, low: float, high: float, *, include_high: bool = True) -> list[Mistake]:
    """Return a mistake if ``name`` of ``config`` is no finite number from ``low`` to ``high``, else nothing."""
    value = getattr(config, name)
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if number and low <= value and (value <= high if include_high else value < high):
        return []
    limit = f"{low:g} <= {name}" if math.isinf(high) else f"{low:g} <= {name} {'<=' if include_high else '<'} {high:g}"
    return [Mistake((name,), f"must satisfy {limit}", value)]
