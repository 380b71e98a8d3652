"""What one epoch of a lane came to."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.report import EpochReport


@dataclass(frozen=True, slots=True)
class LaneEvent:
    """The report of a trial's epoch, or what it raised; the trial holds its lane until it is retired.

    Attributes:
        report: None where the trial raised.
        error: None where it reported.
    """

    report: EpochReport | None
    error: BaseException | None = None
