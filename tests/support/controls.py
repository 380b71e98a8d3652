"""A stop without a clock."""

from __future__ import annotations

from collections.abc import Callable

from search.executors.control import STOP_GRACE_S, Control


class SpentOnce(Control):
    """A time budget that is used up as soon as something has happened: no clock, no race.

    Args:
        happened: says so, by a true value.
        grace_s: how long a stop waits for what is in flight.
    """

    def __init__(self, happened: Callable[[], object], *, grace_s: float = STOP_GRACE_S) -> None:
        super().__init__(0.5, grace_s=grace_s, now=lambda: float(bool(happened())))
