"""Ray Tune schedulers that keep their reasons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search.brain.rungs import Rung, RunningMeans
from search.declaration.study import Objective, Study
from search.ledger import EpochRow, TrialRow
from search.ledger.outcome import Outcome, StopReason
from trainables.report import DIVERGED, EPOCH, MAX_EPOCHS, PATIENCE, SECONDS
from trainables.report import STOP as REPORTED_STOP

CONTINUE = TrialScheduler.CONTINUE
STOP = TrialScheduler.STOP
PAUSED = Trial.PAUSED
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


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of the scheduler.

    Attributes:
        epoch: at which it was taken; the rung, for ASHA.
        action: ``continue`` or ``stop``.
        value: of the objective at that epoch.
        cutoff: what it was compared with, in the objective's own units; None at an empty rung.
        reason: in words.
    """

    epoch: int
    action: str
    value: float
    cutoff: float | None
    reason: str


class RecordingScheduler(TrialScheduler):  # type: ignore[misc]
    """A Ray Tune scheduler, unchanged in what it decides, whose decisions can be read.

    A trial that ended by NaN or infinity is removed from the scheduler, so that no rung holds it. Trials
    are Ray's own, or anything else with a ``config`` that holds their ``number``.
    """

    _supports_buffered_results = False

    def __init__(self, inner: TrialScheduler, objective: Objective) -> None:
        super().__init__()
        self._inner = inner
        self._objective = objective
        self._metric = objective.metric
        self._pruned: dict[int, int] = {}
        self._decisions: dict[int, Decision] = {}
        self._replayed: dict[int, int] = {}

    def take_decision(self, number: int) -> Decision | None:
        """Return the decision that the last result of trial ``number`` led to, once."""
        return self._decisions.pop(number, None)

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
            if row.number not in self._replayed:
                self._inner.on_trial_add(None, TrialKey.of(row.number))
            self._replayed[row.number] = row.epoch
            result = {**row.metrics, SECONDS: row.seconds, EPOCH: row.epoch}
            if row.epoch == last[row.number] and trial.stop_reason in ENDS_BY_ITSELF:
                self._complete(row.number, {**result, REPORTED_STOP: trial.stop_reason})
            elif self._decide(row.number, result) == STOP:
                self._complete(row.number, result)
        self._decisions.clear()

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Ray's hook; the objective is already known, so only an empty one is accepted."""
        return metric is None and mode is None

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Ray's hook: a trial joins, or comes back after its actor or its driver was lost."""
        number = trial.config["number"]
        if number not in self._replayed:
            self._replayed[number] = 0
            self._inner.on_trial_add(None, TrialKey.of(number))

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Ray's hook: a trial failed; it keeps what it recorded at the rungs, as in Ray."""
        self._inner.on_trial_error(None, TrialKey.of(trial.config["number"]))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide, and remember on what; an epoch that was decided on before goes on."""
        number = trial.config["number"]
        if int(result[EPOCH]) <= self._replayed[number]:
            return str(CONTINUE)
        self._replayed[number] = int(result[EPOCH])
        return self._decide(number, result)

    def _decide(self, number: int, result: dict[str, Any]) -> str:
        epoch, value = int(result[EPOCH]), float(result[self._objective.metric])
        rung, cutoff = self._rung(TrialKey.of(number).trial_id, epoch)
        action: str = self._inner.on_trial_result(None, TrialKey.of(number), result)
        if action == STOP:
            self._pruned[number] = rung or epoch
        if rung is not None or action == STOP:
            self._decisions[number] = Decision(
                epoch=rung or epoch,
                action="stop" if action == STOP else "continue",
                value=value,
                cutoff=cutoff,
                reason=self._reason(rung, value, cutoff, action),
            )
        return action

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Ray's hook: a trial ended."""
        self._complete(trial.config["number"], result)

    def _complete(self, number: int, result: dict[str, Any]) -> None:
        if result.get(REPORTED_STOP) in WITHOUT_VALUE:
            self._inner.on_trial_remove(None, TrialKey.of(number))
        else:
            self._inner.on_trial_complete(None, TrialKey.of(number), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Ray's hook: a trial was taken away before it ended."""
        self._inner.on_trial_remove(None, TrialKey.of(trial.config["number"]))

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Ray's hook: which pending trial is next; one that is paused waits for its time to be tried again."""
        trial = self._inner.choose_trial_to_run(tune_controller)
        return None if trial is None or trial.status == PAUSED else trial

    def debug_string(self) -> str:
        """Ray's hook: one line on the state."""
        return str(self._inner.debug_string())

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

    def _reason(self, rung: int | None, value: float, cutoff: float | None, action: str) -> str:
        if rung is None:
            return f"{self._metric} {value:.6g} is behind the median of the others' running averages"
        if cutoff is None:
            return f"first at rung {rung}"
        relation = "misses" if action == STOP else "meets"
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
    return RecordingScheduler(inner, objective)


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
            return str(CONTINUE)
        others, median = self._means.others(trial.trial_id)
        if others < self._min_samples_required:
            return str(CONTINUE)
        best = self._compare_op(self._means.values(trial.trial_id))
        return str(STOP if self._compare_op(median, best) != best else CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self._means.add(trial.trial_id, result[self._time_attr], result[self._metric])
        self._means.forget(trial.trial_id)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self._means.forget(trial.trial_id)
