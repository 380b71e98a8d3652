"""The states of paused trials: in host memory up to a limit, beyond it in the checkpoint store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from search.declaration.study import Study
from trainables.best import BestModels
from trainables.checkpoint_store import CheckpointStore
from trainables.freed_memory import give_back
from trainables.weights_snapshot import on_host, size_bytes

MEGABYTE = 1e6

MUCH = 32 * MEGABYTE
"""Of what was freed, to be worth the milliseconds that it takes to give it back."""


def paused_mb(study: Study) -> float:
    """Return how many megabytes of a worker's memory paused trials may take.

    0 where there are several workers: each must be able to take up what another one paused.
    """
    several = study.resources.workers not in (None, 1) or study.resources.address is not None
    return 0.0 if several else study.scheduler.paused_mb


class PausedStates:
    """Holds what the lanes of a worker had of trials that are paused.

    A trial that comes back continues from its state here, or else from the store, bit for bit the same. Those that
    were paused first are written first, as they are the least likely to come back.

    Of the limit, room for the largest state so far is left free: for the one that is on its way, out of its lane, to
    the store or back. So what paused trials take is within the limit at any moment, but where one alone is larger.

    Args:
        store: the checkpoints.
        best: the best models of the trials; that of a trial whose state is written is written with it.
        limit_mb: how many megabytes paused trials may take; 0 writes each at once.
    """

    def __init__(self, store: CheckpointStore, best: BestModels, *, limit_mb: float) -> None:
        self._store = store
        self._best = best
        self._limit = limit_mb * MEGABYTE
        self._largest = 0
        self._freed = 0
        self._states: dict[int, dict[str, Any]] = {}
        self._bytes: dict[int, int] = {}
        self._unsaved: set[int] = set()

    @property
    def size_bytes(self) -> int:
        """What the states in memory take, with the models of the trials' best epochs."""
        return sum(self._bytes.values())

    def put(self, number: int, state: dict[str, Any], *, leads: bool = False) -> list[str]:
        """Take a trial's state, and write what has no room; return what the ledger should know.

        Args:
            number: of the trial.
            state: where it stands.
            leads: whether the model of its best epoch may be the answer: it is written, as a crash would lose it.

        Raises:
            CheckpointWriteError: see ``CheckpointStore.save``; the states that are here stay in memory.
        """
        notes = self._make_room(size_bytes(state))  # before a copy is made of what is not in host memory
        held = on_host(state)
        self._states[number] = held
        self._bytes[number] = size_bytes(held) + self._best.settle(number)
        self._largest = max(self._largest, self._bytes[number])
        self._unsaved.add(number)
        notes += self._best.write(number) if leads else []
        return notes + self._make_room()

    def give_back(self) -> None:
        """Give the memory of states that were written back to the system, once it is much."""
        if self._freed > MUCH:
            give_back()
            self._freed = 0

    def take(self, number: int, *, epochs: int) -> dict[str, Any] | None:
        """Return, once, the state of a trial that comes back; None where it is not here, or is not of that epoch."""
        state = self._states.get(number)
        self.forget(number)
        if state is not None and state["epoch"] != epochs:  # it went on elsewhere
            self._best.forget(number)
            return None
        return state

    def save(self, numbers: Iterable[int] | None = None) -> list[str]:
        """Write the states of some trials, or of all, that the store lacks; return and raise as ``put``."""
        notes: list[str] = []
        for number in sorted(self._unsaved) if numbers is None else numbers:
            if number in self._unsaved:
                notes += self._best.write(number)
                self._store.save(number, self._states[number])
                self._unsaved.discard(number)
        return notes

    def forget(self, number: int) -> None:
        """Let go of a trial's state."""
        self._states.pop(number, None)
        self._bytes.pop(number, None)
        self._unsaved.discard(number)

    def _make_room(self, coming: int = 0) -> list[str]:
        """Write states until there is room for one more, of ``coming`` bytes or like the largest so far."""
        notes: list[str] = []
        while self._states and self.size_bytes + max(self._largest, coming) > self._limit:
            first = next(iter(self._states))
            notes += self.save([first])
            self._freed += self._bytes[first]
            self._best.forget(first)
            self.forget(first)
        return notes
