"""What Ray Tune's controller tells its callbacks, carried to the recorder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.result import SHOULD_CHECKPOINT
from ray.tune.search import ConcurrencyLimiter

from search.errors import RunError
from search.executors.capacity import Capacity, at_once
from search.executors.controller import failed_with, outcome_of_ray_error
from search.executors.faults import reason_of
from search.executors.search import Search
from search.executors.tune_adapters import TuneScheduler, TuneSearcher, report_of, trial_config
from search.executors.tune_turns import TuneTurns
from search.ledger.events import ActorLost, CheckpointNote
from search.ledger.outcome import Outcome, StopReason, TrialState
from trainables.notice import Notice
from trainables.registry import is_train_function
from trainables.report import EPOCH, STOP
from trainables.tune import MESSAGE, NOTES, NOTICES, TRACEBACK


class TuneBridge(Callback):  # type: ignore[misc]
    """Carries what Tune's controller tells its callbacks to the recorder.

    Args:
        search: what is searched, with what.
        searcher: knows the orders by Tune's ids.
        scheduler: decides, and says how long to wait for what.
        limiter: of the trials that run at once, where there are no turns.
        turns: who trains next, where the scheduler pauses trials.
        capacity: returns what the cluster has now.
    """

    def __init__(
        self,
        search: Search,
        searcher: TuneSearcher,
        scheduler: TuneScheduler,
        limiter: ConcurrencyLimiter | TuneTurns,
        *,
        turns: TuneTurns | None = None,
        capacity: Callable[[], Capacity] = Capacity.of_ray,
    ) -> None:
        self._search = search
        self._searcher = searcher
        self._scheduler = scheduler
        self._limiter = limiter
        self._turns = turns
        self._capacity = capacity
        self._timing = scheduler.timing
        self._resized_at = self._timing.now()
        self._failure: RunError | None = None
        self._reported: dict[int, int] = {}
        self._reported_at: dict[str, float] = {}
        self._hung: dict[int, str] = {}
        self._stopping_since: float | None = None
        self._ending: list[Any] = []
        self.stopper = _ControlStopper(self)

    @property
    def stopping(self) -> bool:
        """Whether running trials should end after the epoch they are in."""
        return self._failure is not None or self._search.control.stopping is not None

    @property
    def given_up(self) -> bool:
        """Whether they had their time for that."""
        if not self.stopping:
            return False
        if self._stopping_since is None:
            self._stopping_since = self._timing.now()
            self._search.sampler.closed = True
        waited = self._timing.now() - self._stopping_since
        return waited >= self._search.control.grace_s or not self._search.recorder.running

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Tune's hook, called all the time: write what is due, end what hangs, follow the cluster's size."""
        try:
            self._search.recorder.tick()
            self._search.tidy()
            self._hear_of_endings(wait_s=0)
            self._end_hung(trials)
            self._resize()
        except RunError as error:  # raised again by ``finish``, after Tune has let go of its actors
            self._failure = error

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune's hook: an actor begins a trial, or goes on with it."""
        order = self._searcher.orders[trial.trial_id]
        self._reported_at[trial.trial_id] = self._timing.now()
        if order.number not in self._search.recorder.running:
            self._search.recorder.started(order)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune's hook: the trial's actor died, and another is to go on."""
        number = trial.config["number"]
        failures, limit = trial.run_metadata.num_failures, self._search.study.faults.max_failures
        self._reported_at.pop(trial.trial_id, None)  # it is not late while it waits
        self._search.recorder.event(
            ActorLost(
                trial=number,
                reason=reason_of(failed_with(trial)),
                wait_s=self._timing.wait_s(failures),
                failures=failures,
                max_failures=limit,
            )
        )
        self._go_on_from(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Tune's hook: record an epoch, with what the scheduler decided on it."""
        number = trial.config["number"]
        self._reported_at[trial.trial_id] = self._timing.now()
        for note in result.get(NOTES, ()):
            self._search.recorder.event(CheckpointNote(trial=number, note=note))
        self._noticed(result.get(NOTICES, ()))
        if EPOCH not in result:
            return  # it raised, or returned; ``on_trial_complete`` has the rest
        if self.stopping and result[STOP] is None:  # Tune has already marked it as done: it is being stopped
            # and did not ask the scheduler; a resume would take the epoch for one that was decided on
            self._scheduler.decide(number, report_of(result))
            result[SHOULD_CHECKPOINT] = True
        decision = self._scheduler.take_decision(number)
        if decision is not None and decision.stops:
            result[SHOULD_CHECKPOINT] = False  # Tune would end the trial after the save: an actor that dies in
            # between would train on what the ledger calls stopped
        if result[EPOCH] > self._reported.get(number, trial.config["epochs_before"]):
            self._reported[number] = result[EPOCH]
            self._search.recorder.reported(number, report_of(result), decision)
        if self._carry_out_choice(trial) or result.get(SHOULD_CHECKPOINT):
            self._flush()

    def _carry_out_choice(self, trial: Trial) -> bool:
        """Do what was chosen for the slot of a trial that reported; say whether that trial is paused."""
        number = trial.config["number"]
        choice = self._scheduler.take_choice(number)
        if self._turns is None or choice is None:
            return False
        self._turns.carry_out(choice)
        if number in choice.pause:
            self._reported_at.pop(trial.trial_id, None)  # it is not late while it waits
            self._go_on_from(trial)
        return number in choice.pause

    def _go_on_from(self, trial: Trial) -> None:
        """Have the next actor of a trial start from what the ledger has, as after a resume."""
        number, order = trial.config["number"], self._searcher.orders[trial.trial_id]
        epochs = self._reported.get(number, order.epochs)
        order = order.continued(epochs=epochs, best=self._search.recorder.retention.best(number))
        trial.config.update(trial_config(self._search.study, order))

    def _flush(self) -> None:
        """Write the ledger's batch before a checkpoint: none is of an epoch that the ledger does not have."""
        try:
            self._search.recorder.flush()
        except RunError as error:
            self._failure = error

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune's hook: a checkpoint was written, or not."""
        if trial.temporary_state.unsaved:
            self._search.control.cannot_save(trial.temporary_state.unsaved)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune's hook: a trial ended by itself, was pruned, raised, or was stopped."""
        if trial.config["number"] in self._search.scheduler.paused:
            return  # it is Tune that is done with it, see ``finish``
        result = trial.last_result or {}
        outcome = self._search.scheduler.outcome(trial.config["number"], result.get(STOP))
        if outcome.reason is StopReason.USER:
            outcome = Outcome(self._search.control.stopping or StopReason.USER)
        if MESSAGE in result:
            outcome = replace(outcome, message=result[MESSAGE], traceback=result[TRACEBACK])
        self._end(trial, outcome)

    def _end(self, trial: Trial, outcome: Outcome) -> None:
        self._reported_at.pop(trial.trial_id, None)
        number = trial.config["number"]
        self._search.recorder.ended(number, outcome)
        if self._search.recorder.retention.keeps(number):
            self._keep_best(trial)
        if is_train_function(self._search.study.trainable) and trial.temporary_state.ray_actor is not None:
            self._ending.append(trial.temporary_state.ray_actor.end_trial.remote())
        if outcome.state is TrialState.FAILED:
            reported = self._reported.get(number, trial.config["epochs_before"])
            self._search.failed(number, outcome, epochs=reported)

    def _noticed(self, told: Iterable[tuple[int, Sequence[Mapping[str, Any]]]]) -> None:
        """Record what trials have to say beside their reports."""
        for number, notices in told:
            self._search.noticed(number, [Notice.from_dict(notice) for notice in notices])

    def _hear_of_endings(self, *, wait_s: float) -> None:
        """Record what there is to say of functions that were told to end."""
        if not self._ending:
            return
        done, self._ending = ray.wait(self._ending, num_returns=len(self._ending), timeout=wait_s)
        for future in done:
            with suppress(RayError):  # its actor died, or was let go of
                self._noticed(ray.get(future))

    def _keep_best(self, trial: Trial) -> None:
        """Have a trial that has just ended write its best model, before the ledger calls it ended.

        Its actor idles now, and gets the next trial when this returns.
        """
        number, actor = trial.config["number"], trial.temporary_state.ray_actor
        try:
            notes = ray.get(actor.keep_best.remote(number), timeout=self._timing.keep_s)
        except RayError as error:
            self._search.checkpoints.remove_best(number)  # an older one would pass for the best
            notes = [f"trial {number}: its best model was not written: {reason_of(error)}"]
        for note in notes:
            self._search.recorder.event(CheckpointNote(trial=number, note=note))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune's hook: a trial is given up."""
        number = trial.config["number"]
        if number not in self._search.recorder.running:
            self._search.recorder.started(self._searcher.orders[trial.trial_id])
        if number in self._hung:
            self._end(trial, Outcome(StopReason.ERROR, message=self._hung[number]))
        else:
            self._end(trial, self._given_up(trial))

    def _given_up(self, trial: Trial) -> Outcome:
        error = failed_with(trial)
        outcome = outcome_of_ray_error(error)
        if not isinstance(error, RayActorError) or outcome.reason is StopReason.OUT_OF_MEMORY:
            return outcome
        times = f"{trial.run_metadata.num_failures} times (--max-failures {self._search.study.faults.max_failures})"
        return replace(outcome, message=f"its actor died, {times}: {reason_of(error)}")

    def _resize(self) -> None:
        """Run as many trials as fit in what the cluster has become."""
        resources = self._search.study.resources
        now = self._timing.now()
        if resources.address is not None and now - self._resized_at >= self._timing.resize_every_s:
            self._limiter.max_concurrent = at_once(self._capacity(), resources)
            self._resized_at = now

    def _end_hung(self, trials: list[Trial]) -> None:
        """End the actors of trials that have not reported for too long; their slots are used again."""
        limit_s = self._search.study.faults.trial_timeout_s
        if limit_s is None:
            return
        late = {t for t, at in self._reported_at.items() if self._timing.now() - at > limit_s}
        for trial in trials:
            if trial.trial_id in late and trial.temporary_state.ray_actor is not None:
                self._hung[trial.config["number"]] = f"no report in {limit_s:g} s (--trial-timeout)"
                trial.max_failures = 0  # it is not started again
                ray.kill(trial.temporary_state.ray_actor)
                del self._reported_at[trial.trial_id]

    def __getstate__(self) -> dict[str, Any]:
        return {}  # see _ControlStopper

    def finish(self) -> None:
        """Record why the trials that were running at the end did not go on."""
        if self._failure is not None:
            raise self._failure
        self._hear_of_endings(wait_s=self._timing.save_s)
        recorder, reason = self._search.recorder, self._search.control.stopping
        for number in sorted(recorder.running):
            recorder.ended(number, Outcome(reason or StopReason.DIED))
        if reason in (None, StopReason.BUDGET):
            for number in sorted(self._search.scheduler.paused):
                self._search.leave(number)
        recorder.flush()
        self._search.tidy()


class _ControlStopper(Stopper):  # type: ignore[misc]
    """Ends the whole Tune run when the control says so."""

    def __init__(self, bridge: TuneBridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self._bridge.stopping

    def stop_all(self) -> bool:
        return self._bridge.given_up

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune writes its controller's state once; nothing ever reads it back
