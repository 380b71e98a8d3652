"""Ray Tune schedulers that keep their reasons."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search.brain.audit import is_drawn
from search.brain.decision import Decision
from search.brain.rungs import Rung, RunningMeans
from search.declaration.study import Objective, Study
from search.ledger import EpochRow, TrialRow
from search.ledger.outcome import Outcome, StopReason
from spaces import BASELINE_TRIAL
from trainables.report import DIVERGED, EPOCH, MAX_EPOCHS, PATIENCE, EpochReport, to_result

ENDS_BY_ITSELF = (MAX_EPOCHS, PATIENCE, DIVERGED)
WITHOUT_VALUE = (DIVERGED, StopReason.ERROR, StopReason.OUT_OF_MEMORY)


@dataclass(frozen=True, slots=True)
class TrialKey:
    """What the wrapped scheduler sees of a trial: an id that is the same in every session and executor.

    Ray's schedulers keep trials, or their ids, as keys and ask nothing else of them.
    """

    trial_id: str

    @classmethod
    def of(cls, number: int) -> TrialKey:
        """Return the key of trial ``number``."""
        return cls(f"{number:05d}")


class RecordingScheduler:
    """A Ray Tune scheduler, unchanged in what it decides, whose decisions have reasons.

    Trials go by their numbers. The baseline is compared as any other, so that its values count for the others, and goes
    on whatever comes of it: what tuning was worth is told by a baseline that trained to its own end. A trial that
    ended by NaN or infinity is removed from Ray's scheduler, so that no rung holds it.

    Args:
        inner: Ray's scheduler.
        objective: what it compares trials by.
        drawn: says of a trial's number whether it is audited once it is stopped; that changes nothing but the reason.
    """

    def __init__(
        self, inner: TrialScheduler, objective: Objective, *, drawn: Callable[[int], bool] = lambda number: False
    ) -> None:
        self._inner = inner
        self._drawn = drawn
        self._objective = objective
        self._metric = objective.metric
        self._pruned: dict[int, int] = {}
        self._decided: dict[int, int] = {}  # the last epoch of each trial that was decided on

    def outcome(self, number: int, stop: str | None) -> Outcome:
        """Return how a trial ended: by itself, pruned here, or else stopped from outside.

        Args:
            number: of the trial.
            stop: the reason that its last report gave for ending itself, if it did.
        """
        if stop is not None:
            return Outcome(StopReason(stop))
        if number in self._pruned:
            return Outcome(StopReason.RUNG, rung=self._pruned[number])
        return Outcome(StopReason.USER)

    def replay(self, epochs: Iterable[EpochRow], trials: Sequence[TrialRow]) -> None:
        """Take up the history of earlier sessions: every result in the order in which it came.

        A trial that did not end goes on: its results up to the last recorded epoch are then not decided
        on again.

        Args:
            epochs: of the ledger, in order.
            trials: likewise, all of them, by number.
        """
        rows, by_number = list(epochs), {row.number: row for row in trials}
        last = {row.number: row.epoch for row in rows}
        for row in rows:
            trial = by_number[row.number]
            self.add(row.number)
            report = EpochReport(row.epoch, row.metrics, row.seconds)
            if row.epoch == last[row.number] and trial.stop_reason in ENDS_BY_ITSELF:
                self._decided[row.number] = row.epoch
                self.complete(row.number, replace(report, stop=trial.stop_reason))
            elif (decision := self.decide(row.number, report)) is not None and decision.stops:
                self.complete(row.number, report)

    def add(self, number: int) -> None:
        """Take a trial that begins; one that comes back, after its worker was lost say, is known already."""
        if number not in self._decided:
            self._decided[number] = 0
            self._inner.on_trial_add(None, TrialKey.of(number))

    def decide(self, number: int, report: EpochReport) -> Decision | None:
        """Decide on an epoch of a trial that goes on by itself.

        None where the trial was not compared with others and goes on: so does an epoch that was decided on before.
        """
        if report.epoch <= self._decided[number]:
            return None
        self._decided[number] = report.epoch
        result = to_result(report)
        epoch, value = report.epoch, float(result[self._metric])
        rung, cutoff = self._rung(TrialKey.of(number).trial_id, epoch)
        behind = self._inner.on_trial_result(None, TrialKey.of(number), result) == TrialScheduler.STOP
        stops = behind and number != BASELINE_TRIAL
        if stops:
            self._pruned[number] = rung or epoch
        if rung is None and not behind:
            return None
        reason = self._reason(rung, value, cutoff, behind=behind)
        if behind and not stops:
            reason += "; the baseline goes on all the same"
        elif stops and self._drawn(number):
            reason += "; drawn for the audit: it trains to its end after the search, and counts as stopped here"
        return Decision(
            epoch=rung or epoch,
            action="stop" if stops else "continue",
            value=value,
            cutoff=cutoff,
            reason=reason,
        )

    def complete(self, number: int, report: EpochReport) -> None:
        """Take the last report of a trial that ended, by itself or stopped here."""
        if report.stop in WITHOUT_VALUE:
            self.remove(number)
        else:
            self._inner.on_trial_complete(None, TrialKey.of(number), to_result(report))

    def fail(self, number: int) -> None:
        """Take note that a trial's process was lost; it keeps what it has at the rungs, as in Ray."""
        self._inner.on_trial_error(None, TrialKey.of(number))

    def remove(self, number: int) -> None:
        """Forget a trial that ended without a last report, or with one that counts for nothing."""
        self._inner.on_trial_remove(None, TrialKey.of(number))

    def rungs(self) -> dict[int, dict[int, float]]:
        """Return, for ASHA, the values recorded at each rung by trial number, in the objective's units."""
        if not isinstance(self._inner, AsyncHyperBandScheduler):
            return {}
        sign = self._inner._metric_op
        (bracket,) = self._inner._brackets
        return {int(epoch): {int(t): sign * v for t, v in values.items()} for epoch, values in bracket._rungs}

    def _rung(self, trial_id: str, epoch: int) -> tuple[int | None, float | None]:
        """Return the rung at which ASHA will compare the trial now, and its cutoff."""
        if not isinstance(self._inner, AsyncHyperBandScheduler) or epoch >= self._inner._max_t:
            return None, None
        bracket = self._inner._trial_info[trial_id]
        for milestone, recorded in bracket._rungs:
            if epoch >= milestone and trial_id not in recorded:
                cutoff = bracket.cutoff(recorded)
                return int(milestone), None if cutoff is None else float(self._inner._metric_op * cutoff)
        return None, None

    def _reason(self, rung: int | None, value: float, cutoff: float | None, *, behind: bool) -> str:
        if rung is None:
            return f"{self._metric} {value:.6g} is behind the median of the others' running averages"
        if cutoff is None:
            return f"first at rung {rung}"
        relation = "misses" if behind else "meets"
        return f"{self._metric} {value:.6g} {relation} the cutoff {cutoff:.6g} of rung {rung}"


