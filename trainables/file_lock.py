"""One process at a time makes a file that several need; the others wait, and say what its maker does."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO

from trainables.pace import signs_of_life
from trainables.stage import stage

POLL_S = 0.1
"""Seconds between two looks at the lock."""

EVERY_S = 5.0
"""Seconds between two lines of who waits."""


_held: set[IO[Any]] = set()


@contextmanager
def of_this_process(lock: IO[Any]) -> Iterator[None]:
    """While inside, a locked file is not open in processes that are forked: the lock would outlive its holder there."""
    _held.add(lock)
    try:
        yield
    finally:
        _held.discard(lock)


def _close_held() -> None:
    while _held:
        with suppress(OSError):
            _held.pop().close()


os.register_at_fork(after_in_child=_close_held)


@contextmanager
def file_lock(
    lock_file: Path, say: Callable[[str], None] = signs_of_life, *, what: str
) -> Iterator[Callable[[str], None]]:
    """While inside, no other process is; the lock ends with the process, however that ends.

    Args:
        lock_file: what is locked; its folder is made.
        say: shows a line to the user.
        what: what is made, for who waits.

    Yields:
        What shows a line to the user, and to the users of the processes that wait.

    Raises:
        OSError: the folder cannot be written.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with open(lock_file, "a+") as lock, of_this_process(lock):
        with stage(f"waiting for another process that makes the same {what}"):
            _acquire(lock, say, what)
        _write(lock, "")

        def say_to_all(line: str) -> None:
            say(line)
            _write(lock, line)

        yield say_to_all


def _write(lock: TextIO, line: str) -> None:
    with suppress(OSError):  # a full disk: the lock holds, who waits sees less
        lock.truncate(0)
        lock.write(line)
        lock.flush()


def _acquire(lock: TextIO, say: Callable[[str], None], what: str) -> None:
    """Wait for the lock, and say every now and then what its holder does."""
    said_at = -EVERY_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() - said_at >= EVERY_S:
                lock.seek(0)
                says = lock.read().strip()
                say(f"another process makes the same {what}; waiting for it" + (f" ({says})" if says else ""))
                said_at = time.monotonic()
            time.sleep(POLL_S)
