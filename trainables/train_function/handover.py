"""A function in a thread of its own, of which its driver lets one stretch run at a time.

Only one of the two threads runs: the other waits for it. So the function may be any code that calls ``hand_over`` in
its midst, and is driven like a generator.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

END_WAIT_S = 10.0
"""Seconds that a function has for what it does when it is ended: its ``finally`` blocks, say."""

MOST_SWALLOWED = 3
"""How often a function is told to end before its thread is left behind."""


class TrialEnded(BaseException):
    """Raised out of ``trial.report`` when the trial is pruned or stopped; let it through.

    It is no ``Exception``, so that ``except Exception`` lets it pass; ``finally`` and ``with`` do what they do.
    """


@dataclass(frozen=True, slots=True)
class Ended:
    """The function is over.

    Attributes:
        error: what it raised; None where it returned, or let ``TrialEnded`` through.
    """

    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a function took its end.

    Attributes:
        over: whether its thread is; else it was left behind, and what it holds stays in memory.
        swallowed: how often it went on although it had been ended.
        error: what it raised in place of ``TrialEnded``.
    """

    over: bool
    swallowed: int = 0
    error: BaseException | None = None


class _Swallowed:
    """What a thread says before it stops for good."""


class Handover:
    """Runs ``body`` in a thread that starts with the first ``resume``.

    Args:
        body: calls ``hand_over`` as often as it likes.
        name: of the thread.
    """

    def __init__(self, body: Callable[[], object], *, name: str) -> None:
        self._body = body
        self._to_body: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._from_body: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ending = False
        self._swallowed = 0
        # as a daemon it keeps no process from ending, whatever it does
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def resume(self) -> Any:
        """Let the body run, and return what it hands over next, or ``Ended``."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._to_body.put(None)
        return self._from_body.get()

    def hand_over(self, value: Any) -> None:
        """Give ``value`` to whoever called ``resume``, and wait for the next call; the body calls this.

        Raises:
            TrialEnded: there is no next call.
        """
        if threading.current_thread() is not self._thread:
            raise RuntimeError("the trial reports from the thread that its function was called in")
        self.refuse_after_end()
        self._from_body.put(value)
        self._to_body.get()
        if self._ending:
            raise TrialEnded

    def refuse_after_end(self) -> None:
        """Raise ``TrialEnded`` once more where the body went on after it; the body calls this."""
        if self._ending:
            self._swallowed += 1
            if self._swallowed >= MOST_SWALLOWED:
                self._from_body.put(_Swallowed())
                threading.Event().wait()  # no thread can be ended from outside; this one does no more
            raise TrialEnded

    def end(self, wait_s: float = END_WAIT_S) -> Ending:
        """Have ``hand_over`` raise ``TrialEnded`` in the body, and say how that went; done once.

        Args:
            wait_s: how long to wait for the body to be over.
        """
        if self._thread.ident is None or self._ending or not self._thread.is_alive():
            return Ending(over=True)
        self._ending = True
        self._to_body.put(None)
        try:
            last = self._from_body.get(timeout=wait_s)
        except queue.Empty:
            return Ending(over=False, swallowed=self._swallowed)
        if isinstance(last, Ended):
            return Ending(over=True, swallowed=self._swallowed, error=last.error)
        return Ending(over=False, swallowed=self._swallowed)

    def _main(self) -> None:
        error: BaseException | None = None
        try:
            self._body()
        except TrialEnded:
            pass
        except BaseException as raised:
            error = raised
        self._from_body.put(Ended(error))
