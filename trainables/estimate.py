"""About how long work will still take, by its pace since it got going."""

from __future__ import annotations

TOGETHER = 10
"""What is done within a tenth of the time that the first piece took was done together with it."""

FEWEST = 2
"""Pieces since the first below which nothing is said: one may be the rest of what was done side by side."""


class Estimate:
    """Tells the time left from the pace since the first piece was done.

    What comes before that is not the pace of the work: processes start, modules are imported, kernels compiled.

    Args:
        started: when the work began, on a clock in seconds.
        begun: the share that had been done before, between 0 and 1.
    """

    def __init__(self, started: float, begun: float = 0.0) -> None:
        self._started = started
        self._share = self._share_at_first = begun
        self._first: float | None = None
        self._together_until = 0.0
        self._pieces = 0

    def update(self, share: float, now: float) -> None:
        """Take it that ``share`` of the work, between 0 and 1, is done."""
        if share <= self._share:
            return
        self._share = share
        if self._first is None:
            self._first = now
            self._together_until = now + (now - self._started) / TOGETHER
        if now <= self._together_until:
            self._share_at_first = share
        else:
            self._pieces += 1

    def left(self, now: float) -> float | None:
        """Return about how many seconds are left; None where the pace is not known yet, or nothing is left."""
        if self._first is None or self._pieces < FEWEST or self._share >= 1.0:
            return None
        return (now - self._first) / (self._share - self._share_at_first) * (1.0 - self._share)
