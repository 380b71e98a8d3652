"""Lane workers as Ray actors, on this machine or a cluster, with a share of a GPU each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from search.errors import RunError
from search.executors.pool import Advance, LaneHost, Orders, WorkerLost
from search.study import Study

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
        self._actors = [self._start() for _ in range(resources.workers or 1)]
        self._running: dict[Any, int] = {}
        described = self._describe()
        self.lanes = [lanes for lanes, _ in described]
        self.told = [f"worker {i}: {reason}" for i, (_, reason) in enumerate(described)]

    def launch(self, index: int, orders: Orders) -> None:
        """Send ``orders`` to the actor."""
        self._running[self._actors[index].advance.remote(orders)] = index

    def wait(self, timeout_s: float) -> tuple[int, Advance | WorkerLost] | None:
        """Return the first actor that is done."""
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        if not done:
            return None
        index = self._running.pop(done[0])
        try:
            return index, ray.get(done[0])
        except RayActorError as error:
            return index, WorkerLost(str(error).strip().splitlines()[0])
        except RayTaskError as error:
            raise RunError(f"lane worker {index} failed: {error.cause!r}") from error

    def replace(self, index: int) -> None:
        """Start another actor; Ray places it where there is room, at once or when a node comes up."""
        self._actors[index] = self._start()

    def save(self, numbers: Mapping[int, list[int]]) -> None:
        """Write checkpoints of the seated trials of each worker."""
        ray.get([self._actors[index].save.remote(list(n)) for index, n in numbers.items()])

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)

    def _start(self) -> Any:
        return self._actor_class.remote(self._study, self._splits, device=None, checkpoints=self._checkpoints)

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
