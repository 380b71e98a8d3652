"""Configurations trained on a pair in processes of this machine, each in one of its own, which may die of it."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from search.declaration.study import Study
from search.executors.capacity import Capacity
from search.executors.control import Control
from search.executors.fit_job import fit_job, hangs, hung
from search.executors.fits import FitDone, Job, NumberedPair, failed_row
from search.executors.fork_server import ForkedProcess, ForkServer
from search.executors.timing import USUAL, Timing
from search.ledger.outcome import Outcome, StopReason
from trainables.machine import THIS_MACHINE
from trainables.model_function import carried_function
from trainables.registry import function_path, is_user_model


@dataclass
class _Running:
    """A job in its process.

    Attributes:
        died: how many processes ended while training it.
        since: when the first of them began.
    """

    job: Job
    process: ForkedProcess
    died: int = 0
    since: float = field(default_factory=time.time)


class ForkedFits:
    """Trains on this machine's cores, as many runs at once as have room.

    Args:
        study: the declaration.
        server: forks the processes.
        control: says whether to go on.
        log: file to which what they print is added.
        timing: how long to wait for what.
    """

    def __init__(
        self, study: Study, server: ForkServer, control: Control, log: Path, *, timing: Timing = USUAL
    ) -> None:
        self._study, self._server, self._control, self._log, self._timing = study, server, control, log, timing
        self._function = carried_function(function_path(study.trainable))
        if not is_user_model(study.trainable):  # torch imports it with an optimizer, which takes a second
            server.import_ahead("torch._dynamo")
        self._most = Capacity.of(THIS_MACHINE, with_gpus=False).slots(study.resources)

    def run(self, pair: NumberedPair, jobs: Sequence[Job]) -> Iterator[FitDone]:
        """Yield what comes of each job; see ``FitRunner``."""
        self._server.hold(self._study, pair, self._function)
        waiting, running = list(jobs), list[_Running]()
        try:
            while waiting or running:
                while waiting and len(running) < self._most:
                    job = waiting.pop(0)
                    running.append(_Running(job, self._fork(job)))
                done = wait([one.process.connection for one in running], timeout=self._timing.poll_s)
                if self._control.stopping is not None and not done:
                    return
                for one in [one for one in running if one.process.connection in done]:
                    if (found := self._taken(pair, one)) is not None:
                        running.remove(one)
                        yield found
                for one in [one for one in running if hangs(self._study, one.since)]:
                    running.remove(one)
                    self._end(one)
                    yield FitDone(failed_row(pair, one.job, hung(self._study), one.since))
        finally:
            for one in running:
                self._end(one)

    def _fork(self, job: Job) -> ForkedProcess:
        return self._server.fork(fit_in_process, job, log=self._log)

    def _taken(self, pair: NumberedPair, one: _Running) -> FitDone | None:
        """Return what came of a job; None where its process died, and another trains it."""
        try:
            done: FitDone = pickle.loads(one.process.connection.recv_bytes())
        except (EOFError, OSError):
            reason, for_memory = self._server.ended(one.process)
            one.died += 1
            if one.died <= self._study.faults.max_failures and not for_memory:
                one.process = self._fork(one.job)
                return None
            why = StopReason.OUT_OF_MEMORY if for_memory else StopReason.ERROR
            return FitDone(failed_row(pair, one.job, Outcome(why, message=reason), one.since))
        self._end(one)
        return done

    def _end(self, one: _Running) -> None:
        one.process.kill()
        self._server.ended(one.process)


def fit_in_process(connection: Connection, study: Study, pair: NumberedPair, function: bytes | None, job: Job) -> None:
    """Train a job, and tell what came of it. Runs in a process that was forked for it."""
    import cloudpickle
    import torch

    connection.send_bytes(cloudpickle.dumps(fit_job(study, pair, job, function, device=torch.device("cpu"))))
