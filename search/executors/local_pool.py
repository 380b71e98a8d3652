"""One lane worker in the driver's own process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from search.declaration.study import Study
from search.executors.lane_host import Advance, LaneHost, Orders
from search.executors.lane_workers import driver_device
from search.executors.pool import WorkerLost
from search.ledger.events import CheckpointNote

if TYPE_CHECKING:
    from trainables.data import Splits
    from trainables.lanes import LaneWorker


class LocalPool:
    """One worker in this process: no Ray is started, no other process, no copy of the data.

    Args:
        study: the declaration.
        splits: the examples.
        checkpoints: folder of the study's checkpoints.
        modes: how groups train whose mode was measured before.
        make_worker: see ``LaneHost``.
    """

    def __init__(
        self,
        study: Study,
        splits: Splits,
        checkpoints: Path,
        modes: Mapping[str, str],
        *,
        make_worker: Callable[..., LaneWorker] | None = None,
    ) -> None:
        device = str(driver_device(study))
        self._host = LaneHost(
            study, splits, device=device, checkpoints=checkpoints, modes=modes, make_worker=make_worker
        )
        lanes, reason = self._host.describe()
        self.lanes, self.reasons, self.starting = [lanes], [reason], ()
        self._orders: Orders | None = None
        self._taken: dict[int, Callable[[], list[CheckpointNote]]] = {}

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

    def grow(self) -> list[int]:
        """Start nothing: there is one process."""
        return []

    def take_best(self, index: int, numbers: Sequence[int]) -> None:
        """Take the best models of trials that have just ended; they wait in memory."""
        self._taken |= self._host.best_model_writers(numbers)

    def write_best(self, keeps: Callable[[int], bool]) -> list[CheckpointNote]:
        """Write the best models that were taken and that no other trial has displaced meanwhile."""
        taken, self._taken = self._taken, {}
        return [note for number, write in taken.items() if keeps(number) for note in write()]

    def save(self, numbers: Mapping[int, list[int]]) -> list[CheckpointNote]:
        """Write checkpoints of the seated trials."""
        return self._host.save(numbers.get(0, []))

    def close(self) -> None:
        """End the worker's threads and let go of its memory."""
        self._host.close()
