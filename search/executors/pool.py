"""The workers behind the lanes: one in this process, or Ray actors with a share of a GPU each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from search.declaration.study import Study
from search.executors.lane_host import Advance, LaneHost, Orders
from search.executors.search import Search
from search.ledger.paths import CHECKPOINTS
from trainables.registry import find_trainable

if TYPE_CHECKING:
    from trainables.data import Splits


@dataclass(frozen=True)
class WorkerLost:
    """A worker died, with its lanes.

    Attributes:
        at: the trial that it was training, where that is known; where it is not, it may have been any.
        hung: whether it was ended because that trial did not report in time.
        crowded: whether it was ended because its machine ran out of memory.
    """

    reason: str
    at: int | None = None
    hung: bool = False
    crowded: bool = False


class WorkerPool(Protocol):
    """Workers that hold lanes.

    Attributes:
        lanes: of each worker.
        told: how the number of lanes came about, a line each.
    """

    lanes: list[int]
    told: list[str]

    def launch(self, index: int, orders: Orders) -> None:
        """Start ``orders`` on a worker that is idle."""

    def wait(self, timeout_s: float) -> tuple[int, Advance | WorkerLost] | None:
        """Return the worker that is done first and what came of it; None if none was in time."""

    def replace(self, index: int) -> None:
        """Start a worker in the place of one that was lost; ``wait`` tells when it is up, by an empty advance."""

    def keep(self, index: int, numbers: Sequence[int]) -> None:
        """Take the best models of trials that have just ended on a worker, which must be idle."""

    def write_kept(self, keeps: Callable[[int], bool]) -> list[str]:
        """Write those that were taken, and return what the ledger should know of it.

        Args:
            keeps: says whether a trial's is still to be kept.
        """

    def save(self, numbers: Mapping[int, list[int]]) -> list[str]:
        """Write checkpoints of the seated trials of each worker, which must be idle; return as ``write_kept``.

        A worker that is lost or late meanwhile leaves its trials with the checkpoints they have.

        Raises:
            CheckpointWriteError: the disk is full, say.
        """


class LocalPool:
    """One worker in this process: no Ray is started, no other process, no copy of the data."""

    def __init__(self, study: Study, splits: Splits, checkpoints: Path, modes: Mapping[str, str]) -> None:
        import torch

        on_gpu = study.resources.gpus_per_worker > 0 and torch.cuda.is_available()
        device = "cuda" if on_gpu else "cpu"
        self._host = LaneHost(study, splits, device=device, checkpoints=checkpoints, modes=modes)
        lanes, reason = self._host.describe()
        self.lanes, self.told = [lanes], [reason]
        self._orders: Orders | None = None
        self._taken: dict[int, Callable[[], list[str]]] = {}

    def launch(self, index: int, orders: Orders) -> None:
        """Keep the orders for ``wait``, which carries them out."""
        self._orders = orders

    def wait(self, timeout_s: float) -> tuple[int, Advance | WorkerLost] | None:
        """Train the epoch."""
        assert self._orders is not None, "launch first"
        orders, self._orders = self._orders, None
        return 0, self._host.advance(orders)

    def replace(self, index: int) -> None:
        """Never called: this worker dies with the driver."""
        raise AssertionError("the driver's own worker cannot be lost")

    def keep(self, index: int, numbers: Sequence[int]) -> None:
        """Take the best models of trials that have just ended; they wait in memory."""
        self._taken |= self._host.take(numbers)

    def write_kept(self, keeps: Callable[[int], bool]) -> list[str]:
        """Write those of them that no other trial has displaced meanwhile."""
        taken, self._taken = self._taken, {}
        return [note for number, write in taken.items() if keeps(number) for note in write()]

    def save(self, numbers: Mapping[int, list[int]]) -> list[str]:
        """Write checkpoints of the seated trials."""
        return self._host.save(numbers.get(0, []))

    def close(self) -> None:
        """End the worker's threads and let go of its memory."""
        self._host.close()


@contextmanager
def open_pool(search: Search) -> Iterator[WorkerPool]:
    """Yield the workers that the study asks for; Ray is started only where it is needed.

    Trials that can be stacked run our own code and can neither hang nor exit, so they run in this process.
    Others may do what they like: their worker is a process of its own.
    """
    study, checkpoints, modes = _with_lanes(search), search.folder / CHECKPOINTS, search.lane_modes
    here = study.resources.address is None and study.resources.workers in (None, 1)
    if here and find_trainable(study.trainable).stacks:
        local = LocalPool(study, search.splits, checkpoints, modes)
        try:
            yield local
        finally:
            local.close()
        return
    from search.executors.ray_pool import RayPool
    from search.executors.tune import ray_session

    with ray_session(study.resources):
        pool = RayPool(study, search.splits, checkpoints, modes)
        try:
            yield pool
        finally:
            pool.close()


def _with_lanes(search: Search) -> Study:
    """Return the study with the number of lanes that its first session had, where there was one."""
    if search.lanes is None:
        return search.study
    lanes = search.study.lanes.model_copy(update={"lanes": search.lanes})
    return search.study.model_copy(update={"lanes": lanes})
