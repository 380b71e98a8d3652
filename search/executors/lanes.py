"""Many trials at once on one device, a lane each; a lane that becomes free is refilled at once.

The sampler and the scheduler are the objects that Ray Tune would call, called here in Tune's order:
a result goes to the scheduler, then to the sampler; an ending to the scheduler, then to the sampler.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ray.tune.search import Searcher

from search.executors.base import Search
from search.executors.pool import LANES_FACT, Advance, Orders, Seat, WorkerLost, WorkerPool, open_pool
from search.ledger import FLUSH_EVERY_S
from search.outcome import Outcome, StopReason
from search.scheduler import STOP
from trainables.report import STOP as STOPPED
from trainables.report import EpochReport, to_result

if TYPE_CHECKING:
    from trainables.lanes import LaneEvent

BACK_OFF_S = 0.5
"""Wait before a trial whose worker died is tried again; doubled each time."""

WAIT_S = 0.25
"""Longest wait for a worker before the control and the live view have their turn."""


@dataclass
class Lane:
    """One trial in a lane, as the driver knows it; a scheduler asks for the number in its ``config``.

    Attributes:
        reported: the last epoch that was recorded. A trial that continues from an older checkpoint
            trains up to it again, and nothing of that is recorded or decided twice.
        failures: how often its worker died while training it.
        not_before: when it may be tried again (monotonic seconds).
    """

    trial_id: str
    number: int
    seat: Seat
    worker: int
    reported: int = 0
    failures: int = 0
    not_before: float = 0.0

    @property
    def config(self) -> dict[str, Any]:
        """What a scheduler reads."""
        return {"number": self.number}


@dataclass
class _Worker:
    """What the driver holds of one worker."""

    lanes: int
    seated: set[int] = field(default_factory=set)
    retire: list[int] = field(default_factory=list)
    busy: bool = False


class LanesExecutor:
    """Runs a search in lanes: in this process, or in Ray actors where the study asks for workers."""

    def run(self, search: Search) -> None:
        """See ``Executor.run``."""
        with open_pool(search) as pool:
            for line in pool.told:
                search.recorder.event("lanes", line)
            search.remember(LANES_FACT, pool.lanes[0])
            _Loop(search, pool).run()


class _Loop:
    """Ask, seat, advance, tell, retire, refill."""

    def __init__(self, search: Search, pool: WorkerPool) -> None:
        self._search = search
        self._pool = pool
        self._workers = [_Worker(lanes) for lanes in pool.lanes]
        self._lanes: dict[int, Lane] = {}
        self._waiting: deque[Lane] = deque()
        self._settled_at = 0.0

    def run(self) -> None:
        control, recorder = self._search.control, self._search.recorder
        while control.stopping is None and (self._launch() or self._waiting):
            if any(worker.busy for worker in self._workers):
                done = self._pool.wait(WAIT_S)
                if done is not None:
                    self._handle(*done)
            else:
                time.sleep(WAIT_S)  # every trial left waits for its time to be tried again
            if time.monotonic() - self._settled_at >= FLUSH_EVERY_S:
                self._settle()
                recorder.tick()
        self._settle()
        self._end_rest(control.stopping)

    def _handle(self, index: int, result: Advance | WorkerLost) -> None:
        self._workers[index].busy = False
        if isinstance(result, WorkerLost):
            self._requeue(index, result)
            return
        self._note(result.notes)
        for number in sorted(result.events):
            self._tell(self._lanes[number], result.events[number])
        kept = [n for n in self._workers[index].retire if self._search.recorder.retention.keeps(n)]
        if kept:
            self._pool.keep(index, kept)
        if result.saved:
            self._settle()

    def _settle(self) -> None:
        """Write the ledger's batch: after the best models of the trials that it calls ended.

        Such a trial is not trained again, so a driver killed in between would lose its model. Not after each
        epoch, which may take milliseconds: most models are displaced before they have to be written. But
        after each checkpoint: only the newest may be of an epoch that the ledger does not have.
        """
        self._note(self._pool.write_kept(self._search.recorder.retention.keeps))
        self._settled_at = time.monotonic()
        self._search.recorder.flush()
        self._search.tidy()

    def _note(self, notes: Sequence[str]) -> None:
        for note in notes:
            self._search.recorder.event("checkpoint", note, level="warning")

    def _launch(self) -> bool:
        """Fill the free lanes and start an epoch on every idle worker; False when nothing is left."""
        for index, worker in enumerate(self._workers):
            if worker.busy:
                continue
            seats = self._fill(index, worker)
            if worker.seated:
                compact = self._compact(worker)
                self._pool.launch(index, Orders(tuple(worker.retire), compact, tuple(seats)))
                worker.retire.clear()
                worker.busy = True
        return any(worker.busy for worker in self._workers)

    def _fill(self, index: int, worker: _Worker) -> list[Seat]:
        seats = []
        while len(worker.seated) < worker.lanes:
            lane = self._due() or self._ask()
            if lane is None:
                break
            lane.worker = index
            worker.seated.add(lane.number)
            seats.append(lane.seat)
        return seats

    def _due(self) -> Lane | None:
        """Return a queued trial whose time has come."""
        for lane in self._waiting:
            if time.monotonic() >= lane.not_before:
                self._waiting.remove(lane)
                return lane
        return None

    def _compact(self, worker: _Worker) -> int | None:
        """Return fewer lanes for a worker whose queue has drained and that trains at most half of them."""
        drained = self._search.sampler.finished and not self._waiting
        if not drained or 2 * len(worker.seated) > worker.lanes:
            return None
        worker.lanes = len(worker.seated)
        return worker.lanes

    def _ask(self) -> Lane | None:
        """Return the next trial, or None when the sampler has no more."""
        sampler = self._search.sampler
        if sampler.finished:
            return None
        trial_id = f"{sampler.next_number:05d}"
        config = sampler.suggest(trial_id)
        if config == Searcher.FINISHED or not isinstance(config, Mapping):
            return None
        seat = Seat(
            config["number"],
            config["params"],
            config["seed"],
            resume=config["resumed"],
            epochs=config["epochs_before"],
            best=config["best"],
        )
        lane = Lane(trial_id, config["number"], seat, worker=-1, reported=config["epochs_before"])
        self._lanes[lane.number] = lane
        self._search.scheduler.on_trial_add(None, lane)
        self._search.recorder.started(sampler.proposal(trial_id))
        return lane

    def _tell(self, lane: Lane, event: LaneEvent) -> None:
        if event.error is not None:
            self._failed(lane, failure(event.error))
        elif event.report is not None and event.report.epoch > lane.reported:
            lane.reported = event.report.epoch
            self._reported(lane, event.report)

    def _reported(self, lane: Lane, report: EpochReport) -> None:
        scheduler, sampler, recorder = self._search.scheduler, self._search.sampler, self._search.recorder
        result: dict[str, Any] = to_result(report)
        stopped = report.stop is not None or scheduler.on_trial_result(None, lane, result) == STOP
        recorder.reported(lane.number, report, scheduler.take_decision(lane.number))
        if not stopped:
            sampler.on_trial_result(lane.trial_id, result)
            return
        scheduler.on_trial_complete(None, lane, result)
        sampler.on_trial_complete(lane.trial_id, result)
        self._leave(lane, scheduler.outcome(lane.number, report.stop))

    def _failed(self, lane: Lane, outcome: Outcome) -> None:
        self._search.scheduler.on_trial_complete(None, lane, {STOPPED: outcome.reason.value})
        self._search.sampler.on_trial_complete(lane.trial_id, error=True)
        self._leave(lane, outcome)
        self._search.abort_if_poisoned()

    def _leave(self, lane: Lane, outcome: Outcome) -> None:
        """Record the end of a trial; its lane is free from the worker's next orders on."""
        worker = self._workers[lane.worker]
        worker.seated.discard(lane.number)
        worker.retire.append(lane.number)
        self._search.recorder.ended(lane.number, outcome)
        del self._lanes[lane.number]

    def _requeue(self, index: int, lost: WorkerLost) -> None:
        """Put the trials of a dead worker back, to be continued elsewhere from their last checkpoints."""
        worker = self._workers[index]
        numbers = sorted(worker.seated)
        text = f"worker {index} was lost ({lost.reason}); trials {numbers} are queued again"
        self._search.recorder.event("worker_lost", text, level="warning")
        for number in numbers:
            lane = self._lanes[number]
            best = self._search.recorder.retention.best(number)
            lane.seat = replace(lane.seat, resume=True, epochs=lane.reported, best=best)
            if number == lost.at and self._give_up(lane, lost):
                continue
            self._waiting.append(lane)
        worker.seated.clear()
        worker.retire.clear()
        self._pool.replace(index)

    def _give_up(self, lane: Lane, lost: WorkerLost) -> bool:
        """Count a fault of a trial; end the trial that hung, or that took its worker down too often."""
        faults = self._search.study.faults
        lane.failures += 1
        lane.not_before = time.monotonic() + BACK_OFF_S * 2 ** (lane.failures - 1)
        if lost.hung:
            limit_s = faults.trial_timeout_s
            self._failed(lane, Outcome(StopReason.ERROR, message=f"no report in {limit_s:g} s (--trial-timeout)"))
        elif lane.failures > faults.max_failures:
            times = f"{lane.failures} times (--max-failures {faults.max_failures})"
            message = f"its worker process died while training it, {times}: {lost.reason}"
            self._failed(lane, Outcome(StopReason.ERROR, message=message))
        else:
            return False
        return True

    def _end_rest(self, reason: StopReason | None) -> None:
        """Keep what the running trials have, and record why they did not go on."""
        if self._lanes:
            self._note(self._pool.save({i: sorted(w.seated) for i, w in enumerate(self._workers) if w.seated}))
        for number in sorted(self._lanes):
            self._search.recorder.ended(number, Outcome(reason or StopReason.DIED))
        self._search.recorder.flush()
        self._search.tidy()


def failure(error: BaseException) -> Outcome:
    """Return the outcome of a trial that raised in its lane."""
    lines = str(error).strip().splitlines()
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return Outcome(
        StopReason.OUT_OF_MEMORY if memory else StopReason.ERROR,
        message=f"{type(error).__name__}: {lines[-1] if lines else ''}",
        traceback="".join(traceback.format_exception(error)),
    )
