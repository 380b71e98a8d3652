"""Who has the process's global random generators while functions train: each in turn, or none of those side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from trainables.global_states import States, global_states

if TYPE_CHECKING:
    import torch

    from trainables.train_function.streams import RandomStreams

SIDE_BY_SIDE = "side_by_side"
"""The attribute by which a function says that it draws from generators of its own alone once its epochs begin."""


def trains_side_by_side(function: object) -> bool:
    """Say whether a function may train at the same time as others of its kind."""
    return getattr(function, SIDE_BY_SIDE, False) is True


class Turns(Protocol):
    """Puts a trial's random streams in place where its function may draw from the global generators."""

    def stretch(self) -> AbstractContextManager[None]:
        """Surround a stretch of the function, from one report to the next."""

    def loop_begins(self) -> None:
        """Take note that the function begins to loop over its epochs; called within a stretch."""

    def take_drawn(self) -> tuple[str, ...]:
        """Return, once, whose global generators were drawn from although none were the function's."""


class InTurn:
    """The streams are in place for every stretch: no other function trains meanwhile.

    Args:
        streams: of the trial.
    """

    def __init__(self, streams: RandomStreams) -> None:
        self._streams = streams

    def stretch(self) -> AbstractContextManager[None]:
        """Put the streams in place for a stretch."""
        return self._streams.as_global()

    def loop_begins(self) -> None:
        """Do nothing: they stay in place."""

    def take_drawn(self) -> tuple[str, ...]:
        """Return nothing: whatever was drawn was the function's."""
        return ()


class SharedGenerators:
    """The global generators of a process in which several functions train at a time: whoever begins has them alone."""

    def __init__(self) -> None:
        self._taken = threading.Lock()
        self._told = False

    @contextmanager
    def lend_to(self, streams: RandomStreams) -> Iterator[None]:
        """Put a trial's streams in place, and keep others waiting that want to have theirs there."""
        with self._taken, streams.as_global():
            yield

    def states(self, device: torch.device) -> States | None:
        """Return where the generators are; None while a trial's streams are in place."""
        if not self._taken.acquire(blocking=False):
            return None
        try:
            return global_states(device)
        finally:
            self._taken.release()

    def tell_once(self) -> bool:
        """Say whether nobody has told of what was drawn so far."""
        with self._taken:
            told, self._told = self._told, True
        return not told


class SideBySide:
    """The streams are in place until the function loops over its epochs; in these it draws from its own generators.

    Its beginning, which draws initial weights, say, is then as repeatable as that of any function, while the epochs of
    several train at the same time. A draw from a global generator there would be another trial's as well: it is found
    by the generator's state, which nothing else changes.

    Args:
        streams: of the trial.
        shared: of the process.
        device: of which torch's generator is one too, where it is a GPU.
    """

    def __init__(self, streams: RandomStreams, shared: SharedGenerators, device: torch.device) -> None:
        self._streams = streams
        self._shared = shared
        self._device = device
        self._beginning: ExitStack | None = None
        self._began = False
        self._before: States | None = None
        self._drawn: tuple[str, ...] = ()

    @contextmanager
    def stretch(self) -> Iterator[None]:
        """Put the streams in place where the function is at its beginning, and look at the generators after it."""
        if self._began:
            self._before = self._shared.states(self._device)
        else:
            self._beginning = ExitStack()
            self._beginning.enter_context(self._shared.lend_to(self._streams))
        try:
            yield
        finally:
            self.loop_begins()
            self._compare()

    def loop_begins(self) -> None:
        """Take the streams away; what the function draws from now on comes from generators of its own."""
        self._began = True
        if self._beginning is not None:
            self._beginning.close()
            self._beginning = None
            self._before = self._shared.states(self._device)

    def take_drawn(self) -> tuple[str, ...]:
        """Return, once in this process, whose global generators were drawn from."""
        drawn, self._drawn = self._drawn, ()
        return drawn if drawn and self._shared.tell_once() else ()

    def _compare(self) -> None:
        before, after = self._before, self._shared.states(self._device)
        if before is not None and after is not None:
            self._drawn = tuple(whose for whose in before if before[whose] != after[whose])
