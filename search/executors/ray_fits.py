"""Configurations trained on a pair as Ray tasks, each with its share of CPU and GPU, in a process that may die."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from search.declaration.study import Study
from search.executors.capacity import Capacity, at_once
from search.executors.control import Control
from search.executors.faults import reason_of
from search.executors.fit_job import fit_job, hangs, hung
from search.executors.fits import FitDone, Job, NumberedPair, failed_row
from search.executors.timing import USUAL, Timing
from search.ledger.outcome import Outcome, StopReason
from trainables.model_function import carried_function
from trainables.registry import function_path


class RayFits:
    """Trains on Ray, which is up: on this machine, or on a cluster.

    Args:
        study: the declaration.
        control: says whether to go on.
        timing: how long to wait for what.
    """

    def __init__(self, study: Study, control: Control, *, timing: Timing = USUAL) -> None:
        self._study = study
        self._control = control
        self._timing = timing
        self._function = carried_function(function_path(study.trainable))
        resources = study.resources
        # with a GPU each in a process of its own, which gives the memory back
        self._task = ray.remote(max_calls=1 if resources.gpus_per_trial else 0)(fit_on_ray).options(
            num_cpus=resources.cpus_per_trial,
            num_gpus=resources.gpus_per_trial,
            max_retries=study.faults.max_failures,
        )

    def run(self, pair: NumberedPair, jobs: Sequence[Job]) -> Iterator[FitDone]:
        """Yield what comes of each job; see ``FitRunner``. As many run at once as there is room for."""
        held, study = ray.put(pair), ray.put(self._study)
        waiting = list(jobs)
        running: dict[Any, tuple[Job, float]] = {}
        most = at_once(Capacity.of_ray(), self._study.resources)  # what is beyond waits here, and its clock stands
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    job = waiting.pop(0)
                    running[self._task.remote(study, held, job, self._function)] = job, time.time()
                done, _ = ray.wait(list(running), num_returns=1, timeout=self._timing.poll_s)
                if self._control.stopping is not None and not done:
                    return
                for task in done:
                    job, since = running.pop(task)
                    yield _result(task, pair, job, since)
                for task in [task for task, (_, since) in running.items() if hangs(self._study, since)]:
                    job, since = running.pop(task)
                    ray.cancel(task, force=True)
                    yield FitDone(failed_row(pair, job, hung(self._study), since))
        finally:
            for task in running:
                ray.cancel(task, force=True)


def fit_on_ray(study: Study, pair: NumberedPair, job: Job, function: bytes | None) -> FitDone:
    """Train a configuration on a pair, and score it; runs in a process of Ray's."""
    from trainables.tune import assigned_device

    return fit_job(study, pair, job, function, device=assigned_device())


def _result(task: Any, pair: NumberedPair, job: Job, since: float) -> FitDone:
    try:
        done: FitDone = ray.get(task)
    except (RayError, RayTaskError) as error:
        reason = StopReason.OUT_OF_MEMORY if isinstance(error, OutOfMemoryError) else StopReason.ERROR
        return FitDone(failed_row(pair, job, Outcome(reason, message=reason_of(error)), since))
    return done
