"""Lane workers as Ray actors, on this machine or a cluster, with a share of a GPU each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from search.declaration.study import Study
from search.errors import RunError
from search.executors.capacity import Capacity
from search.executors.faults import reason_of
from search.executors.fleet import Fleet
from search.executors.lane_host import Advance, LaneHost, Orders
from search.executors.marker import ToldWork, marked_trials
from search.executors.pool import WorkerLost, lost_models
from search.executors.timing import Timing
from search.ledger.events import CheckpointNote
from trainables.data.parts import counted
from trainables.errors import CheckpointWriteError
from trainables.model_function import carried_function
from trainables.registry import function_path
from trainables.stage import stage

if TYPE_CHECKING:
    from trainables.data import Splits


class RayPool:
    """One actor a worker. A trial's share is gpus-per-worker / lanes.

    The examples are put into Ray's object store once; each node fetches them once, and its workers copy what they
    need from there to their device. What comes back is reports alone: models and checkpoints are written by the
    workers, into the folder that every node sees.

    Args:
        study: the declaration.
        splits: the examples; each actor copies them to its device.
        checkpoints: folder of the study's checkpoints; every node must see it.
        modes: how groups train whose mode was measured before.
        timing: how long to wait for a start and for checkpoints, and how often to look for further nodes.
        say: prints one line for the user.
        is_stopping: says whether the search is to end, which a start on a cluster may have to wait for.

    Attributes:
        lanes, reasons, starting: see ``WorkerPool``.

    Raises:
        RunError: the actors do not start.
    """

    def __init__(
        self,
        study: Study,
        splits: Splits,
        checkpoints: Path,
        modes: Mapping[str, str],
        *,
        timing: Timing,
        say: Callable[[str], None] = lambda line: None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        nodes = Capacity.of_nodes()
        self._fleet = fleet = Fleet.of(study, nodes)
        if study.resources.address is None and fleet.room(nodes) < fleet.first:
            raise RunError(fleet.no_room_line(nodes))  # no node will come that they could wait for
        # a worker's share of the trials at once depends on how many workers there are
        self._study = with_lanes(study, study.lanes.lanes, workers=fleet.first)
        self._timing, self._say, self._is_stopping = timing, say, is_stopping
        self._modes = modes
        self._checkpoints = checkpoints
        self._splits = ray.put(splits)
        self._function = carried_function(function_path(study.trainable))
        self._in_turn: set[int] = set()
        self._actor_class = ray.remote(LaneHost).options(num_cpus=fleet.cpus, num_gpus=fleet.gpus, max_restarts=0)
        checkpoints.mkdir(parents=True, exist_ok=True)
        self._actors: list[Any] = []
        self._running: dict[Any, int] = {}
        self._launched: list[float] = []
        self._hung: dict[int, int] = {}
        self._writing: list[tuple[list[int], Any]] = []
        self._up: set[int] = set()
        self._none_up_since = timing.now()
        self._told_of_none = False
        self._told = ToldWork(say)
        self.lanes: list[int] = []
        self.reasons: list[str] = []
        self._begin()

    @property
    def starting(self) -> frozenset[int]:
        """The workers that are not up yet, when the pool is opened."""
        return frozenset(self._running.values())

    def grow(self) -> list[int]:
        """Start workers where a cluster has room for more than there are; say, once, where none of all is up."""
        if not self._on_cluster:
            return []
        self._tell_where_none_is_up()
        nodes, lanes = Capacity.of_nodes(), self.lanes[0]
        before = len(self._actors)
        for _ in range(self._fleet.wanted(nodes, lanes=lanes) - before):
            self._add()
        return [lanes] * (len(self._actors) - before)

    def launch(self, index: int, orders: Orders) -> None:
        """Send ``orders`` to the actor."""
        self._launched[index] = time.time()
        self._running[self._actors[index].advance.remote(orders)] = index

    def wait(self, timeout_s: float) -> tuple[int, Advance | WorkerLost] | None:
        """Return the first actor that is done."""
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        if not done:
            self._end_hung()
            self._told.look(self._marker(index) for index in self._running.values())
            return None
        index = self._running.pop(done[0])
        try:
            result = ray.get(done[0])
            self._up.add(index)
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
                notes += lost_models(self._checkpoints, numbers)
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

    @property
    def _on_cluster(self) -> bool:
        """Whether workers may have to wait for a node, or for what runs there, for as long as that takes."""
        return self._study.resources.address is not None

    def _begin(self) -> None:
        """Start the first workers; on a cluster the search begins with those that come up first."""
        fleet, spec = self._fleet, self._study.lanes.lanes
        together = 1 if spec == "auto" else fleet.first  # the first measures how many lanes they have
        with stage(f"starting {counted(fleet.first, 'worker')} on Ray, which copy the data"):
            described = self._start_together(together)
            if not described:
                return
            lanes, reason = next(iter(described.values()))
            self._study = with_lanes(self._study, lanes, workers=fleet.first)
            if together < fleet.first:
                self._start_together(fleet.first - together)
        self.lanes = [lanes] * len(self._actors)
        self.reasons = [f"worker {index}: {reason}" for index in range(len(self._actors))]

    def _start_together(self, count: int) -> dict[int, tuple[int, str]]:
        """Start workers; return what those say that are up: all, or on a cluster one and whoever is little later.

        Returns:
            By index the lanes, and how that came about; none where the search is to end.
        """
        for _ in range(count):
            self._add()
        described: dict[int, tuple[int, str]] = {}
        began, since = self._timing.now(), None
        while self._running and not self._is_stopping():
            up, late = ray.wait(list(self._running), num_returns=len(self._running), timeout=self._timing.poll_s)
            described |= {self._running.pop(reference): self._described(reference) for reference in up}
            self._up |= described.keys()
            now = self._timing.now()
            if self._on_cluster and self._up:
                since = now if since is None else since
                if now - since >= self._timing.resize_every_s:
                    break
            elif self._on_cluster:
                self._tell_where_none_is_up()
            elif late and now - began >= self._timing.start_s:
                self._refuse_late_start()
        return described

    def _add(self) -> None:
        """Start one more worker."""
        index = len(self._actors)
        self._actors.append(self._start(index))
        self._launched.append(time.time())
        self._running[self._actors[index].describe.remote()] = index

    def _marker(self, index: int) -> Path:
        return self._checkpoints / f"worker_{index}.at"

    def _start(self, index: int) -> Any:
        marker = self._marker(index)
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
        self._up.discard(index)
        reason = reason_of(error)
        if index in self._hung:
            return WorkerLost(reason, self._hung.pop(index), hung=True)
        if isinstance(error, OutOfMemoryError):  # Ray's memory monitor ended it
            return WorkerLost(reason, out_of_host_memory=True)
        among = tuple(sorted(marked_trials(self._marker(index))))
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
            for number, began in marked_trials(self._marker(index)).items():
                if time.time() - max(began, self._launched[index]) > limit_s:
                    self._hung[index] = number
                    ray.kill(self._actors[index])
                    break

    def _described(self, reference: Any) -> tuple[int, str]:
        """Return the lanes of a worker that is up, and how that number came about."""
        try:
            lanes, reason = ray.get(reference)
        except RayError as error:
            self.close()
            raise RunError(f"the workers did not start: {reason_of(error)}") from None
        return int(lanes), str(reason)

    def _refuse_late_start(self) -> None:
        self.close()
        raise RunError(
            f"the workers did not start within {self._timing.start_s:g} s: {len(self._actors)} of "
            f"{self._fleet.cpus:g} CPU and {self._fleet.gpus:g} GPU each were asked for; "
            f"the cluster has {ray.cluster_resources()}"
        )

    def _tell_where_none_is_up(self) -> None:
        """Say, once a time that this is so, that no worker is up because there is no room for one."""
        if self._up:
            self._none_up_since, self._told_of_none = self._timing.now(), False
            return
        nodes = Capacity.of_nodes()
        waited_s = self._timing.now() - self._none_up_since
        if not self._told_of_none and (not self._fleet.room(nodes) or waited_s > self._timing.start_s):
            self._told_of_none = True
            self._say(self._fleet.waiting_line(nodes))


def with_lanes(study: Study, lanes: int | str | None, *, workers: int) -> Study:
    """Return a study as its workers are to know it: with so many of them, and so many lanes each."""
    changes = {
        "lanes": study.lanes.model_copy(update={"lanes": lanes}),
        "resources": study.resources.model_copy(update={"workers": workers}),
    }
    return study.model_copy(update=changes)
