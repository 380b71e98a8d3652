"""What lanes do about a worker that is lost, or that has no room for all of its trials: these are queued again."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

from search.errors import RunError
from search.executors.pool import WorkerLost
from search.executors.running import RunningTrial, RunningWorker
from search.executors.search import Search
from search.executors.timing import Timing
from search.ledger.events import LanesHalved, LaneWorkerLost
from search.ledger.outcome import Outcome, StopReason


class Recovery:
    """Queues the trials that lost their lanes through no end of their own.

    Args:
        search: what is searched, with what.
        workers: all of them.
        fail: ends a trial in a lane of a worker.
        timing: how long to wait before a trial, or a worker, is tried again.

    Attributes:
        waiting: the queue.
        fewest: lanes of the worker that has had to give up most of them.
    """

    def __init__(
        self,
        search: Search,
        workers: Sequence[RunningWorker],
        *,
        fail: Callable[[RunningWorker, RunningTrial, Outcome], None],
        timing: Timing,
    ) -> None:
        self._search = search
        self._workers = workers
        self._fail = fail
        self._timing = timing
        self.fewest = min(worker.lanes for worker in workers)
        self.waiting: deque[RunningTrial] = deque()

    def take_due(self) -> RunningTrial | None:
        """Return, once, a queued trial whose time has come."""
        for trial in self.waiting:
            if self._timing.now() >= trial.not_before:
                self.waiting.remove(trial)
                return trial
        return None

    def lost(self, worker: RunningWorker, lost: WorkerLost) -> None:
        """Put the trials of a dead worker back, to be continued wherever there is room, and have it replaced.

        Raises:
            RunError: it was the last, and died again and again before it was up.
        """
        worker.lost = True
        numbers = sorted(worker.seated)
        if lost.out_of_host_memory and len(numbers) > 1:
            self.halve(worker, numbers, lost.reason)
        elif lost.out_of_host_memory and numbers:
            outcome = Outcome(StopReason.OUT_OF_MEMORY, message=lost.reason)
            self._fail(worker, worker.seated[numbers[0]], outcome)
        else:
            self._died(worker, lost)
        worker.seated.clear()
        worker.retire.clear()
        worker.pause.clear()
        if all(other.given_up for other in self._workers):
            raise RunError(f"no worker comes up: {lost.reason}")

    def halve(self, worker: RunningWorker, numbers: Sequence[int], why: str) -> None:
        """Give a worker whose trials had no room together half as many lanes; queue those that lost theirs.

        No trial is to blame, so none fails. The others stay; a later session begins with as many lanes.
        """
        together, worker.lanes = len(worker.seated), max(1, len(worker.seated) // 2)
        self._search.recorder.event(
            LanesHalved(worker=worker.index, together=together, lanes=worker.lanes, queued=tuple(numbers), reason=why)
        )
        self.fewest = min(self.fewest, worker.lanes)
        self._search.recorder.lanes_chosen(self.fewest)
        for number in numbers:
            self._queue(worker.unseat(number))

    def _died(self, worker: RunningWorker, lost: WorkerLost) -> None:
        """Queue the trials of a dead worker again; count it where it died before it was up."""
        if not worker.seated:
            worker.failed_starts += 1
            worker.not_before = self._timing.now() + self._timing.wait_s(worker.failed_starts)
        waits_s = {number: self._try_again(worker, worker.seated[number], lost) for number in sorted(worker.seated)}
        given_up = worker.failed_starts > self._search.study.faults.max_failures
        if given_up:
            worker.not_before = math.inf
        self._search.recorder.event(
            LaneWorkerLost(
                worker=worker.index,
                reason=lost.reason,
                retried={number: wait_s for number, wait_s in waits_s.items() if wait_s is not None},
                given_up=tuple(number for number, wait_s in waits_s.items() if wait_s is None),
                failed_starts=worker.failed_starts if given_up else None,
            )
        )

    def _try_again(self, worker: RunningWorker, trial: RunningTrial, lost: WorkerLost) -> float | None:
        """Queue a trial of a dead worker again, or end one that hung or took its worker down too often.

        Returns:
            The seconds until it is tried again; None where it has ended.
        """
        outcome = trial.take_blame(lost, self._search.study.faults)
        if outcome is not None:
            self._fail(worker, trial, outcome)
            return None
        wait_s = self._timing.wait_s(trial.failures) if trial.may_have_caused(lost) else 0.0
        trial.not_before = self._timing.now() + wait_s
        self._queue(trial)
        return wait_s

    def _queue(self, trial: RunningTrial) -> None:
        """Put a trial back, to be continued from its last checkpoint, or begun again where it has none."""
        best = self._search.recorder.retention.best(trial.number)
        trial.order = trial.order.continued(epochs=trial.reported, best=best)
        self.waiting.append(trial)
