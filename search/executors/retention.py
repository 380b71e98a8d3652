"""Which trials keep their best model on disk: the first k that finished, by the objective, besides the baseline."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from search.declaration.study import Objective
from search.ledger.outcome import TrialState

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""Trained as far as they were to; what a failed trial left behind is kept for nobody."""


@dataclass(frozen=True, slots=True)
class _Finished:
    number: int
    value: float


class Retention:
    """Knows every trial's best epoch, and the first k of the finished trials, with some that are kept besides.

    Fed with the facts of the ledger, in any session and any order of the trials, it comes to the same
    answer. Nothing is written or removed here.

    Args:
        objective: by which epochs and trials compare; equal ones rank by their number, the lower first.
        keep: k; 0 keeps none.
        besides: the numbers of trials that are kept too, where they finished and k is not 0, and that take no place
            of the k: the baseline, so that whatever a confirmation recommends of it and the best three is on disk.
    """

    def __init__(self, objective: Objective, keep: int, *, besides: Collection[int] = ()) -> None:
        self._objective = objective
        self._keep = keep
        self._besides = besides if keep else ()
        self._best: dict[int, tuple[int, float]] = {}
        self._kept: list[_Finished] = []
        self._kept_besides: list[int] = []
        self._settled: list[int] = []

    def reported(self, number: int, epoch: int, value: float) -> None:
        """Take an epoch's value of the objective; those that are no finite number do not count."""
        before = self._best.get(number)
        if math.isfinite(value) and (before is None or self._objective.better(value, before[1])):
            self._best[number] = epoch, value

    def ended(self, number: int, state: TrialState) -> None:
        """Take how a trial ended; one that a resume would continue has not."""
        if state.resumable:
            return
        best = self._best.pop(number, None)
        self._settled.append(number)
        if best is None or state not in FINISHED:
            return
        if number in self._besides:
            self._kept_besides.append(number)
            return
        mine = _Finished(number, best[1])
        place = sum(self._before(other, mine) for other in self._kept)
        self._kept.insert(place, mine)
        while len(self._kept) > self._keep:
            self._settled.append(self._kept.pop().number)

    def best(self, number: int) -> tuple[int, float] | None:
        """Return the best epoch, and its value, of a trial that has not ended; None before a finite value."""
        return self._best.get(number)

    def keeps(self, number: int) -> bool:
        """Say whether a trial that ended is among those that keep their model now."""
        return number in self._kept_besides or any(trial.number == number for trial in self._kept)

    def leads(self, number: int) -> bool:
        """Say whether a trial that has not ended would keep its model if all ended now."""
        if number in self._besides:
            return True
        if number not in self._best:
            return False
        mine = _Finished(number, self._best[number][1])
        others = [_Finished(n, value) for n, (_, value) in self._best.items() if n not in (number, *self._besides)]
        return sum(self._before(other, mine) for other in (*others, *self._kept)) < self._keep

    @property
    def kept(self) -> tuple[int, ...]:
        """The first k, best first, and those that are kept besides."""
        return (*(trial.number for trial in self._kept), *self._kept_besides)

    def take_settled(self) -> list[int]:
        """Return, once, the trials that ended or that others displaced since the last call."""
        settled, self._settled = self._settled, []
        return settled

    def _before(self, a: _Finished, b: _Finished) -> bool:
        return self._objective.better(a.value, b.value) or (a.value == b.value and a.number < b.number)
