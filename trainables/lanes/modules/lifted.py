"""Floats that differ from lane to lane, in the place of a module's attribute."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from trainables.errors import CannotStackError

COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
ARITHMETIC = ("add", "sub", "mul", "truediv", "pow", "mod", "floordiv")


class Lifted(float):
    """A float of each lane. As a plain float it is NaN, so that a use that nobody handles shows in the numbers.

    Attributes:
        values: of the lanes, in order.
    """

    values: list[float]

    def __new__(cls, values: Sequence[float]) -> Lifted:
        """Return the float of the lanes."""
        self = super().__new__(cls, math.nan)
        self.values = [float(value) for value in values]
        return self

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        return bool(_agreed([value != 0 for value in self.values]))

    def __float__(self) -> float:
        return math.nan


def _agreed(found: Sequence[Any]) -> Any:
    if any(value != found[0] for value in found):
        raise CannotStackError("its trials disagree on a comparison of an attribute")
    return found[0]


def _operator(name: str) -> Callable[..., Any]:
    plain = getattr(float, name)

    def operator(self: Lifted, *others: Any) -> Any:
        if any(isinstance(other, torch.Tensor) for other in others):
            return NotImplemented
        columns = [lane_values(other, len(self.values)) for other in others]
        rows = zip(self.values, *columns, strict=True)
        found = [plain(value, *map(float, rest)) for value, *rest in rows]
        return _agreed(found) if name in COMPARISONS else Lifted(found)

    return operator


for _name in (*COMPARISONS, *(f"__{r}{n}__" for n in ARITHMETIC for r in ("", "r")), "__neg__", "__pos__", "__abs__"):
    setattr(Lifted, _name, _operator(_name))


def lane_values(value: Any, lanes: int) -> list[float]:
    """Return a number of each lane, given one that they share or not."""
    return value.values if isinstance(value, Lifted) else [value] * lanes


def has_lifted(tree: Any) -> bool:
    """Say whether such a float is somewhere in a function's arguments."""
    if isinstance(tree, Lifted):
        return True
    if isinstance(tree, tuple | list):
        return any(map(has_lifted, tree))
    return isinstance(tree, dict) and any(map(has_lifted, tree.values()))


def with_floats(value: Any, floats: Mapping[tuple[Any, ...], float]) -> Any:
    """Return an attribute with floats in their places; see ``form.Place``."""
    if () in floats:
        return floats[()]
    parts: dict[Any, dict[tuple[Any, ...], float]] = {}
    for (key, *rest), number in floats.items():
        parts.setdefault(key, {})[tuple(rest)] = number
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    changed = {key: with_floats(part, parts[key]) if key in parts else part for key, part in items}
    if isinstance(value, MappingProxyType):
        return MappingProxyType(changed)
    return changed if isinstance(value, dict) else type(value)(changed.values())
