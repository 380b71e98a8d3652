"""ASHA as it was published: a trial waits at its rung until it is among the best there."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Collection, Sequence

from search.brain.choice import Choice
from search.brain.decision import Decision
from search.brain.pausing import PausingScheduler
from search.declaration.study import Study
from trainables.report import EpochReport


class PromotionScheduler(PausingScheduler):
    """Asynchronous successive halving by promotion (Li et al. 2020, arXiv:1810.05934, algorithm 2).

    A trial that comes to a rung is paused. A free lane promotes the best trial that is among the first ``1 / eta`` of
    its rung, the highest rung first, and begins a new trial where none is due. What is compared is the best value up
    to the rung, as the answer compares trials.

    Args:
        study: with the first rung and eta in its scheduler.
    """

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._eta = study.scheduler.reduction_factor
        self._rungs: dict[int, list[tuple[float, int]]] = {}  # by epoch: best values so far and trials, in order
        rung = study.scheduler.grace
        while rung < study.budget.max_epochs:
            self._rungs[rung] = []
            rung *= self._eta
        self._promoted: dict[int, set[int]] = {rung: set() for rung in self._rungs}

    def rungs(self) -> dict[int, dict[int, float]]:
        """Return the values recorded at each rung by trial number, in the objective's units."""
        return {rung: {n: self._sign * value for value, n in values} for rung, values in self._rungs.items()}

    def remove(self, number: int) -> None:
        """Forget a trial; no rung holds it any more."""
        super().remove(number)
        for rung, values in self._rungs.items():
            self._rungs[rung] = [entry for entry in values if entry[1] != number]

    def _reported(self, number: int, report: EpochReport) -> None:
        super()._reported(number, report)
        rung = self._rungs.get(len(self._curves[number]))
        if rung is not None and math.isfinite(best := min(self._curves[number])):
            insort(rung, (best, number))

    def _chosen(self, number: int, epoch: int) -> None:
        if epoch in self._promoted:
            self._promoted[epoch].add(number)

    def _choose(self, lanes: int, seated: Sequence[int], fresh: int, away: Collection[int]) -> Choice:
        waiting = {number: len(self._curves[number]) for number in seated if self._waits(number)}
        free = lanes - (len(seated) - len(waiting))
        here = waiting.keys() | self.paused.difference(away)
        go_on: dict[int, Decision] = {}
        resume: dict[int, Decision] = {}
        for number in [] if self.closed else self._due(here)[: max(free, 0)]:
            resumed = number in self.paused
            (resume if resumed else go_on)[number] = self._compared(number, "resume" if resumed else "continue")
        free -= len(go_on) + len(resume)
        begin = (None,) * min(free, fresh)
        if free > 0 and not begin and not go_on and not resume:
            for number, decision in self._baseline_goes_on(waiting, away).items():
                (resume if number in self.paused else go_on)[number] = decision
        pause = {number: self._compared(number, "pause") for number in waiting if number not in go_on}
        return Choice(pause, go_on, resume, begin)

    def _waits(self, number: int) -> bool:
        """Say whether a trial stands at a rung where it was not promoted yet."""
        epochs = len(self._curves.get(number, ()))
        return epochs in self._rungs and number not in self._promoted[epochs] and not self._never_waits(number)

    def _due(self, here: Collection[int]) -> list[int]:
        """Return the trials among ``here`` that are due for promotion, the highest rung first, there the best."""
        return [
            number
            for rung in reversed(self._rungs)
            for _, number in self._rungs[rung][: len(self._rungs[rung]) // self._eta]
            if number in here
            and number not in self._ended
            and self._waits(number)
            and len(self._curves[number]) == rung
        ]

    def _compared(self, number: int, action: str) -> Decision:
        """Return a decision on a trial at its rung, with what it was compared with."""
        epoch = len(self._curves[number])
        rung = self._rungs[epoch]
        first = len(rung) // self._eta
        place = "among" if action != "pause" else "not among"
        reason = f"{place} the best {first} of {len(rung)} at rung {epoch}"
        if not first:
            reason = f"one of the first {self._eta - 1} at rung {epoch}" if self._eta > 2 else f"first at rung {epoch}"
        return self._decision(number, action, reason, rung[first - 1][0] if first else None)
