"""What failed, in one line, and how long to wait before it is tried again."""

from __future__ import annotations

BACK_OFF_S = 0.5
"""Wait before a trial whose process died is tried again; doubled each time."""

LOW_MEMORY = "running low on memory"
"""What Ray says of a process that its memory monitor ended."""

LONGEST_BACK_OFF_S = 30.0
"""Longest such wait: with many failures allowed, doubling alone would soon wait for days."""


def back_off_s(failures: int) -> float:
    """Return how many seconds to wait after the last of ``failures`` faults in a row."""
    return min(BACK_OFF_S * 2.0 ** (max(1, failures) - 1), LONGEST_BACK_OFF_S)


def reason_of(error: BaseException | None) -> str:
    """Return in one line what went wrong: Ray says why an actor was lost last, and guesses at causes after that.

    Where its memory monitor ended a process it says so first, and gives advice after that.
    """
    lines = str(error or "").strip().splitlines()
    lines = [line for line in lines if LOW_MEMORY in line][:1] or lines
    return lines[-1].partition(" Some common causes")[0].strip() if lines else "no message"
