"""What one epoch of a lane came to."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from trainables.report import EpochReport


@dataclass(frozen=True, slots=True)
class LaneEvent:
    """The report of a trial's epoch, or what it raised; the trial holds its lane until it is retired.

    Attributes:
        report: None where the trial raised.
        error: None where it reported.
        trace: the error's traceback as text, which an error that travels to another process loses.
        stop: why there is no further epoch, where neither came of it: the report before was the last.
        shared: whether the error is that of a stack of several trials, and so of none in particular. They
            are in the middle of an epoch then: each can only go on from a checkpoint.
    """

    report: EpochReport | None
    error: BaseException | None = None
    shared: bool = False
    trace: str = ""
    stop: str | None = None


def raised(error: BaseException, *, shared: bool = False) -> LaneEvent:
    """Return the event of an epoch that raised ``error``.

    An error outlives its frames by the tensors in their variables: those are let go here, so that what
    did not fit is gone before anything else is tried.
    """
    trace = "".join(traceback.format_exception(error))
    traceback.clear_frames(error.__traceback__)
    return LaneEvent(None, error, shared, trace)
