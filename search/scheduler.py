"""Ray Tune schedulers that keep their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search.outcome import Outcome, StopReason
from search.study import Objective, Study
from trainables.report import DIVERGED, EPOCH
from trainables.report import STOP as REPORTED_STOP

CONTINUE = TrialScheduler.CONTINUE
STOP = TrialScheduler.STOP


class TrialHandle(Protocol):
    """What a scheduler needs of a trial: Ray's own ``Trial``, or a lane's stand-in."""

    trial_id: str


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

    A trial that ended by NaN or infinity is removed from the scheduler, so that no rung holds it.
    """

    _supports_buffered_results = False

    def __init__(self, inner: TrialScheduler, objective: Objective) -> None:
        super().__init__()
        self._inner = inner
        self._objective = objective
        self._metric = objective.metric
        self._pruned: dict[str, int] = {}
        self._decisions: dict[str, Decision] = {}

    def take_decision(self, trial_id: str) -> Decision | None:
        """Return the decision that the trial's last result led to, once."""
        return self._decisions.pop(trial_id, None)

    def outcome(self, trial_id: str, stop: str | None) -> Outcome:
        """Return how a trial ended that did not fail.

        Args:
            trial_id: of the trial.
            stop: the reason that its last report gave for ending itself, if it did.
        """
        if stop is not None:
            return Outcome(StopReason(stop))
        return Outcome(StopReason.RUNG, rung=self._pruned[trial_id])

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Ray's hook; the objective is already known, so only an empty one is accepted."""
        return metric is None and mode is None

    def on_trial_add(self, tune_controller: Any, trial: TrialHandle) -> None:
        """Ray's hook: a trial joins."""
        self._inner.on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: TrialHandle) -> None:
        """Ray's hook: a trial failed."""
        self._inner.on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: TrialHandle, result: dict[str, Any]) -> str:
        """Decide, and remember on what."""
        epoch, value = int(result[EPOCH]), float(result[self._objective.metric])
        rung, cutoff = self._rung(trial.trial_id, epoch)
        action: str = self._inner.on_trial_result(tune_controller, trial, result)
        if action == STOP:
            self._pruned[trial.trial_id] = rung or epoch
        if rung is not None or action == STOP:
            self._decisions[trial.trial_id] = Decision(
                epoch=rung or epoch,
                action="stop" if action == STOP else "continue",
                value=value,
                cutoff=cutoff,
                reason=self._reason(rung, value, cutoff, action),
            )
        return action

    def on_trial_complete(self, tune_controller: Any, trial: TrialHandle, result: dict[str, Any]) -> None:
        """Ray's hook: a trial ended."""
        if result.get(REPORTED_STOP) == DIVERGED:
            self._inner.on_trial_remove(tune_controller, trial)
        else:
            self._inner.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: TrialHandle) -> None:
        """Ray's hook: a trial was taken away before it ended."""
        self._inner.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Ray's hook: which pending trial is next."""
        return self._inner.choose_trial_to_run(tune_controller)

    def debug_string(self) -> str:
        """Ray's hook: one line on the state."""
        return str(self._inner.debug_string())

    def rungs(self) -> dict[int, dict[str, float]]:
        """Return, for ASHA, the values recorded at each rung by trial id, in the objective's units."""
        if not isinstance(self._inner, AsyncHyperBandScheduler):
            return {}
        sign = self._inner._metric_op
        (bracket,) = self._inner._brackets
        return {int(epoch): {t: sign * v for t, v in values.items()} for epoch, values in bracket._rungs}

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
    elif spec.name == "median":
        inner = MedianStoppingRule(
            time_attr=EPOCH, metric=objective.metric, mode=objective.mode, grace_period=spec.grace
        )
    else:
        inner = FIFOScheduler()
    return RecordingScheduler(inner, objective)
