"""How long executors wait for what, and the clock that they wait by."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from search.ledger.writer import FLUSH_EVERY_S


@dataclass(frozen=True)
class Timing:
    """The waiting times of an executor, and its clock.

    Attributes:
        poll_s: longest wait for a worker before the control and the live view have their turn.
        settle_every_s: longest time that a reported epoch, or the best model of a trial that ended, stays in memory.
        back_off_s: wait before a trial whose process died is tried again; doubled each time.
        longest_back_off_s: longest such wait: with many failures allowed, doubling alone would soon wait for days.
        resize_every_s: how often a cluster is asked what it has.
        connect_s: how long a cluster may take to answer.
        start_s: how long the first workers may take to come up before the search gives up.
        save_s: how long the checkpoints at the end of a search may take on workers that are processes of their own.
        keep_s: how long an actor may take to write the best model of a trial; where it died, Ray says so earlier.
        now: the clock, in seconds from any start.
        sleep: waits for some seconds of that clock.
    """

    poll_s: float = 0.25
    settle_every_s: float = FLUSH_EVERY_S
    back_off_s: float = 0.5
    longest_back_off_s: float = 30.0
    resize_every_s: float = 2.0
    connect_s: float = 10.0
    start_s: float = 120.0
    save_s: float = 5.0
    keep_s: float = 60.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait_s(self, failures: int) -> float:
        """Return how many seconds to wait after the last of ``failures`` faults in a row."""
        return min(self.back_off_s * 2.0 ** (max(1, failures) - 1), self.longest_back_off_s)


USUAL = Timing()
"""What executors wait where nobody says otherwise."""
