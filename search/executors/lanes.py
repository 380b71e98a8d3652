"""Many trials at once on one device, a lane each; a lane that becomes free is refilled at once.

The sampler and the scheduler are the objects that Ray Tune would call, called here in Tune's order:
a result goes to the scheduler, then to the sampler; an ending to the scheduler, then to the sampler.
"""

from __future__ import annotations

import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ray.tune.search import Searcher

from search.brain.scheduler import STOP
from search.errors import RunError
from search.executors.control import STOP_GRACE_S
from search.executors.faults import back_off_s
from search.executors.lane_host import Advance, Orders, Seat
from search.executors.pool import WorkerLost, WorkerPool, open_pool
from search.executors.search import Search
from search.ledger.events import CheckpointNote, LaneModeMeasured, LanesChosen, LanesHalved, LaneWorkerLost
from search.ledger.outcome import Outcome, StopReason
from search.ledger.writer import FLUSH_EVERY_S
from trainables.errors import CheckpointWriteError, is_out_of_memory
from trainables.report import STOP as STOPPED
from trainables.report import EpochReport, to_result

if TYPE_CHECKING:
    from trainables.lanes import LaneEvent

WAIT_S = 0.25
"""Longest wait for a worker before the control and the live view have their turn."""


@dataclass
class Lane:
    """One trial in a lane, as the driver knows it; a scheduler asks for the number in its ``config``.

    Attributes:
        reported: the last epoch that was recorded. A trial that continues from an older checkpoint
            trains up to it again, and nothing of that is recorded or decided twice.
        failures: how often its worker died while training it. Where nobody knows which of a worker's trials
            was in training (stacked ones), it counts for each, until the trial has got further.
        failed_at: ``reported`` when that happened last.
        not_before: when it may be tried again (monotonic seconds).
    """

    trial_id: str
    number: int
    seat: Seat
    worker: int
    reported: int = 0
    failures: int = 0
    failed_at: int = -1
    not_before: float = 0.0

    @property
    def config(self) -> dict[str, Any]:
        """What a scheduler reads."""
        return {"number": self.number}


@dataclass
class _Worker:
    """What the driver holds of one worker.

    Attributes:
        busy: it trains, or starts; a worker that starts holds no trials, for it may never come up.
        lost: it died, and is to be replaced at ``not_before`` (monotonic seconds; infinity: never).
        failed_starts: how often in a row it died before it was up.
    """

    lanes: int
    seated: set[int] = field(default_factory=set)
    retire: list[int] = field(default_factory=list)
    busy: bool = False
    lost: bool = False
    failed_starts: int = 0
    not_before: float = 0.0


class LanesExecutor:
    """Runs a search in lanes: in this process, or in Ray actors where the study asks for workers.

    Args:
        say: prints one line for the user.
    """

    def __init__(self, say: Callable[[str], None] = lambda line: None) -> None:
        self._say = say

    def run(self, search: Search) -> None:
        """See ``Executor.run``."""
        with open_pool(search) as pool:
            for line in pool.told:
                search.recorder.event(LanesChosen(choice=line))
            search.recorder.lanes_chosen(pool.lanes[0])
            ControlLoop(search, pool, self._say).run()


