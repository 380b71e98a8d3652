"""Configurations trained on a pair in this process: side by side in lanes, or in turn where they do not stack."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.executors.choice import MOST_LANES
from search.executors.control import Control
from search.executors.faults import outcome_of_error
from search.executors.fits import FitDone, Job, NumberedPair, failed_row, finished
from search.executors.lane_workers import build_lane_worker, driver_device
from trainables.errors import is_of_a_signal, is_out_of_memory
from trainables.protocols import Trainable
from trainables.registry import find_trainable

if TYPE_CHECKING:
    from trainables.lanes import LaneEvent, LaneWorker, Seat
    from trainables.pair_run import BestEpoch

LOOK_EVERY_S = 0.05
"""How often the run in hand is asked what it has, and whether a stop was."""


@dataclass
class _Running:
    """A job in its lane."""

    job: Job
    config: Any
    seat: Seat
    best: BestEpoch
    started_at: float = field(default_factory=time.time)


class LaneFits:
    """Trains on one pair after another; many configurations at once where they stack.

    Args:
        study: the declaration.
        control: says whether to go on.
    """

    def __init__(self, study: Study, control: Control) -> None:
        self._study = study
        self._control = control
        self._trainable: Trainable = find_trainable(study.trainable)
        self._ended = threading.Event()

    def run(self, pair: NumberedPair, jobs: Sequence[Job]) -> Iterator[FitDone]:
        """Yield what comes of each job; see ``FitRunner``.

        They train in a thread, for an epoch, or an estimator's fit, may be one long call during which no signal would
        be heard here. One that is left behind after ``Control.grace_s`` ends with the process.
        """
        done: SimpleQueue[FitDone | BaseException | None] = SimpleQueue()
        self._ended.clear()
        thread = threading.Thread(target=self._train_all, args=(pair, jobs, done), name="fits", daemon=True)
        thread.start()
        stopped_at: float | None = None
        while True:
            if self._control.stopping is not None and stopped_at is None:
                stopped_at = time.monotonic()
                self._ended.set()
            if stopped_at is not None and time.monotonic() - stopped_at > self._control.grace_s:
                return
            try:
                found = done.get(timeout=LOOK_EVERY_S)
            except Empty:
                continue
            if found is None:
                return
            if isinstance(found, BaseException):
                raise found
            yield found

    def _train_all(
        self, pair: NumberedPair, jobs: Sequence[Job], done: SimpleQueue[FitDone | BaseException | None]
    ) -> None:
        try:
            worker = self._worker(pair)
            try:
                lanes = worker.lanes
                for start in range(0, len(jobs), lanes):
                    self._train(worker, pair, jobs[start : start + lanes], done)
            finally:
                worker.close()
        except BaseException as error:  # raised where the jobs were asked for
            done.put(error)
        done.put(None)

    def _train(
        self,
        worker: LaneWorker,
        pair: NumberedPair,
        jobs: Sequence[Job],
        done: SimpleQueue[FitDone | BaseException | None],
    ) -> None:
        """Train jobs together; those that run out of memory so are tried once more, alone."""
        running: dict[int, _Running] = {}
        alone: list[Job] = []
        for i, job in enumerate(jobs):
            try:
                running[i] = self._seat(worker, i, job, pair)
            except BaseException as error:
                if is_of_a_signal(error):
                    raise
                done.put(FitDone(failed_row(pair, job, outcome_of_error(error), time.time())))
        while running and not self._ended.is_set():
            events = worker.advance()
            for i, event in events.items():
                one = running[i]
                if event.error is not None and is_out_of_memory(event.error) and len(running) > 1:
                    alone.append(one.job)
                elif not self._has_ended(one, event):
                    continue
                else:
                    done.put(self._finish(one, event, pair))
                one.seat.retire()
                del running[i]
        for one in running.values():
            one.seat.retire()
        for job in alone:
            self._train(worker, pair, [job], done)

    def _seat(self, worker: LaneWorker, number: int, job: Job, pair: NumberedPair) -> _Running:
        from trainables.pair_run import BestEpoch

        study = self._study
        config = self._trainable.configure(study.params_of(job.params), max_epochs=study.budget.max_epochs)
        seat = worker.seat(number, config, seed=pair.seed)
        return _Running(job, config, seat, BestEpoch(study.objective.metric, study.objective.mode))

    def _has_ended(self, one: _Running, event: LaneEvent) -> bool:
        if event.report is not None:
            one.best.observe(event.report, one.seat.weights)
        return event.error is not None or (event.report is not None and event.report.stop is not None)

    def _finish(self, one: _Running, event: LaneEvent, pair: NumberedPair) -> FitDone:
        """Score what trained to its end."""
        if event.error is not None:
            return FitDone(failed_row(pair, one.job, outcome_of_error(event.error), one.started_at))
        try:
            return finished(self._trainable, one.config, one.best, pair, one.job, one.started_at)
        except Exception as error:
            return FitDone(failed_row(pair, one.job, outcome_of_error(error), one.started_at))

    def _worker(self, pair: NumberedPair) -> LaneWorker:
        trainable, device, lanes = self._trainable, driver_device(self._study), self._study.lanes.lanes
        return build_lane_worker(
            self._study,
            trainable,
            trainable.prepare(pair.data.splits, device),
            device=device,
            lanes=lanes if isinstance(lanes, int) else MOST_LANES,
            start=trainable.start,
        )
