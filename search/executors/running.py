"""What the driver of the lanes knows of its workers and of the trials on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from search.brain.order import TrialOrder
from search.declaration.parts import Faults
from search.executors.lane_host import Orders
from search.executors.pool import WorkerLost
from search.ledger.outcome import Outcome, StopReason


@dataclass
class RunningTrial:
    """A trial that began and has not ended: in a lane, or waiting to be tried again.

    Attributes:
        order: as the next worker is to take it.
        reported: the last epoch that was recorded.
        failures: how often its worker died while training it. Where nobody knows which of a worker's trials
            was in training (stacked ones), it counts for each, until the trial has got further.
        failed_at: ``reported`` when that happened last.
        not_before: when it may be tried again, by the clock of ``Timing``.
        home: the worker that paused it last; None where no worker of this session did.
    """

    order: TrialOrder
    reported: int
    failures: int = 0
    failed_at: int = -1
    not_before: float = 0.0
    home: int | None = None

    @property
    def number(self) -> int:
        """The number of the trial."""
        return self.order.number

    def may_have_caused(self, lost: WorkerLost) -> bool:
        """Say whether the worker may have died of this trial, as far as that can be held against it."""
        return not lost.among and lost.at in (None, self.number)

    def take_blame(self, lost: WorkerLost, faults: Faults) -> Outcome | None:
        """Count the loss of its worker; return the outcome of a trial that is not to be tried again."""
        if self.may_have_caused(lost):
            again = lost.at is not None or self.failed_at == self.reported
            self.failures = self.failures + 1 if again else 1
            self.failed_at = self.reported
        if self.number == lost.at and lost.hung:
            message = f"no report in {faults.trial_timeout_s:g} s (--trial-timeout)"
        elif self.may_have_caused(lost) and self.failures > faults.max_failures:
            times = f"{self.failures} times (--max-failures {faults.max_failures})"
            message = f"its worker process died while training it, {times}: {lost.reason}"
        else:
            return None
        return Outcome(StopReason.ERROR, message=message)


@dataclass
class RunningWorker:
    """One worker as the driver knows it.

    Attributes:
        index: of the worker in its pool.
        lanes: how many it has.
        seated: the trials in its lanes, by number.
        retire: the trials whose lanes its next orders free.
        pause: likewise, of trials that may come back; see ``Orders``.
        busy: it trains, or starts; a worker that starts holds no trials, for it may never come up.
        lost: it died, and is to be replaced at ``not_before``.
        failed_starts: how often in a row it died before it was up.
        not_before: by the clock of ``Timing``; infinity: never.
    """

    index: int
    lanes: int
    seated: dict[int, RunningTrial] = field(default_factory=dict)
    retire: list[int] = field(default_factory=list)
    pause: dict[int, bool] = field(default_factory=dict)
    busy: bool = False
    lost: bool = False
    failed_starts: int = 0
    not_before: float = 0.0

    @property
    def given_up(self) -> bool:
        """Whether it is not replaced any more."""
        return self.not_before == math.inf

    def unseat(self, number: int) -> RunningTrial:
        """Take a trial from its lane, which is free from the worker's next orders on."""
        self.retire.append(number)
        return self.seated.pop(number)

    def compact(self) -> int | None:
        """Give up the empty lanes where they are half of all or more; return how many are left, or None."""
        if 2 * len(self.seated) > self.lanes:
            return None
        self.lanes = len(self.seated)
        return self.lanes

    def take_orders(self, seat: Sequence[TrialOrder], *, compact: int | None) -> Orders:
        """Return the worker's next orders, once."""
        orders = Orders(tuple(self.retire), dict(self.pause), compact, tuple(seat))
        self.retire.clear()
        self.pause.clear()
        return orders