def build_scheduler(study: Study) -> RecordingScheduler:
    """Return the scheduler that ``study`` declares, over Ray Tune's own class."""
    spec, objective = study.scheduler, study.objective
    inner: TrialScheduler
    if spec.name == "asha":
        inner = AsyncHyperBandScheduler(
            time_attr=EPOCH,
            metric=objective.metric,
            mode=objective.mode,
            max_t=study.budget.max_epochs,
            grace_period=spec.grace,
            reduction_factor=spec.reduction_factor,
        )
        _keep_in_order(inner)
    elif spec.name == "median":
        inner = _OrderedMedian(
            time_attr=EPOCH,
            metric=objective.metric,
            mode=objective.mode,
            grace_period=spec.grace,
            min_time_slice=math.inf,  # never pauses one trial to let another go first
        )
    else:
        inner = FIFOScheduler()
    return RecordingScheduler(inner, objective, drawn=partial(is_drawn, study))


def _keep_in_order(asha: AsyncHyperBandScheduler) -> None:
    """Give the rungs of ``asha`` an order, so that a cutoff does not sort every earlier trial's value again.

    The decisions are Ray's, with the same cutoffs bit for bit.
    """
    for bracket in asha._brackets:
        # to per cent and back, as in Ray's: the two roundings are part of its cutoff
        share = (1 - 1 / bracket.rf) * 100 / 100

        def cutoff(recorded: Rung, share: float = share) -> float | None:
            return recorded.quantile(share) if recorded else None

        bracket._rungs = [(milestone, Rung()) for milestone, _ in bracket._rungs]
        bracket.cutoff = cutoff


class _OrderedMedian(MedianStoppingRule):  # type: ignore[misc]
    """Ray's median rule with the same decisions, taken from averages that are kept in order.

    Ray's own looks at every epoch of every trial for each decision, and keeps them all.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._means = RunningMeans(self._grace_period)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        self._means.add(trial.trial_id, result[self._time_attr], result[self._metric])
        if result[self._time_attr] < self._grace_period:
            return str(TrialScheduler.CONTINUE)
        others, median = self._means.others(trial.trial_id)
        if others < self._min_samples_required:
            return str(TrialScheduler.CONTINUE)
        best = self._compare_op(self._means.values(trial.trial_id))
        return str(TrialScheduler.STOP if self._compare_op(median, best) != best else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self._means.add(trial.trial_id, result[self._time_attr], result[self._metric])
        self._means.forget(trial.trial_id)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self._means.forget(trial.trial_id)
