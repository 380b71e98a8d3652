"""Signs of life of work that takes long: how far it is, and about how long it will take."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trainables.estimate import Estimate
from trainables.stage import Stage, duration

LOGGER = logging.getLogger(__name__)

SHORTEST_S, LONGEST_S = 5.0, 30.0
"""Seconds between two lines at the beginning, and after some minutes."""

SPREAD = 10
"""A line at most after each tenth of the time that has passed."""


class Pace:
    """Says every now and then how far a piece of work is.

    Args:
        say: shows a line to the user.
        what: what is being done, in a few words.
        begun: the share that was done before, between 0 and 1.
        stage: what is being done, as whoever looks in between is told of it.
        now: the clock, in seconds.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        what: str,
        *,
        begun: float = 0.0,
        stage: Stage | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._what = what
        self._begun = begun
        self._stage = stage
        if stage is not None:
            stage.begin_at(begun)
        self._now = now
        self._started = self._said = now()
        self._estimate = Estimate(self._started, begun)

    def update(self, share: float, detail: str = "") -> None:
        """Say that ``share`` of the work, between 0 and 1, is done, if the last line is old enough.

        Args:
            share: between 0 and 1, what was done before included.
            detail: what else to say.
        """
        if self._stage is not None:
            self._stage.update(share, detail)
        now = self._now()
        self._estimate.update(share, now)
        gone = now - self._started
        if share <= self._begun or now - self._said < min(LONGEST_S, max(SHORTEST_S, gone / SPREAD)):
            return
        self._said = now
        seconds = self._estimate.left(now)
        left = "" if seconds is None else f"about {duration(seconds)} left"
        self._say(", ".join(part for part in (f"{self._what}: {share:.0%}", detail, left) if part))


def signs_of_life(line: str) -> None:
    """Show a line from deep inside a trial to whoever asked for it; see ``shown_by``."""
    LOGGER.info(line)


@contextmanager
def shown_by(say: Callable[[str], None]) -> Iterator[None]:
    """While inside, ``say`` is given every line of ``signs_of_life`` in this process."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(record.getMessage())

    handler, level = Handler(), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
