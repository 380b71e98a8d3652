"""Signs of life of a command, and what ends it at a signal: begun before anything that takes long, imports included."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

from search.signs.heartbeat import LOOK_S, Heartbeat
from search.signs.stopping import EXIT_CODES, Watch, handling_signals, raising_signals, where_stopped
from search.signs.terminal import Terminal
from trainables.stage import Stage, stage

TERMINAL = Terminal()
"""The outputs of this process."""

DONE = "what it was to do is done"
"""What a user need not do whose command was stopped when all it had to do was to end."""

_held = ExitStack()
_outermost: list[Stage] = []


def begin() -> None:
    """Give signs of life from now on until the process ends, which a signal ends at once; of a command, once.

    ``command_running`` says when there is something to end cleanly.
    """
    if _outermost:
        return
    _outermost.append(_held.enter_context(stage("starting")))
    _held.enter_context(handling_signals(_end_at_once))
    watch, heart = Watch(TERMINAL), Heartbeat(TERMINAL)
    watch.begin()
    os.register_at_fork(after_in_child=_after_fork)
    threading.Thread(target=_live, args=(heart, watch), name="signs of life", daemon=True).start()


@contextmanager
def command_running() -> Iterator[None]:
    """While inside, a signal raises ``Stopped``, if this process gives signs of life; afterwards it is about to end."""
    if not _outermost:
        yield
        return
    try:
        with handling_signals(raising_signals()):
            yield
    finally:
        _outermost[0].what, _outermost[0].way_on = "ending", DONE
        _outermost[0].began = time.monotonic()
        TERMINAL.erase()
        TERMINAL.spoken()


@contextmanager
def living(shown: bool = True) -> Iterator[None]:
    """While inside, and ``shown``, a program that is no command of ours gives signs of life, a line each.

    Signals stay the program's own.
    """
    if not shown or _outermost:
        yield
        return
    heart, ended = Heartbeat(TERMINAL, in_place=False), threading.Event()

    def live() -> None:
        while not ended.wait(LOOK_S):
            heart.beat(time.monotonic())

    TERMINAL.spoken()
    thread = threading.Thread(target=live, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def hushed(on: bool) -> Iterator[None]:
    """While inside, and ``on``, no signs of life are given; what ends a command at a signal is said all the same."""
    before, TERMINAL.hushed = TERMINAL.hushed, TERMINAL.hushed or on
    try:
        if on:
            TERMINAL.erase()
        yield
    finally:
        TERMINAL.hushed = before


def _live(heart: Heartbeat, watch: Watch) -> None:
    while True:
        time.sleep(LOOK_S)
        now = time.monotonic()
        heart.beat(now)
        watch.look(now)


def _end_at_once(number: int, _: FrameType | None) -> None:
    TERMINAL.say(where_stopped())
    os._exit(EXIT_CODES[signal.Signals(number)])


def _after_fork() -> None:
    """Have a forked child, in which the thread is not, leave the parent's terminal and signals alone."""
    TERMINAL.after_fork()
    with suppress(ValueError):
        signal.set_wakeup_fd(-1)
