"""The one place where what happens in a search becomes facts: in the ledger, and in the live counts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from search.brain.decision import Decision
from search.brain.order import TrialOrder
from search.declaration.study import Study
from search.executors.progress import Progress
from search.executors.retention import Retention
from search.ledger import EpochRow, LedgerWriter, TrialRow
from search.ledger.events import Event, TriedAlone
from search.ledger.outcome import Outcome, StopReason, TrialState
from spaces import BASELINE_TRIAL
from trainables.report import EpochReport


class Recorder:
    """Writes facts to the ledger and keeps the live counts. Called by executors, on one thread.

    Args:
        watch: is shown the live counts at every tick.

    Attributes:
        alone: whether each trial has the device for itself, because it ran out of memory among others.
        retention: which trials keep their best model, by what was recorded so far.
    """

    def __init__(self, study: Study, writer: LedgerWriter, *, watch: Callable[[Progress], None] | None = None) -> None:
        self._objective = study.objective
        self._writer = writer
        self._watch = watch
        self._running: set[int] = set()
        self._out_of_memory: set[int] = set()
        self.alone = False
        self.retention = Retention(study.objective, study.keep_checkpoints, besides=(BASELINE_TRIAL,))
        self.progress = Progress(
            study.budget.trials,
            study.budget.max_epochs,
            study.budget.time_s,
            pauses=study.scheduler.pauses,
            total_epochs=study.total_epochs,
        )

    @property
    def running(self) -> frozenset[int]:
        """The numbers of the trials that started and have not ended."""
        return frozenset(self._running)

    @property
    def out_of_memory(self) -> frozenset[int]:
        """The numbers of the trials that ended because memory ran out."""
        return frozenset(self._out_of_memory)

    def replay(self, trials: Sequence[TrialRow], epochs: Sequence[EpochRow]) -> None:
        """Take up the counts of earlier sessions."""
        lasting = [row for row in trials if row.state is TrialState.PAUSED or not row.state.resumable]
        self.progress.states.update(row.state for row in lasting)
        self.progress.diverged += sum(row.reason is StopReason.DIVERGED for row in trials)
        self._out_of_memory.update(row.number for row in trials if row.reason is StopReason.OUT_OF_MEMORY)
        for row in epochs:
            self._count(row.number, row.epoch, row.values)
        for trial in trials:
            if trial.reason is not StopReason.OUT_OF_MEMORY:  # it may go on alone
                self.retention.ended(trial.number, trial.state)

    def started(self, order: TrialOrder) -> None:
        """Record that a trial begins, or goes on."""
        if order.number in self._out_of_memory:
            self._out_of_memory.discard(order.number)
            self.progress.states[TrialState.FAILED] -= 1
        if self.alone:
            self.event(TriedAlone(trial=order.number))
        if order.resumed:
            self._writer.trial_resumed(order.number)
        else:
            self._writer.trial_started(
                order.number,
                order.params,
                config_hash=order.config_hash,
                seed=order.seed,
                sampler_attrs=order.sampler_attrs,
                repeats=order.repeats,
            )
        self._running.add(order.number)
        if self.progress.training_since is None:
            self.progress.training_since = time.monotonic()
        self.progress.states[TrialState.RUNNING] += 1

    def reported(self, number: int, report: EpochReport, decision: Decision | None) -> None:
        """Record an epoch and, where the scheduler compared the trial, its decision."""
        self._writer.epoch(number, report.epoch, seconds=report.seconds, metrics=report.metrics)
        if decision is not None:
            self.decided(number, decision)
        self._count(number, report.epoch, report.values)

    def decided(self, number: int, decision: Decision) -> None:
        """Record a decision on a trial."""
        self._writer.decision(
            number,
            decision.epoch,
            action=decision.action,
            reason=decision.reason,
            value=decision.value,
            cutoff=decision.cutoff,
        )

    def paused(self, number: int, decision: Decision) -> None:
        """Record that a running trial gave up its lane."""
        self.decided(number, decision)
        self._writer.trial_paused(number)
        self._running.discard(number)
        self.progress.states[TrialState.RUNNING] -= 1
        self.progress.states[TrialState.PAUSED] += 1

    def unpaused(self, number: int, decision: Decision | None = None) -> None:
        """Record that a paused trial goes on; without a decision, that it is about to end."""
        if decision is not None:
            self.decided(number, decision)
            self._writer.trial_resumed(number)
        self._running.add(number)
        self.progress.states[TrialState.PAUSED] -= 1
        self.progress.states[TrialState.RUNNING] += 1
        if self.progress.training_since is None:
            self.progress.training_since = time.monotonic()

    def ended(self, number: int, outcome: Outcome) -> None:
        """Record how a trial ended."""
        if outcome.reason is StopReason.OUT_OF_MEMORY:
            self._out_of_memory.add(number)
            if self.alone:
                outcome = replace(outcome, message=f"{outcome.message}; it was alone on the device")
        self._writer.trial_ended(number, outcome)
        self._running.discard(number)
        if self.alone or outcome.reason is not StopReason.OUT_OF_MEMORY:
            self.retention.ended(number, outcome.state)
        self.progress.states[TrialState.RUNNING] -= 1
        self.progress.states[outcome.state] += 1
        self.progress.diverged += outcome.reason is StopReason.DIVERGED

    def event(self, event: Event) -> None:
        """Record something worth knowing later."""
        self._writer.event(event)

    def lanes_chosen(self, lanes: int) -> None:
        """Record how many lanes a worker has, so that a resume has as many; trials that run alone say nothing of it."""
        if not self.alone:
            self._writer.lanes_chosen(lanes)

    def lane_modes_measured(self, modes: Mapping[str, str]) -> None:
        """Record how groups of trials train whose mode was measured, so that a resume does the same."""
        if not self.alone:
            self._writer.lane_modes_measured(modes)

    def tick(self) -> None:
        """Write the batch if it is due, and show the live counts; called by executors all the time."""
        began = time.monotonic()
        self._writer.flush_if_due()
        if self._watch is not None:
            self._watch(self.progress)
        self._stood_still_since(began)

    def flush(self) -> None:
        """Write the batch now."""
        began = time.monotonic()
        self._writer.flush()
        self._stood_still_since(began)

    def _stood_still_since(self, began: float) -> None:
        self.progress.longest_stall_s = max(self.progress.longest_stall_s, time.monotonic() - began)

    def _count(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        progress, value = self.progress, float(metrics[self._objective.metric])
        self.retention.reported(number, epoch, value)
        progress.epochs += 1
        if not math.isfinite(value):
            return
        if self._objective.better(value, progress.best_value):
            progress.best_value, progress.best_trial = value, number
        if number == BASELINE_TRIAL and self._objective.better(value, progress.baseline_value):
            progress.baseline_value = value
