"""One process at a time makes the same weights; the others see how far it is, and wait."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from trainables.errors import CheckpointWriteError, ConfigError
from trainables.stage import stage

POLL_S = 0.1
"""Seconds between two looks at the lock."""

EVERY_S = 5.0
"""Seconds between two lines of who waits."""


@contextmanager
def weights_lock(file: Path, say: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """While inside, no other process makes ``file``; the lock ends with the process, however that ends.

    Args:
        file: the weights; the lock lies beside them.
        say: shows a line to the user.

    Yields:
        What shows a line to the user, and to the users of the processes that wait.

    Raises:
        ConfigError: the folder, or the weights, cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = open(file.with_suffix(".lock"), "a+")
    except OSError as error:
        raise ConfigError(
            f"{file.parent} cannot be written ({error.strerror}); XDG_CACHE_HOME names another folder"
        ) from None
    with lock:
        with stage("waiting for another process that makes the same weights"):
            _acquire(lock, say)
        _write(lock, "")

        def say_to_all(line: str) -> None:
            say(line)
            _write(lock, line)

        try:
            yield say_to_all
        except CheckpointWriteError as error:
            raise ConfigError(f"weights source: {error}; XDG_CACHE_HOME names another folder") from None


def _write(lock: TextIO, line: str) -> None:
    with suppress(OSError):  # a full disk: the lock holds, who waits sees less
        lock.truncate(0)
        lock.write(line)
        lock.flush()


def _acquire(lock: TextIO, say: Callable[[str], None]) -> None:
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
                say("another process makes the same weights; waiting for it" + (f" ({says})" if says else ""))
                said_at = time.monotonic()
            time.sleep(POLL_S)
