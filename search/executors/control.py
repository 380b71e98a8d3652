"""How a running search is asked to stop: by the clock, by a signal, or by its own driver."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

from search.ledger.outcome import StopReason
from search.signs.stopping import EXIT_CODES, handling_signals
from trainables.stage import stage

STOP_GRACE_S = 4.0
"""How long a stop waits for the epochs in flight; with the checkpoints this stays within 5 s."""


class Control:
    """Says whether a search should go on, and why not.

    Args:
        time_s: see ``allow``; None for no limit.
        grace_s: how long a stop waits for what is in flight: epochs, or the fit of a model.
        now: the clock, in seconds.
    """

    def __init__(
        self,
        time_s: float | None = None,
        *,
        grace_s: float = STOP_GRACE_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.grace_s = grace_s
        self._now = now
        self._deadline: float | None = None
        if time_s is not None:
            self.allow(time_s)
        self._signal: signal.Signals | None = None
        self._heard = False
        self.aborted: str | None = None
        self.details = ""
        self.unsaved: str | None = None

    @property
    def stopping(self) -> StopReason | None:
        """Why the search should end now, or None."""
        self._heard = self._signal is not None  # whoever asks is about to end by itself
        if self._signal is not None or self.aborted is not None or self.unsaved is not None:
            return StopReason.USER
        if self._deadline is not None and self._now() >= self._deadline:
            return StopReason.BUDGET
        return None

    @property
    def exit_code(self) -> int:
        """The process's exit code after a signal; 0 without one."""
        self._heard = self._signal is not None
        return 0 if self._signal is None else EXIT_CODES[self._signal]

    def allow(self, time_s: float) -> None:
        """Set the wall seconds from now until the budget is used up."""
        self._deadline = self._now() + time_s

    def request(self, received: signal.Signals) -> None:
        """Ask for a clean stop."""
        self._signal = received

    def abort(self, why: str, *, details: str = "") -> None:
        """Ask for a clean stop because the search itself has gone wrong.

        Args:
            why: in one line.
            details: what a user needs to see besides: a traceback of the user's own code, say.
        """
        if self.aborted is None:
            self.aborted, self.details = why, details

    def cannot_save(self, why: str) -> None:
        """Ask for a clean stop because a checkpoint cannot be written: its disk is full, say."""
        self.unsaved = self.unsaved or why

    @contextmanager
    def signals(self, *, on_second: Callable[[], None]) -> Iterator[None]:
        """While inside: SIGINT, SIGTERM or SIGHUP once asks for a clean stop, twice stops at once.

        Under ``nohup``, which has SIGHUP ignored, it stays ignored. Where nobody asks within ``signs.stopping.GRACE_S``
        whether to stop (an epoch of minutes in this process), that ends it too.

        Args:
            on_second: ends child processes; called before the process exits.
        """

        def handle(number: int, _: FrameType | None) -> None:
            received = signal.Signals(number)
            if self._signal is not None:
                on_second()
                os._exit(EXIT_CODES[received])
            self.request(received)
            what = f"what is in flight has {self.grace_s:g} s, and a second signal ends it at once"
            stack.enter_context(stage(f"stopping at {received.name} ({what})", at_once=True))
            if received is signal.SIGHUP:
                _let_go_of_lost_terminal()

        with ExitStack() as stack, handling_signals(handle, heard=lambda: self._heard):
            yield


def _let_go_of_lost_terminal() -> None:
    """Send what is still printed nowhere where it went to a terminal that was closed: writing there is an error."""
    for stream in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream):
                with open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), stream)
