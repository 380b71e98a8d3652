"""What a sampler's proposals take: an estimate for the plan, and what those of a running search come to."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

from search.declaration.study import Study
from search.ledger.events import ProposalsSlow
from trainables.stage import duration

MEASURED_MS: dict[str, dict[int, float]] = {
    "random": {100: 0.24, 1000: 0.24, 10_000: 0.24},
    "tpe": {100: 3.7, 1000: 2.8, 10_000: 3.1},
    "qmc": {100: 0.58, 1000: 0.68, 10_000: 2.4},
    "nsga2": {100: 0.61, 1000: 2.4, 10_000: 21},
    "cmaes": {100: 0.87, 1000: 2.8, 10_000: 23},
    "optuna_tpe": {100: 5.2, 1000: 19},
    "gp": {100: 80, 300: 64, 1000: 229, 2000: 992},
}
"""Milliseconds of a proposal by the trials before it, as ``python -m benchmarks.sampler_cost`` prints them."""

HOPELESS_S = 600.0
"""Estimated seconds of proposals from which the plan speaks of them; fewer where the time budget is smaller."""

WORTH_SAYING_S = 60.0
"""Seconds of proposals left below which a running search does not speak of them."""

WINDOW = 16
"""Proposals of one figure."""


def cost_line(study: Study) -> str | None:
    """Return what a plan says of a sampler whose proposals take too long for the budget; None of others."""
    trials, limit = study.budget.trials, study.budget.time_s
    seconds = estimated_s(study.sampler, trials)
    if seconds < min(HOPELESS_S, limit or HOPELESS_S):
        return None
    return (
        f"{study.sampler} at {trials:,} trials takes about {duration(seconds)} for its proposals alone, tpe "
        f"{duration(estimated_s('tpe', trials))} (estimated from benchmarks.sampler_cost on 2 cores)"
    )


def estimated_s(sampler: str, trials: int) -> float:
    """Return about how many seconds the proposals of ``trials`` trials take where ``MEASURED_MS`` was measured.

    Between the histories that were measured, and beyond them, a proposal's cost is a power of the history.
    """
    measured = sorted(MEASURED_MS[sampler].items())
    total, begin = min(trials, measured[0][0]) * measured[0][1], measured[0][0]
    pieces = list(zip(measured, measured[1:], strict=False))
    for i, ((few, ms), (many, more_ms)) in enumerate(pieces):
        power = math.log(more_ms / ms) / math.log(many / few)
        end = trials if i == len(pieces) - 1 else min(trials, many)
        if end > begin:
            total += _sum_of_powers(ms / math.pow(few, power), power, begin, end)
            begin = end
    return total / 1000


def _sum_of_powers(factor: float, power: float, begin: float, end: float) -> float:
    """Return the integral of ``factor * n ** power``, with a power above -1, over n from ``begin`` to ``end``."""
    return factor * (math.pow(end, power + 1) - math.pow(begin, power + 1)) / (power + 1)


class ProposalClock:
    """Notes, once, that the proposals which are left are about to take longer than the training beside them.

    A proposal's cost is extrapolated as a power of the history, of at most 3 (a Gaussian process inverts a matrix);
    training takes as long as it took a trial so far.

    Args:
        sampler: its name.
        trials: that the search has in all.
        note: is told.
        now: a clock, in seconds.
    """

    def __init__(
        self,
        sampler: str,
        trials: int,
        note: Callable[[ProposalsSlow], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sampler, self._trials, self._note, self.now = sampler, trials, note, now
        self._began: float | None = None
        self._spent = 0.0
        self._proposed = 0
        self._window: list[tuple[int, float]] = []
        self._first: tuple[float, float] | None = None
        self._said = False

    def proposed(self, number: int, seconds: float) -> None:
        """Take the time that trial ``number`` took to be proposed."""
        self._began = self.now() - seconds if self._began is None else self._began
        self._spent += seconds
        self._proposed += 1
        if self._said:
            return
        self._window.append((number, seconds))
        if len(self._window) < WINDOW:
            return
        at = statistics.median(n for n, _ in self._window)
        cost = statistics.median(s for _, s in self._window)
        self._window = []
        if self._first is None:
            self._first = at, cost
            return
        left_s, training_s = self._left(number + 1, at, cost)
        if left_s > max(WORTH_SAYING_S, training_s):
            self._said = True
            self._note(
                ProposalsSlow(
                    sampler=self._sampler,
                    trials=number + 1,
                    planned=self._trials,
                    proposal_s=cost,
                    left_s=left_s,
                    training_s=training_s,
                )
            )

    def _left(self, number: int, at: float, cost: float) -> tuple[float, float]:
        """Return the seconds of the proposals that are left, and of the training beside them."""
        assert self._first is not None and self._began is not None
        before, cost_before = self._first
        growth = math.log(max(cost, 1e-9) / max(cost_before, 1e-9)) / math.log((at + 1) / (before + 1))
        power = min(max(growth, 0.0), 3.0)
        proposals_s = _sum_of_powers(cost / math.pow(at + 1, power), power, number, self._trials)
        training_s = self.now() - self._began - self._spent
        return proposals_s, training_s / self._proposed * (self._trials - number)