class ControlLoop:
    """Ask, seat, advance, tell, retire, refill.

    Args:
        search: what is searched, with what.
        pool: the workers.
        say: prints one line for the user.
    """

    def __init__(self, search: Search, pool: WorkerPool, say: Callable[[str], None] = lambda line: None) -> None:
        self._search = search
        self._pool = pool
        self._say = say
        self._modes: dict[str, str] = dict(search.lane_modes)
        self._workers = [_Worker(lanes) for lanes in pool.lanes]
        self._fewest = min(pool.lanes)
        self._lanes: dict[int, Lane] = {}
        self._waiting: deque[Lane] = deque()
        self._settled_at = 0.0

    def run(self) -> None:
        """Train until the sampler has no more trials, or the search is told to stop."""
        control, recorder = self._search.control, self._search.recorder
        while control.stopping is None and self._launch():
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
        recorder.tick()
        self._end_rest(control.stopping)

    def _handle(self, index: int, result: Advance | WorkerLost) -> None:
        worker = self._workers[index]
        worker.busy = False
        if isinstance(result, WorkerLost):
            self._lost(index, result)
            return
        worker.failed_starts, worker.not_before = 0, 0.0
        self._note(result.notes)
        self._keep_modes(result.measured)
        crowded = [n for n, e in result.events.items() if e.shared and is_out_of_memory(e.error)]
        if crowded:
            self._halve(index, sorted(crowded), failure(result.events[crowded[0]].error).message)
        for number in sorted(result.events.keys() - crowded):
            self._tell(self._lanes[number], result.events[number])
        kept = [n for n in self._workers[index].retire if self._search.recorder.retention.keeps(n)]
        if kept:
            self._pool.keep(index, kept)
        if result.saved:
            self._settle()
        if result.unsaved:
            self._search.control.cannot_save(result.unsaved)

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
            self._search.recorder.event(CheckpointNote(note=note))

    def _keep_modes(self, measured: Sequence[LaneModeMeasured]) -> None:
        """Record and print which modes were measured; a resume keeps them."""
        for event in measured:
            self._modes.setdefault(event.group, event.mode)
            self._search.recorder.event(event)
            self._say(event.sentence)
        if measured:
            self._search.recorder.lane_modes_measured(self._modes)

    def _launch(self) -> bool:
        """Fill the free lanes and start an epoch on every idle worker; False when nothing is left."""
        for index, worker in enumerate(self._workers):
            if worker.lost and time.monotonic() >= worker.not_before:
                self._pool.replace(index)
                worker.lost, worker.busy = False, True
            if worker.busy or worker.lost:
                continue
            seats = self._fill(index, worker)
            if worker.seated:
                compact = self._compact(worker)
                self._pool.launch(index, Orders(tuple(worker.retire), compact, tuple(seats)))
                worker.retire.clear()
                worker.busy = True
        return bool(self._lanes) or not self._search.sampler.finished

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

    def _lost(self, index: int, lost: WorkerLost) -> None:
        """Put the trials of a dead worker back, to be continued wherever there is room, and replace the worker.

        Raises:
            RunError: it was the last, and died again and again before it was up.
        """
        worker = self._workers[index]
        worker.lost = True
        numbers = sorted(worker.seated)
        if lost.crowded and len(numbers) > 1:
            self._halve(index, numbers, lost.reason)
        elif lost.crowded and numbers:
            self._failed(self._lanes[numbers[0]], Outcome(StopReason.OUT_OF_MEMORY, message=lost.reason))
        else:
            self._died(index, lost)
        worker.seated.clear()
        worker.retire.clear()
        if all(w.not_before == math.inf for w in self._workers):
            raise RunError(f"no worker comes up: {lost.reason}")

    def _died(self, index: int, lost: WorkerLost) -> None:
        """Queue the trials of a dead worker again; count it where it died before it was up."""
        worker = self._workers[index]
        if not worker.seated:
            worker.failed_starts += 1
            worker.not_before = time.monotonic() + back_off_s(worker.failed_starts)
        waits = {number: self._requeue(self._lanes[number], lost) for number in sorted(worker.seated)}
        given_up = worker.failed_starts > self._search.study.faults.max_failures
        if given_up:
            worker.not_before = math.inf
        self._search.recorder.event(
            LaneWorkerLost(
                worker=index,
                reason=lost.reason,
                retried={number: wait_s for number, wait_s in waits.items() if wait_s is not None},
                given_up=tuple(number for number, wait_s in waits.items() if wait_s is None),
                failed_starts=worker.failed_starts if given_up else None,
            )
        )

    def _queue(self, lane: Lane) -> None:
        """Put a trial back, to be continued from its last checkpoint, or begun again where it has none."""
        best = self._search.recorder.retention.best(lane.number)
        lane.seat = replace(lane.seat, resume=True, epochs=lane.reported, best=best)
        self._waiting.append(lane)

    def _halve(self, index: int, numbers: list[int], why: str) -> None:
        """Give a worker whose trials had no room together half as many lanes; queue those that lost theirs.

        No trial is to blame, so none fails. The others stay; a later session begins with as many lanes.
        """
        worker = self._workers[index]
        together, worker.lanes = len(worker.seated), max(1, len(worker.seated) // 2)
        self._search.recorder.event(
            LanesHalved(worker=index, together=together, lanes=worker.lanes, queued=tuple(numbers), reason=why)
        )
        self._fewest = min(self._fewest, worker.lanes)
        self._search.recorder.lanes_chosen(self._fewest)
        for number in numbers:
            self._queue(self._lanes[number])
            worker.seated.discard(number)
            worker.retire.append(number)

    def _requeue(self, lane: Lane, lost: WorkerLost) -> float | None:
        """Queue a trial of a dead worker again, or end one that hung or took its worker down too often.

        Returns:
            The seconds until it is tried again; None where it has ended.
        """
        faults, number = self._search.study.faults, lane.number
        blamed = lost.at in (None, number)
        if blamed:
            known = lost.at is not None
            lane.failures = lane.failures + 1 if known or lane.failed_at == lane.reported else 1
            lane.failed_at = lane.reported
        if number == lost.at and lost.hung:
            message = f"no report in {faults.trial_timeout_s:g} s (--trial-timeout)"
        elif blamed and lane.failures > faults.max_failures:
            times = f"{lane.failures} times (--max-failures {faults.max_failures})"
            message = f"its worker process died while training it, {times}: {lost.reason}"
        else:
            wait_s = back_off_s(lane.failures) if blamed else 0.0
            lane.not_before = time.monotonic() + wait_s
            self._queue(lane)
            return wait_s
        self._failed(lane, Outcome(StopReason.ERROR, message=message))
        return None

    def _end_rest(self, reason: StopReason | None) -> None:
        """Keep what the running trials have, and record why they did not go on.

        An epoch in flight that is not over in time is given up, and its trial keeps its last checkpoint.
        """
        deadline = time.monotonic() + STOP_GRACE_S
        while any(w.busy and w.seated for w in self._workers) and time.monotonic() < deadline:
            done = self._pool.wait(WAIT_S)
            if done is not None and self._workers[done[0]].seated:
                self._handle(*done)
            self._search.recorder.tick()
        idle = {i: sorted(w.seated) for i, w in enumerate(self._workers) if w.seated and not w.busy}
        if idle:
            try:
                self._note(self._pool.save(idle))
            except CheckpointWriteError as error:  # they go on from their last checkpoints
                self._search.control.cannot_save(str(error))
        for number in sorted(self._lanes):
            self._search.recorder.ended(number, Outcome(reason or StopReason.DIED))
        self._search.recorder.flush()
        self._search.tidy()


def failure(error: BaseException | None) -> Outcome:
    """Return the outcome of a trial that raised in its lane."""
    lines = str(error).strip().splitlines()
    return Outcome(
        StopReason.OUT_OF_MEMORY if is_out_of_memory(error) else StopReason.ERROR,
        message=f"{type(error).__name__}: {lines[-1] if lines else ''}",
        traceback="".join(traceback.format_exception(error)),
    )
