"""What this process is doing, in a few words, for whoever shows it: each piece of work names itself while it lasts.

Nothing is printed here. ``search.signs`` prints the innermost stage wherever nothing else was printed for some seconds,
so a piece of work needs no clock and no lines of its own: ``with stage("reading the data"): ...``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from trainables.estimate import Estimate

T = TypeVar("T")

_stages: list[Stage] = []
"""Of this process, whichever of its threads they are in; outermost first."""


class Stage:
    """A piece of work that may take long.

    Args:
        what: what is being done, as it follows the word "still": ``reading the data``.
        total: how many pieces there are; None where that is not known.
        way_on: what a user does after it was stopped here, as it follows "stopped while reading the data; ".
        at_once: whether it is said without waiting for some seconds of silence.
        quiet: whether nothing is said of it, however long it lasts: it waits for its user.

    Attributes:
        began: when (monotonic seconds).
        done: how many pieces are done.
        share: of the work, between 0 and 1; None where it is not known.
        detail: what else to say, or what returns it.
    """

    def __init__(
        self,
        what: str,
        *,
        total: int | None = None,
        way_on: str | None = None,
        at_once: bool = False,
        quiet: bool = False,
    ) -> None:
        self.what = what
        self.total = total
        self.way_on = way_on
        self.at_once = at_once
        self.quiet = quiet
        self.began = time.monotonic()
        self.done = 0
        self.share: float | None = None
        self.detail: str | Callable[[], str] = ""
        self._estimate = Estimate(self.began)

    def begin_at(self, share: float) -> None:
        """Say that ``share`` of the work had been done before: it tells nothing of the pace."""
        self.share = share
        self._estimate = Estimate(self.began, share)

    def update(self, share: float, detail: str = "") -> None:
        """Say that ``share`` of the work, between 0 and 1, is done."""
        self.share, self.detail = share, detail
        self._estimate.update(share, time.monotonic())

    def advance(self, pieces: int = 1) -> None:
        """Say that so many more pieces are done."""
        self.done += pieces
        if self.total:
            self.share = self.done / self.total
            self._estimate.update(self.share, time.monotonic())

    def line(self, now: float) -> str:
        """Return what is being done, how far it is and about how long it will take, in one line."""
        gone, parts = now - self.began, []
        if self.total is not None:
            parts.append(f"{self.done:,} of {self.total:,}")
        elif self.share is not None:
            parts.append(f"{self.share:.0%}")
        detail = self.detail() if callable(self.detail) else self.detail
        if detail:
            parts.append(detail)
        if gone >= 1.0:
            parts.append(duration(gone))
        if (left := self._estimate.left(now)) is not None:
            parts.append(f"about {duration(left)} left")
        return f"{self.what}: {', '.join(parts)}" if parts else self.what


@contextmanager
def stage(
    what: str, *, total: int | None = None, way_on: str | None = None, at_once: bool = False, quiet: bool = False
) -> Iterator[Stage]:
    """While inside, this process says that it is doing ``what``; arguments are as of ``Stage``."""
    made = Stage(what, total=total, way_on=way_on, at_once=at_once, quiet=quiet)
    _stages.append(made)
    try:
        yield made
    finally:
        _stages.remove(made)


def each(items: Iterable[T], what: str, *, total: int | None = None) -> Iterator[T]:
    """Yield the items, and say how many of them are done; how many there are is ``total``, or what ``len`` tells."""
    known = len(items) if total is None and isinstance(items, Sized) else total
    with stage(what, total=known) as counted:
        for item in items:
            yield item
            counted.advance()


def stages() -> list[Stage]:
    """Return what this process is doing, outermost first."""
    return list(_stages)


def duration(seconds: float) -> str:
    """Return ``42 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
