"""The loop that drives the lanes: ask, seat, advance, tell, retire, refill.

The sampler and the scheduler are the objects that Ray Tune would call, called here in Tune's order:
a result goes to the scheduler, then to the sampler; an ending to the scheduler, then to the sampler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from search.brain.order import TrialOrder
from search.executors.faults import outcome_of_error
from search.executors.lane_host import Advance
from search.executors.pool import WorkerLost, WorkerPool
from search.executors.recovery import Recovery
from search.executors.running import RunningTrial, RunningWorker
from search.executors.search import Search
from search.executors.timing import USUAL, Timing
from search.executors.turns import Turns
from search.ledger.events import CheckpointNote, LaneModeMeasured, LanesChosen
from search.ledger.outcome import Outcome, StopReason
from trainables.errors import CheckpointWriteError, is_out_of_memory
from trainables.report import EpochReport

if TYPE_CHECKING:
    from trainables.lane_event import LaneEvent


class ControlLoop:
    """Runs a search on the workers of a pool.

    Args:
        search: what is searched, with what.
        pool: the workers.
        say: prints one line for the user.
        timing: how long to wait for what.
    """

    def __init__(
        self,
        search: Search,
        pool: WorkerPool,
        say: Callable[[str], None] = lambda line: None,
        *,
        timing: Timing = USUAL,
    ) -> None:
        self._search = search
        self._pool = pool
        self._say = say
        self._timing = timing
        self._modes: dict[str, str] = dict(search.lane_modes)
        self._told: set[str] = set()
        self._workers = [
            RunningWorker(index, lanes, busy=index in pool.starting) for index, lanes in enumerate(pool.lanes)
        ]
        self._recovery = Recovery(search, self._workers, fail=self._fail, timing=timing)
        self._turns = Turns(search)
        self._settled_at = -math.inf
        self._grown_at = timing.now()

    def run(self) -> None:
        """Train until the sampler has no more trials, or the search is told to stop."""
        control, recorder, timing = self._search.control, self._search.recorder, self._timing
        while control.stopping is None and self._launch():
            if any(worker.busy for worker in self._workers):
                done = self._pool.wait(timing.poll_s)
                if done is not None:
                    self._handle(*done)
            else:
                timing.sleep(timing.poll_s)  # every trial left waits for its time to be tried again
            if timing.now() - self._grown_at >= timing.resize_every_s:
                self._grow()
            if timing.now() - self._settled_at >= timing.settle_every_s:
                self._settle()
                recorder.tick()
        self._settle()
        recorder.tick()
        self._end_rest(control.stopping)

    def _grow(self) -> None:
        """Take up the workers for which a cluster has got room; each begins when it is up."""
        self._grown_at = self._timing.now()
        for lanes in self._pool.grow():
            worker = RunningWorker(len(self._workers), min(lanes, self._recovery.fewest), busy=True)
            self._workers.append(worker)
            choice = f"worker {worker.index}: {worker.lanes} lanes, as the others; the cluster has room for it now"
            self._search.recorder.event(LanesChosen(choice=choice))

    def _launch(self) -> bool:
        """Fill the free lanes and start an epoch on every idle worker; False when nothing is left."""
        for worker in self._workers:
            if worker.lost and self._timing.now() >= worker.not_before:
                self._pool.replace(worker.index)
                worker.lost, worker.busy = False, True
            if worker.busy or worker.lost:
                continue
            seat = self._fill(worker)
            if worker.seated:
                drained = not self._may_begin and not self._recovery.waiting and not self._turns.paused
                orders = worker.take_orders(seat, compact=worker.compact() if drained else None)
                self._pool.launch(worker.index, orders)
                worker.busy = True
        seated = any(worker.seated for worker in self._workers)
        return seated or bool(self._recovery.waiting) or self._may_begin

    @property
    def _may_begin(self) -> bool:
        """Whether a trial may still be ordered."""
        return not (self._search.sampler.finished or self._search.scheduler.closed)

    def _fill(self, worker: RunningWorker) -> list[TrialOrder]:
        """Give every free lane of a worker a trial, while there are any."""
        seat: dict[int, TrialOrder] = {}
        pauses = self._search.scheduler.pauses
        while len(worker.seated) < worker.lanes:
            going_on = not pauses or self._search.sampler.goes_on
            trial = self._recovery.take_due() or (self._ask() if going_on else None)
            if trial is None:
                break
            worker.seated[trial.number] = trial
            seat[trial.number] = trial.order
        if pauses:
            self._turns.fill(worker, seat)
        return list(seat.values())

    def _ask(self) -> RunningTrial | None:
        """Return the next trial, or None when the sampler has no more."""
        order = self._search.sampler.ask()
        if order is None:
            return None
        self._search.scheduler.add(order.number, order.params)
        self._search.recorder.started(order)
        return RunningTrial(order, reported=order.epochs)

    def _handle(self, index: int, result: Advance | WorkerLost) -> None:
        """Take what came of a worker's orders."""
        worker = self._workers[index]
        worker.busy = False
        self._turns.settled(index)
        if isinstance(result, WorkerLost):
            self._recovery.lost(worker, result)
            return
        worker.failed_starts, worker.not_before = 0, 0.0
        self._note(result.notes)
        for number, notices in result.notices:
            self._search.noticed(number, notices)
        self._record_modes(result.measured)
        no_room = sorted(n for n, e in result.events.items() if e.shared and is_out_of_memory(e.error))
        if no_room:
            why = outcome_of_error(result.events[no_room[0]].error).message
            self._recovery.halve(worker, no_room, why)
        for number in sorted(result.events.keys() - no_room):
            self._tell(worker, worker.seated[number], result.events[number])
        kept = [number for number in worker.retire if self._search.recorder.retention.keeps(number)]
        if kept:
            self._pool.take_best(index, kept)
        if result.saved:
            self._settle()
        if result.unsaved:
            self._search.control.cannot_save(result.unsaved)

    def _tell(self, worker: RunningWorker, trial: RunningTrial, event: LaneEvent) -> None:
        if event.error is not None:
            self._fail(worker, trial, outcome_of_error(event.error, event.trace))
        elif event.stop is not None:
            self._search.scheduler.remove(trial.number)  # it has decided on the last report
            outcome = self._search.scheduler.outcome(trial.number, event.stop)
            self._search.sampler.tell(trial.number, outcome)
            self._retire(worker, trial, outcome)
        elif event.report is not None and event.report.epoch > trial.reported:
            trial.reported = event.report.epoch
            self._report(worker, trial, event.report)

    def _report(self, worker: RunningWorker, trial: RunningTrial, report: EpochReport) -> None:
        """Decide on an epoch, record it, and end the trial where it ends itself or is stopped."""
        scheduler, sampler, number = self._search.scheduler, self._search.sampler, trial.number
        decision = scheduler.decide(number, report) if report.stop is None else None
        self._search.recorder.reported(number, report, decision)
        if report.stop is None and (decision is None or not decision.stops):
            sampler.observe(number, report)
            return
        outcome = scheduler.outcome(number, report.stop)
        scheduler.complete(number, report)
        sampler.observe(number, report)
        sampler.tell(number, outcome)
        self._retire(worker, trial, outcome)

    def _fail(self, worker: RunningWorker, trial: RunningTrial, outcome: Outcome) -> None:
        """End a trial that raised, or that is not tried again."""
        self._search.scheduler.remove(trial.number)
        self._search.sampler.tell(trial.number, outcome)
        self._retire(worker, trial, outcome)
        self._search.failed(trial.number, outcome, epochs=trial.reported)

    def _retire(self, worker: RunningWorker, trial: RunningTrial, outcome: Outcome) -> None:
        """Record the end of a trial; its lane is free from the worker's next orders on."""
        worker.unseat(trial.number)
        self._search.recorder.ended(trial.number, outcome)

    def _settle(self) -> None:
        """Write the ledger's batch: after the best models of the trials that it calls ended.

        Such a trial is not trained again, so a driver killed in between would lose its model. Not after each
        epoch, which may take milliseconds: most models are displaced before they have to be written. But
        after each checkpoint: only the newest may be of an epoch that the ledger does not have.
        """
        self._note(self._pool.write_best(self._search.recorder.retention.keeps))
        self._settled_at = self._timing.now()
        self._search.recorder.flush()
        self._search.tidy()

    def _leave_paused(self) -> None:
        """End the trials that are paused when the search is over, and keep the models of the best of them."""
        for trial in self._turns.leave():
            home = None if trial.home is None else self._workers[trial.home]
            if home is not None and not (home.busy or home.lost):
                self._pool.take_best(home.index, [trial.number])
            elif self._search.recorder.retention.keeps(trial.number):
                self._note(self._search.check_best(trial.order))
        self._settle()

    def _note(self, notes: Sequence[CheckpointNote]) -> None:
        for note in notes:
            self._search.recorder.event(note)

    def _record_modes(self, measured: Sequence[LaneModeMeasured]) -> None:
        """Record and print which modes were measured; a resume takes them up."""
        for event in measured:
            self._modes.setdefault(event.group, event.mode)
            self._search.recorder.event(event)
            if not event.reason or event.reason not in self._told:  # many groups may have one reason
                self._say(event.sentence)
            self._told.add(event.reason)
        if measured:
            self._search.recorder.lane_modes_measured(self._modes)

    def _end_rest(self, reason: StopReason | None) -> None:
        """Keep what the running trials have, and record why they did not go on.

        An epoch in flight that is not over in time is given up, and its trial keeps its last checkpoint.
        """
        deadline = self._timing.now() + self._search.control.grace_s
        while any(w.busy and w.seated for w in self._workers) and self._timing.now() < deadline:
            done = self._pool.wait(self._timing.poll_s)
            if done is not None and self._workers[done[0]].seated:
                self._handle(*done)
            self._search.recorder.tick()
        if reason in (None, StopReason.BUDGET):
            self._leave_paused()
        idle = {
            worker.index: [*sorted(worker.seated), *self._turns.of(worker.index)]
            for worker in self._workers
            if not worker.busy and (worker.seated or self._turns.of(worker.index))
        }
        if idle:
            try:
                self._note(self._pool.save(idle))
            except CheckpointWriteError as error:  # they go on from their last checkpoints
                self._search.control.cannot_save(str(error))
        seated = [number for worker in self._workers for number in worker.seated]
        for number in sorted([*seated, *(trial.number for trial in self._recovery.waiting)]):
            self._search.recorder.ended(number, Outcome(reason or StopReason.DIED))
        self._search.recorder.flush()
        self._search.tidy()
