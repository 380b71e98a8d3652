"""The workers behind the lanes, as the driver sees them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from search.executors.lane_host import Advance, Orders
from search.ledger.events import CheckpointNote
from trainables.checkpoint_store import CheckpointStore


@dataclass(frozen=True)
class WorkerLost:
    """A worker died, with its lanes.

    Attributes:
        reason: how it ended, in one line.
        at: the trial that it was training, where that is known; where it is not, it may have been any.
        among: the trials that it was training at a time, one of which it was: none is blamed, and they go on in
            turn, which tells.
        hung: whether it was ended because that trial did not report in time.
        out_of_host_memory: whether it was ended because its machine ran out of memory.
    """

    reason: str
    at: int | None = None
    among: tuple[int, ...] = ()
    hung: bool = False
    out_of_host_memory: bool = False


def lost_models(checkpoints: Path, numbers: Iterable[int]) -> list[CheckpointNote]:
    """Remove the older best models of trials whose last ones a dead worker did not write: they would pass for the best.

    Args:
        checkpoints: folder of the study's checkpoints.
        numbers: of the trials.

    Returns:
        What the ledger should know of it.
    """
    notes = []
    for number in numbers:
        CheckpointStore(checkpoints).remove_best(number)
        line = f"trial {number}: its worker died before its best model was written"
        notes.append(CheckpointNote(trial=number, note=line))
    return notes


class WorkerPool(Protocol):
    """Workers that hold lanes.

    Attributes:
        lanes: of each worker; empty where the search was told to stop before one was up.
        reasons: how the number of lanes came about, a line each.
    """

    lanes: list[int]
    reasons: list[str]

    @property
    def starting(self) -> Collection[int]:
        """Indices of the workers that are not up yet; ``wait`` tells when one is, by an empty advance."""

    def launch(self, index: int, orders: Orders) -> None:
        """Start ``orders`` on a worker that is idle."""

    def wait(self, timeout_s: float) -> tuple[int, Advance | WorkerLost] | None:
        """Return the worker that is done first and what came of it; None if none was in time."""

    def replace(self, index: int) -> None:
        """Start a worker in the place of one that was lost; ``wait`` tells when it is up, by an empty advance."""

    def grow(self) -> list[int]:
        """Start workers where there is room for more than there are; return the lanes of each that was started."""

    def take_best(self, index: int, numbers: Sequence[int]) -> None:
        """Take the best models of trials that have just ended on a worker, which must be idle."""

    def write_best(self, keeps: Callable[[int], bool]) -> list[CheckpointNote]:
        """Write the best models that were taken, and return what the ledger should know of it.

        Args:
            keeps: says whether a trial's is still to be kept.
        """

    def save(self, numbers: Mapping[int, list[int]]) -> list[CheckpointNote]:
        """Write checkpoints of the seated trials of each worker, which must be idle; return as ``write_best``.

        A worker that is lost or late meanwhile leaves its trials with the checkpoints they have.

        Raises:
            CheckpointWriteError: the disk is full, say.
        """
