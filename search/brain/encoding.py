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


def encode(space: Space, point: Point) -> Array:
    """Return a configuration as numbers between 0 and 1  # [D].

    A number lies where it is in its range, on the log scale where the range has one. A category has a number for each
    choice, ``1 / sqrt(2)`` for the one that it has, so that two choices are 1 apart; one of two choices has one number.
    """
    return np.concatenate([_encoded(p, point) for p in space])


def decode(space: Space, unit: Sequence[float]) -> dict[str, Value]:
    """Return the configuration at a point of the unit cube, a coordinate for each parameter."""
    return space.clamp({p.name: _decoded(p, float(u)) for p, u in zip(space, unit, strict=True)})


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
        return decode(self._space, sobol.random_base2((index + 1).bit_length())[index])

    def draw(self, count: int, rng: np.random.Generator) -> list[dict[str, Value]]:
        """Return points from anywhere in the space."""
        return [decode(self._space, unit) for unit in rng.random((count, len(self._space)))]

    def near(self, point: Point, count: int, rng: np.random.Generator) -> list[dict[str, Value]]:
        """Return points near a good one: about half of its parameters are moved."""
        found = []
        for _ in range(count):
            unit = [self._moved(p, point, rng) if rng.random() < 0.5 else None for p in self._space]
            moved = {p.name: _decoded(p, u) for p, u in zip(self._space, unit, strict=True) if u is not None}
            whole = {p.name: p.baseline for p in self._space} | dict(point) | moved
            found.append(self._space.clamp(whole))
        return found

    def _moved(self, p: Parameter, point: Point, rng: np.random.Generator) -> float:
        if isinstance(p.distribution, CategoricalDistribution) or p.name not in point:
            return float(rng.random())
        return float(np.clip(_placed(p, point[p.name]) + rng.normal(0, self.SPREAD), 0, 1))


def _width(p: Parameter) -> int:
    d = p.distribution
    return len(d.choices) if isinstance(d, CategoricalDistribution) and len(d.choices) > 2 else 1


def _encoded(p: Parameter, point: Point) -> Array:
    d = p.distribution
    if p.name not in point:
        return np.full(_width(p), INACTIVE)
    if isinstance(d, CategoricalDistribution):
        hot = np.array([float(equal(point[p.name], choice)) for choice in d.choices])
        return hot[1:] if len(hot) == 2 else hot[:1] if len(hot) == 1 else hot / 2**0.5
    return np.array([_placed(p, point[p.name])])


def _placed(p: Parameter, value: Any) -> float:
    """Return where in its range a number lies; one outside lies at the end."""
    d = p.distribution
    assert isinstance(d, FloatDistribution | IntDistribution)
    low, high, at = float(d.low), float(d.high), float(value)
    if d.log:
        low, high, at = np.log(low), np.log(high), np.log(max(at, low))
    return float(np.clip((at - low) / (high - low), 0, 1)) if high > low else INACTIVE


def _decoded(p: Parameter, unit: float) -> Value:
    d = p.distribution
    if isinstance(d, CategoricalDistribution):
        choice: Value = d.choices[min(int(unit * len(d.choices)), len(d.choices) - 1)]  # type: ignore[assignment]
        return choice
    assert isinstance(d, FloatDistribution | IntDistribution)
    low, high = float(d.low), float(d.high)
    at = float(np.exp(np.log(low) + unit * (np.log(high) - np.log(low)))) if d.log else low + unit * (high - low)
    if d.step is not None:
        at = low + d.step * round((at - low) / d.step)
    at = min(max(at, low), high)
    return int(round(at)) if isinstance(d, IntDistribution) else at
