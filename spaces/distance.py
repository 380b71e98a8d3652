"""How far apart two points of a space are, and how to move one towards the other, a parameter at a time."""

from __future__ import annotations

import math

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from spaces.parameter import Parameter, Point, Value, equal
from spaces.space import Space


def differing(space: Space, a: Point, b: Point) -> list[str]:
    """Return the parameters whose values differ, in declaration order.

    One that is active in one point alone goes with the parent that switches it, and is not named.
    """
    return [p.name for p in space if p.name in a and p.name in b and not equal(a[p.name], b[p.name])]


def with_one_of(space: Space, point: Point, other: Point, name: str) -> dict[str, Value]:
    """Return ``point`` with one parameter as ``other`` has it, and with it those that this one switches on."""
    values = {p.name: p.baseline for p in space} | dict(other) | dict(point) | {name: other[name]}
    for p in space:
        if p.name in other and p.name not in point and p.when is not None:
            values[p.name] = other[p.name]
    return space.active(values)


def distance(space: Space, a: Point, b: Point) -> tuple[int, float]:
    """Return how many parameters differ, and by how much of their ranges in all; log ranges count by their logs."""
    names = [p.name for p in space if not (p.name in a and p.name in b and equal(a[p.name], b[p.name]))]
    names = [name for name in names if name in a or name in b]
    both = [name for name in names if name in a and name in b]
    return len(names), math.fsum(_apart(space[name], a[name], b[name]) for name in both) + len(names) - len(both)


def _apart(p: Parameter, a: Value, b: Value) -> float:
    d = p.distribution
    if isinstance(d, CategoricalDistribution) or isinstance(a, bool | str) or isinstance(b, bool | str):
        return 1.0
    assert isinstance(d, FloatDistribution | IntDistribution)
    low, high, x, y = (float(v) for v in (d.low, d.high, a or 0, b or 0))
    if d.log and min(x, y, low) > 0:
        low, high, x, y = (math.log(v) for v in (low, high, x, y))
    return min(1.0, abs(x - y) / (high - low)) if high > low else 1.0
