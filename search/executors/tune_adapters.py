"""Our sampler and our scheduler as Ray Tune calls its own: the one place where a trial is a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.brain.choice import Choice
from search.brain.decision import Decision
from search.brain.order import TrialOrder
from search.brain.recording_scheduler import RecordingScheduler
from search.brain.sampler import OptunaSampler
from search.declaration.study import Study
from search.executors.timing import USUAL, Timing
from search.executors.tune_turns import TuneTurns
from search.ledger.outcome import Outcome, StopReason
from trainables.report import EPOCH, METRICS, SECONDS, STOP, EpochReport, from_result


def trial_config(study: Study, order: TrialOrder) -> dict[str, Any]:
    """Return what ``TuneTrainable`` is given of a trial."""
    return {
        "number": order.number,
        "trainable": study.trainable,
        "params": study.params_of(order.params),
        "seed": order.seed,
        "max_epochs": study.budget.max_epochs,
        "checkpoint_every_s": study.checkpoint_every_s,
        "epochs_before": order.epochs,
        "best": order.best,
        "resumed": order.resumed,
    }


def report_of(result: Mapping[str, Any]) -> EpochReport:
    """Return the report in a result of ``TuneTrainable``: whole, as callbacks get it, or flattened by Tune."""
    if METRICS in result:
        return from_result(result)
    prefix = f"{METRICS}/"
    metrics = {name.removeprefix(prefix): value for name, value in result.items() if name.startswith(prefix)}
    return EpochReport(result[EPOCH], metrics, result[SECONDS], result[STOP])


class TuneSearcher(Searcher):  # type: ignore[misc]
    """The sampler as a Ray Tune searcher; Tune's ids of trials are known here alone.

    Args:
        study: the declaration.
        sampler: orders the trials.
        scheduler: knows how a trial ended that it stopped.
        turns: who trains next, where the scheduler pauses trials.

    Attributes:
        orders: by Tune's id of the trial.
    """

    def __init__(
        self,
        study: Study,
        sampler: OptunaSampler,
        scheduler: RecordingScheduler,
        turns: TuneTurns | None = None,
    ) -> None:
        super().__init__(metric=study.objective.metric, mode=study.objective.mode)
        self._turns = turns
        self._study = study
        self._sampler = sampler
        self._scheduler = scheduler
        self.orders: dict[str, TrialOrder] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the config of the next trial, or ``Searcher.FINISHED``."""
        order = self._sampler.ask() if self._turns is None else self._turns.next_order()
        if order is None:
            waits = self._turns is not None and not (self._turns.over or self._sampler.closed)
            return None if waits else str(Searcher.FINISHED)
        self.orders[trial_id] = order
        return trial_config(self._study, order)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tune's hook: pass an epoch on to the sampler."""
        self._sampler.observe(self.orders[trial_id].number, report_of(result))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tune's hook: pass the end of a trial on to the sampler, with its last epoch if there is one."""
        number, outcome = self.orders[trial_id].number, Outcome(StopReason.ERROR)
        if number in self._scheduler.paused:
            return  # it is told when the search is over
        if self._turns is not None:
            self._turns.ended(number)
        if result and not error:
            if EPOCH in result:
                self.on_trial_result(trial_id, result)
            outcome = self._scheduler.outcome(number, result.get(STOP))
        self._sampler.tell(number, outcome)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the ledger is what a search resumes from."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: see ``save``."""


class TuneScheduler(FIFOScheduler):  # type: ignore[misc]
    """The scheduler as Ray Tune calls one; trials begin in the order in which they were proposed.

    Args:
        scheduler: decides.
        timing: how long a trial whose actor died is paused; for the controller, which Tune makes itself.
        turns: who trains next, where the scheduler pauses trials.
    """

    _supports_buffered_results = False

    def __init__(self, scheduler: RecordingScheduler, timing: Timing = USUAL, turns: TuneTurns | None = None) -> None:
        super().__init__()
        self._turns = turns
        self._choices: dict[int, Choice] = {}
        self._scheduler = scheduler
        self._decisions: dict[int, Decision] = {}
        self.timing = timing

    def take_decision(self, number: int) -> Decision | None:
        """Return the decision that the last result of trial ``number`` led to, once."""
        return self._decisions.pop(number, None)

    def take_choice(self, number: int) -> Choice | None:
        """Return who trains next in the slot of trial ``number`` after its last result, once."""
        return self._choices.pop(number, None)

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Tune's hook; the objective is already known, so only an empty one is accepted."""
        return metric is None and mode is None

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Tune's hook: a trial joins, or comes back after its actor or its driver was lost."""
        self._scheduler.add(_number(trial))
        if self._turns is not None:
            self._turns.trials[_number(trial)] = trial

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Tune's hook: decide on an epoch, and where trials are paused who trains the next."""
        number = _number(trial)
        stops = self.decide(number, report_of(result))
        if stops or self._turns is None:
            return str(TrialScheduler.STOP if stops else TrialScheduler.CONTINUE)
        choice = self._choices[number] = self._turns.choose(number)
        return str(TrialScheduler.PAUSE if number in choice.pause else TrialScheduler.CONTINUE)

    def decide(self, number: int, report: EpochReport) -> bool:
        """Decide on an epoch, for ``take_decision``; say whether the trial stops."""
        decision = self._scheduler.decide(number, report)
        if decision is not None:
            self._decisions[number] = decision
        return decision is not None and decision.stops

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Tune's hook: a trial ended; where it raised, there is no last report."""
        if EPOCH in result:
            self._scheduler.complete(_number(trial), report_of(result))
        else:
            self._scheduler.remove(_number(trial))

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Tune's hook: a trial was taken away before it ended."""
        if _number(trial) not in self._scheduler.paused:
            self._scheduler.remove(_number(trial))

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Tune's hook: which pending trial is next; one that is paused waits for its turn, or to be tried again.

        When the search is over, Tune is told that the paused ones are: it would wait for them.
        """
        if self._turns is not None:
            if (paused := self._turns.next_paused()) is not None:
                return paused
            if self._turns.over:
                for number in sorted(self._scheduler.paused & self._turns.trials.keys()):
                    tune_controller.stop_trial(self._turns.trials[number])
        trial = super().choose_trial_to_run(tune_controller)
        return None if trial is None or trial.status == Trial.PAUSED else trial


def _number(trial: Any) -> int:
    return int(trial.config["number"])
