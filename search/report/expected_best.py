"""Whether more trials would help: the expected best of twice and four times as many, from those that ended.

The expected best of n out of N values has an unbiased estimator for every n up to N, the mean over all subsets of n,
which sorted values give in closed form (Tang et al. 2020, arXiv:2004.13705; the usual one, which draws
with replacement, is biased). No such estimator exists beyond N: what is said there rests on an assumption, which is
that each doubling of the trials brings the same share of what the doubling before it brought, and never more than
that. So do the best of independent draws in the limit, whatever they are drawn from, as long as the best possible
value is finite or the tail is exponential (the generalised extreme value distributions of shape 0 or below).

Over 18 cases (uniform, normal, log-normal, squared, sums of squares and a mixture; 16, 32 and 64 draws) the mean of the
estimated gain was 0.5 to 1.7 of the true one, for 32 and more 0.9 to 1.4; single estimates are off by about as much as
they are large, and the bootstrap's 95% intervals held the true gain in 81% to 99% of the samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainables.direction import Direction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_TRIALS = 8
"""With fewer, a quarter of the trials is one of them and no doubling says anything."""

DOUBLINGS = (1, 2)
"""How often the trials are doubled: to 2 and to 4 times as many."""

RESAMPLES = 1000
"""Of the bootstrap; an end of a 95% interval then rests on 25 of them."""

INTERVAL = (0.025, 0.975)


@dataclass(frozen=True)
class Outlook:
    """What more trials are expected to come to.

    Attributes:
        times: how many times the trials there are.
        best: the expected best value then, the baseline's included.
        gain: by how much it is better than the best there is; 0 or more, in units of the objective.
        low, high: the 95% interval of the gain: percentiles of a bootstrap over trials.
    """

    times: int
    best: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class ExpectedBest:
    """What trials like those that ended would come to.

    Attributes:
        trials: those that ended, without the baseline and what an earlier study had, which nobody proposed.
        doublings: what the last two doublings brought, from a quarter of the trials to half of them and from half
            to all, by the unbiased estimator; 0 or more, in units of the objective.
        outlook: for twice as many trials, and for four times.
        exchangeable: whether the trials are draws of which none depends on another. Those of a sampler that learns
            get better as it goes, or closer to each other: then what is said of more of them is a guide.
    """

    trials: int
    doublings: tuple[float, float]
    outlook: tuple[Outlook, ...]
    exchangeable: bool


def expected_best(
    values: Sequence[float | None],
    direction: Direction,
    *,
    known: float | None,
    limit: float | None,
    exchangeable: bool,
    seed: int,
) -> ExpectedBest | None:
    """Return what more trials are expected to bring; None where too few have ended, or too few of them with a value.

    Args:
        values: the best finite value of every trial that ended, of those that were proposed; None where there is none.
            Such a trial counts as the worst of the others: it was tried, and brought nothing.
        direction: which way they are better.
        known: a value that is there besides and that a new trial must beat, the baseline's say; None without.
        limit: the best value that can be, 0 of a loss say; None where none is known.
        exchangeable: see ``ExpectedBest``.
        seed: of the bootstrap.
    """
    import numpy as np

    costs = _costs(values, direction)
    if costs is None:
        return None
    size, rng = len(costs), np.random.default_rng(seed)
    room = _Room.of(costs, direction, known=known, limit=limit)
    weights = _weights_of_doublings(size)
    brought = _doublings(costs, weights)
    again = [_doublings(costs[np.sort(rng.integers(size, size=size))], weights) for _ in range(RESAMPLES)]
    outlook = []
    for doublings in DOUBLINGS:
        gain = room.gain(brought, doublings)
        low, high = np.quantile([room.gain(b, doublings) for b in again], INTERVAL)
        outlook.append(Outlook(2**doublings, direction.cost(room.best - gain), gain, float(low), float(high)))
    return ExpectedBest(size, brought, tuple(outlook), exchangeable)


def gain_of_doubling(
    values: Sequence[float | None], direction: Direction, *, known: float | None, limit: float | None
) -> float | None:
    """Return the expected gain of twice the trials, as ``expected_best`` does, without its interval."""
    costs = _costs(values, direction)
    if costs is None:
        return None
    room = _Room.of(costs, direction, known=known, limit=limit)
    return room.gain(_doublings(costs, _weights_of_doublings(len(costs))), 1)


@dataclass(frozen=True)
class _Room:
    """What a gain is counted from, and how large it can be.

    Attributes:
        best: the best cost there is, the baseline's included.
        head_start: how far that is ahead of the best of the trials.
        most: how far it is from the best cost that can be.
    """

    best: float
    head_start: float
    most: float

    @classmethod
    def of(cls, costs: NDArray[np.float64], direction: Direction, *, known: float | None, limit: float | None) -> _Room:
        """Return that of sorted costs."""
        first = float(costs[0])
        best = first if known is None else min(first, direction.cost(known))
        most = math.inf if limit is None else best - direction.cost(limit)
        return cls(best, first - best, most if most >= 0 else math.inf)  # a loss of the user's own may be below 0

    def gain(self, brought: tuple[float, float], doublings: int) -> float:
        """Return what so many further doublings are expected to bring, from what the last two did."""
        before, last = brought
        share = min(1.0, last / before) if before > 0 else 0.0
        further = sum(last * share**n for n in range(1, doublings + 1))
        return min(self.most, max(0.0, further - self.head_start))


def best_of_subsets(size: int, subset: int) -> NDArray[np.float64]:
    """Return the weights with which sorted values add up to the mean best of all subsets.

    The value of rank i (0 is the best) is the best of C(size - 1 - i, subset - 1) of the C(size, subset) subsets.

    Args:
        size: how many values there are.
        subset: how many of them a subset has, 1 to ``size``.

    Returns:
        [size], which add up to 1.
    """
    import numpy as np

    ranks = np.arange(1, size)
    ratios = np.maximum(0, size - ranks - subset + 1) / (size - ranks)
    return subset / size * np.concatenate([[1.0], np.cumprod(ratios)])


def _costs(values: Sequence[float | None], direction: Direction) -> NDArray[np.float64] | None:
    """Return the values as costs, best first  # [trials]; None where there are too few."""
    import numpy as np

    finite = [direction.cost(value) for value in values if value is not None]
    if len(values) < LEAST_TRIALS or 2 * len(finite) < LEAST_TRIALS:
        return None
    return np.sort(np.array(finite + [max(finite)] * (len(values) - len(finite))))


def _weights_of_doublings(size: int) -> NDArray[np.float64]:
    """Return the weights of the expected best of a quarter, of half and of all  # [3, size]."""
    import numpy as np

    return np.stack([best_of_subsets(size, size // part) for part in (4, 2, 1)])


def _doublings(costs: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """Return what the last two doublings brought."""
    quarter, half, whole = (weights @ costs).tolist()
    return max(0.0, quarter - half), max(0.0, half - whole)
