"""A thread that says what the process is doing, wherever that has not been heard of for some seconds.

The rule holds by this and not case by case: what takes long need not know it, and what nobody thought of is named by
the stage around it (``trainables.stage``). In a terminal it is one line in place; elsewhere a line after ``AFTER_S``
seconds of silence, then more and more rarely.
"""

from __future__ import annotations

import os

from search.signs.terminal import Terminal
from trainables.stage import Stage, stages

AFTER_S = float(os.environ.get("LANEWISE_SIGN_AFTER_S", "3"))
"""Seconds of silence after which a sign of life is given."""

LONGEST_S = 10 * AFTER_S
"""Most seconds between two lines of a piece of work that goes on for long."""

SPREAD = 8
"""A line at most after each eighth of the time that the work has taken: it is more than ``Pace`` leaves between two
lines, so that work which says itself how far it is has no other line in between."""

LOOK_S = min(0.25, AFTER_S / 8)
"""Seconds between two looks at the clock."""


class Heartbeat:
    """Gives signs of life on standard error.

    Args:
        terminal: where they go.
        after_s: seconds of silence before one.
        in_place: whether a terminal has one line that is redrawn, for which all that is written must come by it.
    """

    def __init__(self, terminal: Terminal, *, after_s: float = AFTER_S, in_place: bool = True) -> None:
        self._terminal = terminal
        self._in_place = in_place
        self._after_s = after_s
        self._longest_s = LONGEST_S / AFTER_S * after_s
        self._said: Stage | None = None

    def beat(self, now: float) -> None:
        """Say what the process is doing, if that is due."""
        doing = stages()
        if not doing or doing[-1].quiet or self._terminal.hushed:
            return
        innermost, terminal = doing[-1], self._terminal
        due = self.is_due(innermost, now)
        if self._in_place and terminal.redraws:
            if due or now - terminal.other_at >= self._after_s:
                terminal.draw(f"... {innermost.line(now)}")
        elif due:
            still = "" if innermost.at_once and self._said is not innermost else "still "
            terminal.say(f"{still}{innermost.line(now)}")
            self._said = innermost

    def is_due(self, innermost: Stage, now: float) -> bool:
        """Say whether so much time has passed without a word that a line is due."""
        if innermost.at_once and self._said is not innermost:
            return True
        silent_s, other_s = now - self._terminal.written_at, now - self._terminal.other_at
        if innermost.began >= self._terminal.written_at:  # nothing was said of it yet
            fresh = self._terminal.written_at == self._terminal.other_at
            if silent_s >= self._after_s and (fresh or now - innermost.began >= self._after_s):
                return True
        return silent_s >= min(self._longest_s, max(2 * self._after_s, other_s / SPREAD))
