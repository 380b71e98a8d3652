"""Lane workers as Ray actors, on this machine or a cluster, with a share of a GPU each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayError, RayTaskError

from search.declaration.study import Study
from search.errors import RunError
from search.executors.capacity import Capacity
from search.executors.faults import reason_of
from search.executors.lane_host import Advance, LaneHost, Orders
from search.executors.lane_workers import worker_cores
from search.executors.marker import marked_trials
from search.executors.pool import WorkerLost
from search.executors.timing import Timing
from search.ledger.events import CheckpointNote
from trainables.checkpoint_store import CheckpointStore
from trainables.data.parts import counted
from trainables.errors import CheckpointWriteError
from trainables.model_function import carried_function
from trainables.registry import function_path
from trainables.stage import stage

if TYPE_CHECKING:
    from trainables.data import Splits


class RayPool:
    """One actor a worker. A trial's share is gpus-per-worker / lanes.

    Args:
        study: the declaration.
        splits: the examples; each actor copies them to its device.
        checkpoints: folder of the study's checkpoints; every node must see it.
        modes: how groups train whose mode was measured before.
        timing: how long to wait for a start and for checkpoints.

    Raises:
        RunError: the actors do not start.
    """

    def __init__(
        self, study: Study, splits: Splits, checkpoints: Path, modes: Mapping[str, str], *, timing: Timing
    ) -> None:
        self._study = study
        self._timing = timing
        self._modes = modes
        self._checkpoints = checkpoints
        self._splits = ray.put(splits)
        self._function = carried_function(function_path(study.trainable))
        resources = study.resources
        self._cores = worker_cores(study, Capacity.of_ray())
        self._in_turn: set[int] = set()
        self._actor_class = ray.remote(LaneHost).options(
            num_cpus=self._cores, num_gpus=resources.gpus_per_worker, max_restarts=0
        )
        workers = range(resources.workers or 1)
        checkpoints.mkdir(parents=True, exist_ok=True)
        self._markers = [checkpoints / f"worker_{index}.at" for index in workers]
        self._actors = [self._start(index) for index in workers]
        self._running: dict[Any, int] = {}
        self._launched = [time.time() for _ in workers]
        self._hung: dict[int, int] = {}
        self._writing: list[tuple[list[int], Any]] = []
        with stage(f"starting {counted(len(self._actors), 'worker')} on Ray, which copy the data"):
            described = self._describe()
        self.lanes = [lanes for lanes, _ in described]
        self.reasons = [f"worker {i}: {reason}" for i, (_, reason) in enumerate(described)]

    def launch(self, index: int, orders: Orders) -> None:
        """Send ``orders`` to the actor."""
        self._launched[index] = time.time()
        self._running[self._actors[index].advance.remote(orders)] = index

    def wait(self, timeout_s: float) -> tuple[int, Advance | WorkerLost] | None:
        """Return the first actor that is done."""
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        if not done:
            self._end_hung()
            return None
        index = self._running.pop(done[0])
        try:
            result = ray.get(done[0])
        except RayTaskError as error:
            if not isinstance(error.cause, RayError):
                raise RunError(f"lane worker {index} failed: {error.cause!r}") from error
            return index, self._lost(index, error.cause)
        except RayError as error:  # it died, its node did, or what it returned went with the node
            return index, self._lost(index, error)
        return index, result if isinstance(result, Advance) else Advance({})

    def replace(self, index: int) -> None:
        """Start another actor; Ray places it where there is room, at once or when a node comes up."""
        ray.kill(self._actors[index])  # where Ray only lost sight of it, it must not go on beside the new one
        self._actors[index] = self._start(index)
        self._running[self._actors[index].describe.remote()] = index

    def take_best(self, index: int, numbers: Sequence[int]) -> None:
        """Have the actor write the best models of trials that have just ended, before its next orders."""
        self._writing.append((list(numbers), self._actors[index].write_best.remote(list(numbers))))

    def write_best(self, keeps: Callable[[int], bool]) -> list[CheckpointNote]:
        """Wait until the best models that were asked for are written, displaced or not."""
        writing, self._writing = self._writing, []
        notes: list[CheckpointNote] = []
        for numbers, reference in writing:
            try:
                notes += ray.get(reference)
            except RayError:  # its orders find that out too
                for number in numbers:
                    CheckpointStore(self._checkpoints).remove_best(number)  # an older one would pass for the best
                    line = f"trial {number}: its worker died before its best model was written"
                    notes.append(CheckpointNote(trial=number, note=line))
        return notes

    def save(self, numbers: Mapping[int, list[int]]) -> list[CheckpointNote]:
        """Write checkpoints of the seated trials of each worker."""
        saving = [self._actors[index].save.remote(list(n)) for index, n in numbers.items()]
        done, _ = ray.wait(saving, num_returns=len(saving), timeout=self._timing.save_s)
        notes: list[CheckpointNote] = []
        for future in done:
            try:
                notes += ray.get(future)
            except RayTaskError as error:
                if isinstance(error.cause, CheckpointWriteError):
                    raise error.cause from None
            except RayError:  # it died meanwhile
                continue
        return notes

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)

    def _start(self, index: int) -> Any:
        marker = self._markers[index]
        marker.unlink(missing_ok=True)
        return self._actor_class.remote(
            self._study,
            self._splits,
            device=None,
            checkpoints=self._checkpoints,
            marker=marker,
            in_turn=index in self._in_turn,
            modes=self._modes,
            function=self._function,
        )

    def _lost(self, index: int, error: RayError) -> WorkerLost:
        reason = reason_of(error)
        if index in self._hung:
            return WorkerLost(reason, self._hung.pop(index), hung=True)
        if isinstance(error, OutOfMemoryError):  # Ray's memory monitor ended it
            return WorkerLost(reason, out_of_host_memory=True)
        among = tuple(sorted(marked_trials(self._markers[index])))
        if len(among) < 2:
            return WorkerLost(reason, at=among[0] if among else None)
        self._in_turn.add(index)
        trials = ", ".join(map(str, among))
        return WorkerLost(f"{reason}; trials {trials} were in training and now go on in turn", among=among)

    def _end_hung(self) -> None:
        """Kill the workers in which a trial has taken longer than the study allows."""
        limit_s = self._study.faults.trial_timeout_s
        if limit_s is None:
            return
        for index in self._running.values():
            if index in self._hung:
                continue
            # without a mark it is still starting, or its trials are stacked and cannot hang
            for number, began in marked_trials(self._markers[index]).items():
                if time.time() - max(began, self._launched[index]) > limit_s:
                    self._hung[index] = number
                    ray.kill(self._actors[index])
                    break

    def _describe(self) -> list[tuple[int, str]]:
        try:
            return list(ray.get([actor.describe.remote() for actor in self._actors], timeout=self._timing.start_s))
        except GetTimeoutError:
            self.close()
            r = self._study.resources
            raise RunError(
                f"the workers did not start within {self._timing.start_s:g} s: {len(self._actors)} of "
                f"{self._cores:g} CPU and {r.gpus_per_worker:g} GPU each were asked for; "
                f"the cluster has {ray.cluster_resources()}"
            ) from None
        except RayError as error:
            self.close()
            raise RunError(f"the workers did not start: {reason_of(error)}") from None
