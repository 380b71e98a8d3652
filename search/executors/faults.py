"""What failed, in one line, and what that makes of a trial."""

from __future__ import annotations

import traceback

from search.ledger.outcome import Outcome, StopReason
from trainables.errors import is_out_of_memory, named_with_last_line

LOW_MEMORY = "running low on memory"
"""What Ray says of a process that its memory monitor ended."""


def reason_of(error: BaseException | None) -> str:
    """Return in one line what went wrong: Ray says why an actor was lost last, and guesses at causes after that.

    Where its memory monitor ended a process it says so first, and gives advice after that.
    """
    lines = str(error or "").strip().splitlines()
    lines = [line for line in lines if LOW_MEMORY in line][:1] or lines
    return lines[-1].partition(" Some common causes")[0].strip() if lines else "no message"


def outcome_of_error(error: BaseException | None, trace: str = "") -> Outcome:
    """Return the outcome of a trial that raised in its lane.

    Args:
        error: what it raised.
        trace: the traceback as text, where the error came from another process without it.
    """
    return Outcome(
        StopReason.OUT_OF_MEMORY if is_out_of_memory(error) else StopReason.ERROR,
        message=named_with_last_line(error),
        traceback=trace or "".join(traceback.format_exception(error)),
    )
