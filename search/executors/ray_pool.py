"""Lane workers as Ray actors, on this machine or a cluster, with a share of a GPU each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from search.errors import RunError
from search.executors.pool import Advance, LaneHost, Orders, WorkerLost
from search.study import Study
from trainables.checkpoint_store import CheckpointStore

if TYPE_CHECKING:
    from trainables.data import Splits

START_S = 120.0
"""How long the first workers may take to come up before the search gives up."""


class RayPool:
    """One actor a worker. A trial's share is gpus-per-worker / lanes."""

    def __init__(self, study: Study, splits: Splits, checkpoints: Path) -> None:
        self._study = study
        self._checkpoints = checkpoints
        self._splits = ray.put(splits)
        resources = study.resources
        self._actor_class = ray.remote(LaneHost).options(
            num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker, max_restarts=0
        )
        workers = range(resources.workers or 1)
        checkpoints.mkdir(parents=True, exist_ok=True)
        self._markers = [checkpoints / f"worker_{index}.at" for index in workers]
        self._actors = [self._start(index) for index in workers]
        self._running: dict[Any, int] = {}
        self._launched = [time.time() for _ in workers]
        self._hung: dict[int, int | None] = {}
        self._writing: list[tuple[list[int], Any]] = []
        described = self._describe()
        self.lanes = [lanes for lanes, _ in described]
        self.told = [f"worker {i}: {reason}" for i, (_, reason) in enumerate(described)]

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
            return index, ray.get(done[0])
        except RayActorError as error:
            reason = str(error).strip().splitlines()[0]
            if index in self._hung:
                return index, WorkerLost(reason, self._hung.pop(index), hung=True)
            return index, WorkerLost(reason, self._at(index))
        except RayTaskError as error:
            raise RunError(f"lane worker {index} failed: {error.cause!r}") from error

    def replace(self, index: int) -> None:
        """Start another actor; Ray places it where there is room, at once or when a node comes up."""
        self._actors[index] = self._start(index)

    def keep(self, index: int, numbers: Sequence[int]) -> None:
        """Have the actor write the best models of trials that have just ended, before its next orders."""
        self._writing.append((list(numbers), self._actors[index].keep.remote(list(numbers))))

    def write_kept(self, keeps: Callable[[int], bool]) -> list[str]:
        """Wait until they are written, displaced or not."""
        writing, self._writing = self._writing, []
        notes: list[str] = []
        for numbers, reference in writing:
            try:
                notes += ray.get(reference)
            except RayActorError:  # its orders find that out too
                for number in numbers:
                    CheckpointStore(self._checkpoints).remove_best(number)  # an older one would pass for the best
                    notes.append(f"trial {number}: its worker died before its best model was written")
        return notes

    def save(self, numbers: Mapping[int, list[int]]) -> list[str]:
        """Write checkpoints of the seated trials of each worker."""
        written = ray.get([self._actors[index].save.remote(list(n)) for index, n in numbers.items()])
        return [note for notes in written for note in notes]

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)

    def _start(self, index: int) -> Any:
        marker = self._markers[index]
        marker.unlink(missing_ok=True)
        return self._actor_class.remote(
            self._study, self._splits, device=None, checkpoints=self._checkpoints, marker=marker
        )

    def _at(self, index: int) -> int | None:
        """Return the trial that a worker was training, by the mark it left."""
        try:
            return int(self._markers[index].read_text())
        except (OSError, ValueError):
            return None

    def _end_hung(self) -> None:
        """Kill the workers in which a trial has taken longer than the study allows."""
        limit_s = self._study.faults.trial_timeout_s
        if limit_s is None:
            return
        for index in self._running.values():
            marker = self._markers[index]
            if index in self._hung or not marker.exists():
                continue  # without a mark it is still starting, or its trials are stacked and cannot hang
            since = max(marker.stat().st_mtime, self._launched[index])
            if time.time() - since > limit_s:
                self._hung[index] = self._at(index)
                ray.kill(self._actors[index])

    def _describe(self) -> list[tuple[int, str]]:
        try:
            return list(ray.get([actor.describe.remote() for actor in self._actors], timeout=START_S))
        except GetTimeoutError:
            self.close()
            r = self._study.resources
            raise RunError(
                f"the workers did not start within {START_S:g} s: {len(self._actors)} of "
                f"{r.cpus_per_worker:g} CPU and {r.gpus_per_worker:g} GPU each were asked for; "
                f"the cluster has {ray.cluster_resources()}"
            ) from None
