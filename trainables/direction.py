"""Which way a number is better; whoever compares values asks here, and nobody looks at ``min`` or ``max`` itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


class Direction(StrEnum):
    """Whether less or more is better."""

    MIN = "min"
    MAX = "max"

    @property
    def ascending(self) -> bool:
        """Whether the best comes first in ascending order."""
        return self is Direction.MIN

    def better(self, a: float, b: float) -> bool:
        """Say whether ``a`` is strictly better than ``b``; NaN is better than nothing."""
        if math.isnan(a) or math.isnan(b):
            return math.isnan(b) and not math.isnan(a)
        return a < b if self is Direction.MIN else a > b

    def best(self, candidates: Iterable[T], *, key: Callable[[T], Any] | None = None) -> T:
        """Return the best of the candidates, the first of equals.

        Args:
            candidates: at least one; values, or anything whose value ``key`` returns.
            key: as that of ``min``.

        Raises:
            ValueError: there is none.
        """
        pick: Callable[..., T] = min if self is Direction.MIN else max
        return pick(candidates, key=key)

    def cost(self, value: T) -> T:
        """Return a number or an array of which less is better: sorting and Pareto fronts take it as a key."""
        return value if self is Direction.MIN else -value  # type: ignore[operator]
