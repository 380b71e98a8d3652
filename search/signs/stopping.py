"""Ctrl-C, SIGTERM and a closed terminal, from the first moment of a command to its last.

Whoever can end cleanly takes the signals for a while (``handling_signals``): a search, say. Anywhere else a signal
raises ``Stopped``. Python drops what is raised within a finalizer (``__del__``, a callback of ``weakref`` or of the
garbage collector): the signal is sent once more then. Where it is not heard at all (a long call below Python, code that
catches everything), the process ends all the same after ``GRACE_S``: what was recorded is as after any other sudden
end.
"""

from __future__ import annotations

import _thread
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from trainables.stage import stages

if TYPE_CHECKING:
    from search.signs.terminal import Terminal

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
"""What a process ends with that a signal stopped, as a shell counts; SIGHUP: its terminal was closed."""

GRACE_S = float(os.environ.get("LANEWISE_STOP_GRACE_S", "5"))
"""Seconds until a process ends that has not heard of a signal: one more than a search waits for epochs in flight."""

AGAIN = "nothing was recorded, and the same command begins anew"
"""What a user does whose command was stopped before there was anything to go on with."""

AGAIN_S = 0.01
"""Seconds until a signal is sent once more that came within a finalizer."""

Heard = Callable[[], bool]


class Stopped(BaseException):
    """A signal; no ``Exception``, so that nothing takes it for an error of what it interrupts.

    Attributes:
        number: the signal.
        is_of_signal: see ``trainables.errors.is_of_a_signal``.
    """

    is_of_signal = True

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.number = number
        self._where = where_stopped()

    @property
    def exit_code(self) -> int:
        """The process's."""
        return EXIT_CODES[self.number]

    def __str__(self) -> str:
        return self._where


def where_stopped(*, unheard: bool = False) -> str:
    """Return in one line what a process is stopped in, and how a user goes on.

    Args:
        unheard: whether it is stopped without having heard of the signal.
    """
    doing = [stage for stage in stages() if not stage.at_once]
    what = doing[-1].what if doing else "starting"
    slow = f", which was not to be stopped within {GRACE_S:g} s" if unheard else ""
    way_on = next((stage.way_on for stage in reversed(doing) if stage.way_on is not None), AGAIN)
    return f"stopped while {what}{slow}; {way_on}"


@dataclass(frozen=True)
class _Owner:
    """Who takes the signals now, and says whether it has heard of one."""

    handlers: dict[int, object]
    heard: Heard


_owners: list[_Owner] = []

_dropped: set[int] = set()
"""The signals that came within a finalizer, until they have come once more."""


@contextmanager
def handling_signals(
    handle: Callable[[int, FrameType | None], None], *, heard: Heard = lambda: False
) -> Iterator[None]:
    """While inside, the signals of ``EXIT_CODES`` go to ``handle``, but for SIGHUP under ``nohup``.

    Beside the main thread nothing is changed: where a program does this beside other things, signals are the program's.

    Args:
        handle: is called in the main thread, once that comes back to Python.
        heard: says whether what goes on has heard of a signal, and is ending by itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [n for n in EXIT_CODES if n is not signal.SIGHUP or signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}
    owner = _Owner(dict.fromkeys(heeded, handle), heard)
    _owners.append(owner)
    try:
        with _hearing_of_dropped():
            yield
    finally:
        _owners.remove(owner)
        for number, handler in before.items():
            signal.signal(number, handler)


def raising_signals() -> Callable[[int, FrameType | None], None]:
    """Return a handler that raises ``Stopped``; a second signal ends the process at once."""
    came: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        if came and number not in _dropped:
            kill_children()
            os._exit(EXIT_CODES[signal.Signals(number)])
        _dropped.discard(number)
        came.append(number)
        raise Stopped(signal.Signals(number))

    return handle


@contextmanager
def _hearing_of_dropped() -> Iterator[None]:
    """While inside, a ``Stopped`` that Python drops is no line on standard error, and its signal is sent again."""
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if not isinstance(dropped.exc_value, Stopped):
            before(dropped)
            return
        number = dropped.exc_value.number
        _dropped.add(number)
        # a thread of the lowest kind: a finalizer runs anywhere, also where the main thread has a lock of ``threading``
        with suppress(RuntimeError):  # no thread is to be had: the process is ended after ``GRACE_S``
            _thread.start_new_thread(_send_again, (number,))

    sys.unraisablehook = hook
    try:
        yield
    finally:
        if sys.unraisablehook is hook:  # else other code has set its own
            sys.unraisablehook = before


def _send_again(number: signal.Signals) -> None:
    time.sleep(AGAIN_S)  # within the same finalizer it would be dropped again, and sent again
    os.kill(os.getpid(), number)


class Watch:
    """Sees signals as they come, also while the main thread is below Python, and ends a process that does not hear.

    Args:
        terminal: where the one line goes that is said then.
    """

    def __init__(self, terminal: Terminal, *, grace_s: float = GRACE_S) -> None:
        self._terminal = terminal
        self._grace_s = grace_s
        self._came: tuple[signal.Signals, float] | None = None
        self._reading, self._writing = (_above_the_streams(end) for end in os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))

    def begin(self) -> None:
        """Have the system tell of signals; in the main thread."""
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)

    def look(self, now: float) -> None:
        """End the process if a signal came some seconds ago and whoever takes it has not heard of it."""
        try:
            numbers = os.read(self._reading, 64)
        except BlockingIOError:
            numbers = b""
        for number in numbers:
            if self._came is None and number in set(EXIT_CODES) and self._is_ours(number):
                self._came = signal.Signals(number), now
        if self._came is None:
            return
        owner = _owners[-1] if _owners else None
        if owner is not None and owner.heard():
            self._came = None
        elif now - self._came[1] >= self._grace_s:
            self._terminal.say(where_stopped(unheard=True))
            kill_children()
            os._exit(EXIT_CODES[self._came[0]])

    @staticmethod
    def _is_ours(number: int) -> bool:
        """Say whether a signal goes to a handler of ours: a user's own code may have set another."""
        return bool(_owners) and signal.getsignal(number) is _owners[-1].handlers.get(number)


def kill_children() -> None:
    """Kill every process that this one started, and theirs: Ray's own helpers outlive a driver for a while."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def _above_the_streams(descriptor: int) -> int:
    """Return a descriptor above 2 for one that may be lower, where a standard stream is closed and is to be told so."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return moved
