"""Configurations as points of the unit cube, for a surrogate, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import qmc

from spaces import Parameter, Point, Space, Value
from spaces.parameter import equal

Array: TypeAlias = NDArray[np.float64]

INACTIVE = 0.5
"""What a parameter is encoded as whose condition does not hold: its parent tells such configurations apart."""


def dimensions(space: Space) -> int:
    """Return how many numbers a configuration is encoded as."""
    return sum(_width(p) for p in space)


def encode(space: Space, points: Sequence[Point]) -> Array:
    """Return configurations as numbers between 0 and 1  # [M, D].

    A number lies where it is in its range, on the log scale where the range has one. A category has a number for each
    choice, ``1 / sqrt(2)`` for the one that it has, so that two choices are 1 apart; one of two choices has one number.
    """
    return np.concatenate([_encoded(p, points) for p in space], axis=1)


def decode(space: Space, units: Array) -> list[dict[str, Value]]:
    """Return the configurations at points of the unit cube, a coordinate for each parameter  # units [M, P]."""
    columns = [_decoded(p, column) for p, column in zip(space, units.T, strict=True)]
    return [space.active(dict(zip(space.names, row, strict=True))) for row in zip(*columns, strict=True)]


class SpaceCandidates:
    """Draws configurations that may be trained next.

    Args:
        space: of the study.
        seed: of the Sobol points.
    """

    SPREAD = 0.1
    """Standard deviation of a step from a good configuration, in ranges."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed

    def spread(self, index: int) -> dict[str, Value]:
        """Return one of the points that fill the space evenly: Sobol's, scrambled."""
        sobol = qmc.Sobol(d=len(self._space), scramble=True, rng=np.random.default_rng(self._seed))
        return decode(self._space, sobol.random_base2((index + 1).bit_length())[index : index + 1])[0]

    def draw(self, count: int, rng: np.random.Generator) -> list[dict[str, Value]]:
        """Return points from anywhere in the space."""
        return decode(self._space, rng.random((count, len(self._space))))

    def near(self, point: Point, count: int, rng: np.random.Generator) -> list[dict[str, Value]]:
        """Return points near a good one: about half of its parameters are moved."""
        places = [self._place(p, point) for p in self._space]
        units = [[self._moved(at, rng) if rng.random() < 0.5 else np.nan for at in places] for _ in range(count)]
        moved = _decode_moved(self._space, np.array(units))
        whole = {p.name: p.clamp(point.get(p.name, p.baseline)) for p in self._space}
        return [self._space.active(whole | values) for values in moved]

    def _place(self, p: Parameter, point: Point) -> float | None:
        """Return where in its range a number of a point lies; None where a step from there means nothing."""
        if isinstance(p.distribution, CategoricalDistribution) or p.name not in point:
            return None
        return float(_placed(p, [point[p.name]])[0])

    def _moved(self, at: float | None, rng: np.random.Generator) -> float:
        return float(rng.random()) if at is None else min(max(at + float(rng.normal(0, self.SPREAD)), 0.0), 1.0)


def _decode_moved(space: Space, units: Array) -> list[dict[str, Value]]:
    """Return the values of those parameters whose coordinates are numbers, point by point  # units [M, P]."""
    found: list[dict[str, Value]] = [{} for _ in units]
    for p, column in zip(space, units.T, strict=True):
        rows = np.flatnonzero(~np.isnan(column))
        for row, value in zip(rows, _decoded(p, column[rows]), strict=True):
            found[row][p.name] = value
    return found


def _width(p: Parameter) -> int:
    d = p.distribution
    return len(d.choices) if isinstance(d, CategoricalDistribution) and len(d.choices) > 2 else 1


def _encoded(p: Parameter, points: Sequence[Point]) -> Array:
    """Return the numbers of one parameter  # [M, width]."""
    d, found = p.distribution, np.full((len(points), _width(p)), INACTIVE)
    rows = [i for i, point in enumerate(points) if p.name in point]
    values = [points[i][p.name] for i in rows]
    if not values:
        return found
    if isinstance(d, CategoricalDistribution):
        hot = np.array([[float(equal(value, choice)) for choice in d.choices] for value in values])
        found[rows] = hot[:, 1:] if len(d.choices) == 2 else hot if len(d.choices) == 1 else hot / 2**0.5
    else:
        found[rows, 0] = _placed(p, values)
    return found


def _placed(p: Parameter, values: Sequence[Any]) -> Array:
    """Return where in its range each number lies; one outside lies at the end."""
    d = p.distribution
    assert isinstance(d, FloatDistribution | IntDistribution)
    low, high, at = float(d.low), float(d.high), np.array(values, float)
    if d.log:
        low, high, at = np.log(low), np.log(high), np.log(np.maximum(at, low))
    return np.clip((at - low) / (high - low), 0, 1) if high > low else np.full(len(at), INACTIVE)


def _decoded(p: Parameter, units: Array) -> list[Value]:
    """Return the values of one parameter at places in its range."""
    d = p.distribution
    if isinstance(d, CategoricalDistribution):
        choices, last = d.choices, len(d.choices) - 1
        return [choices[min(int(unit * len(choices)), last)] for unit in units.tolist()]  # type: ignore[misc]
    assert isinstance(d, FloatDistribution | IntDistribution)
    low, high = float(d.low), float(d.high)
    at = np.exp(np.log(low) + units * (np.log(high) - np.log(low))) if d.log else low + units * (high - low)
    if d.step is not None:
        at = low + d.step * np.round((at - low) / d.step)
    within: list[float] = np.clip(at, low, high).tolist()
    return [round(value) for value in within] if isinstance(d, IntDistribution) else list(within)
