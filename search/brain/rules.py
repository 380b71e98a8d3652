"""The rules that stop trials: those of Ray Tune's schedulers, decision for decision, without Ray.

Ray takes a second to import, which a search in lanes has no other use for (docs/decisions/0013).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from search.brain.rungs import Rung, RunningMeans

FEWEST_OTHERS = 3
"""Trials that the median rule compares with at least; Ray's default."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a trial stands beside others after an epoch.

    Attributes:
        behind: whether it is to be stopped.
        rung: at which it was compared, for ASHA; None elsewhere.
        cutoff: what it had to reach there, in the objective's own units; None where it was the first.
    """

    behind: bool
    rung: int | None = None
    cutoff: float | None = None


class StoppingRule(ABC):
    """Compares trials, which go by their numbers, by the value of one objective after each epoch."""

    @abstractmethod
    def compare(self, number: int, epoch: int, value: float) -> Comparison | None:
        """Take the value of an epoch and say how the trial stands; None where it was compared with nothing."""

    @abstractmethod
    def complete(self, number: int, epoch: int, value: float) -> None:
        """Take the last value of a trial that ended; it counts for those that come."""

    @abstractmethod
    def remove(self, number: int) -> None:
        """Forget a trial that ended without a value that counts."""

    def rungs(self) -> dict[int, dict[int, float]]:
        """Return the values recorded at each rung by trial, highest rung first; empty where there are none."""
        return {}


class NoRule(StoppingRule):
    """Stops nothing."""

    def compare(self, number: int, epoch: int, value: float) -> None:
        """Return None: nothing is compared."""

    def complete(self, number: int, epoch: int, value: float) -> None:
        """Keep nothing."""

    def remove(self, number: int) -> None:
        """Forget nothing."""


class AshaRule(StoppingRule):
    """Asynchronous successive halving (Li et al., 2018, arXiv:1810.05934) with one bracket, as in Ray Tune.

    A trial is compared at the first epoch at or after a rung, with what earlier trials had when they got there.

    Args:
        mode: ``min`` or ``max``, of the objective.
        grace: the lowest rung, in epochs.
        reduction_factor: one in so many goes on, and the next rung is so many times higher.
        max_epochs: at which every trial ends.
    """

    def __init__(self, *, mode: str, grace: int, reduction_factor: float, max_epochs: int) -> None:
        self._sign = 1.0 if mode == "max" else -1.0  # a cutoff is rounded as in Ray, which looks for the largest
        self._max_epochs = max_epochs
        # to per cent and back: the two roundings are part of Ray's cutoff
        self._share = (1 - 1 / reduction_factor) * 100 / 100
        count = int(np.log(max_epochs / grace) / np.log(reduction_factor) + 1)
        self._rungs = [(grace * reduction_factor**k, Rung()) for k in reversed(range(count))]

    def compare(self, number: int, epoch: int, value: float) -> Comparison | None:
        """Compare at a rung that the trial comes to; at the last epoch every trial is to stop."""
        if epoch >= self._max_epochs:
            return Comparison(behind=True)
        return self._record(number, epoch, value)

    def complete(self, number: int, epoch: int, value: float) -> None:
        """Record the value at the rung that the trial came to, if it is at a new one."""
        self._record(number, epoch, value)

    def _record(self, number: int, epoch: int, value: float) -> Comparison | None:
        for milestone, recorded in self._rungs:
            if epoch >= milestone and number not in recorded:
                signed = self._sign * value
                cutoff = recorded.quantile(self._share) if recorded else None
                recorded[number] = signed
                if cutoff is None:
                    return Comparison(False, int(milestone))
                return Comparison(signed < cutoff, int(milestone), float(self._sign * cutoff))
        return None

    def remove(self, number: int) -> None:
        """Leave the rungs as they are: what the trial had there stays."""

    def rungs(self) -> dict[int, dict[int, float]]:
        """Return the recorded values, in the objective's units."""
        return {int(milestone): {n: self._sign * v for n, v in values.items()} for milestone, values in self._rungs}


class MedianRule(StoppingRule):
    """The median stopping rule (Golovin et al., 2017, Vizier), as in Ray Tune.

    A trial stops whose best value so far is worse than the median of the others' running averages at its epoch.

    Args:
        mode: ``min`` or ``max``, of the objective.
        grace: the epoch from which on trials are compared, and averages taken.
    """

    def __init__(self, *, mode: str, grace: int) -> None:
        self._best_of: Callable[[Iterable[float]], float] = max if mode == "max" else min
        self._grace = grace
        self._means = RunningMeans(grace)

    def compare(self, number: int, epoch: int, value: float) -> Comparison | None:
        """Compare where there are enough others; None too where the trial keeps up."""
        self._means.add(number, epoch, value)
        if epoch < self._grace:
            return None
        others, median = self._means.others(number)
        if others < FEWEST_OTHERS:
            return None
        best = self._best_of(self._means.values(number))
        # an equal goes on; so does what cannot be compared, which a NaN makes of the order that Ray asks in
        return Comparison(behind=True) if self._best_of((median, best)) != best else None

    def complete(self, number: int, epoch: int, value: float) -> None:
        """Keep the averages of the trial, and let go of its values."""
        self._means.add(number, epoch, value)
        self._means.forget(number)

    def remove(self, number: int) -> None:
        """Let go of the trial's values; the averages it had stay."""
        self._means.forget(number)
