"""Learning curves as a surrogate sees them: thinned, clipped and standardised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.brain.curve_gp import Observations
from search.brain.encoding import Array

MOST = 256
"""Values that a surrogate is given; its cost grows with the third power."""

LEAST_SPREAD = 0.05
"""Of the best values, in standard deviations: what a step below the best is measured by."""


@dataclass(frozen=True)
class Scale:
    """How values are standardised: those far above the median are clipped, as far as the best lies below it.

    Attributes:
        top: where they are clipped.
        mean, deviation: of all values so clipped.
        best: the lowest, standardised.
        spread: from the best to the median of the trials' best values, standardised.
    """

    top: float
    mean: float
    deviation: float
    best: float
    spread: float

    @classmethod
    def of(cls, curves: Mapping[int, Sequence[float]]) -> Scale:
        """Return the scale of some curves, of which each has a value that is no NaN, and one a finite one."""
        values = np.array([v for curve in curves.values() for v in curve], float)
        ends = np.cumsum([len(curve) for curve in curves.values()])
        lows = np.fmin.reduceat(values, [0, *ends[:-1]])  # passes over NaN
        low = float(lows.min())
        median = float(np.median(np.where(np.isfinite(lows), lows, lows[np.isfinite(lows)].max())))
        top = median + max(median - low, 1e-12)
        clipped = np.minimum(values, top)
        mean, deviation = float(np.nanmean(clipped)), max(float(np.nanstd(clipped)), 1e-12)
        spread = max((median - low) / deviation, LEAST_SPREAD)
        return cls(top, mean, deviation, (low - mean) / deviation, spread)

    def to(self, values: Array) -> Array:
        """Return values standardised."""
        found: Array = (np.minimum(values, self.top) - self.mean) / self.deviation
        return found

    def back(self, value: float) -> float:
        """Return a standardised value in its own units."""
        return value * self.deviation + self.mean


def observations(
    curves: Mapping[int, Sequence[float]], points: Mapping[int, Array], scale: Scale, max_epochs: int
) -> Observations:
    """Return the values that a surrogate is given: each trial's last one first, then the lowest.

    Args:
        curves: by trial, an epoch each; NaN where there is no value.
        points: the encoded configurations.
        scale: of these curves.
        max_epochs: the last epoch of a trial.
    """
    rows = [(n, e) for n, curve in curves.items() for e in thinned(len(curve)) if not math.isnan(curve[e - 1])]
    trials = np.array([n for n, _ in rows])
    values = scale.to(np.array([curves[n][e - 1] for n, e in rows]))
    if len(rows) > MOST:
        last = np.diff(trials, append=-1) != 0
        kept = np.lexsort((values, ~last))[:MOST]
        rows, trials, values = [rows[k] for k in kept], trials[kept], values[kept]
    times = log_time(np.array([e for _, e in rows]), max_epochs)
    return Observations(np.array([points[n] for n, _ in rows]), trials, times, values)


def thinned(epochs: int) -> list[int]:
    """Return the epochs of a curve that are kept: 1, 2, 3, then in steps of half as much again, and the last one."""
    kept, epoch = [], 1.0
    while epoch <= epochs:
        kept.append(int(epoch))
        epoch = max(epoch + 1, epoch * 1.5)
    return kept if kept[-1] == epochs else [*kept, epochs]


def log_time(epochs: Array, max_epochs: int) -> Array:
    """Return epochs on a logarithmic scale, 0 at the first and 1 at the last."""
    found: Array = np.log(epochs) / math.log(max_epochs)
    return found
