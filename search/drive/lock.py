"""One driver a study: the second is refused with the first's host, process and time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from search.errors import RunError
from search.ledger.paths import Paths
from search.ledger.private_files import make_private_folder
from trainables.disk import space_hint
from trainables.file_lock import of_this_process

MOST_PID = 2**31 - 1
"""No system gives a process a higher number."""


@contextmanager
def driver_lock(path: Path, study: str) -> Iterator[None]:
    """Hold the study's lock. The system lets go of it when the process ends, however it ends.

    Raises:
        RunError: another process holds it, or this one may not write there.
    """
    try:
        opened = path.open("ab+")
    except OSError as error:
        raise RunError(f"study {study!r} cannot go on here: {path}: {error.strerror}{space_hint(path)}") from None
    with opened as file, of_this_process(file):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = holder_in(file.read()) or "another process"
            raise RunError(f"study {study!r} is being searched by {holder}; wait for it to end") from None
        file.truncate(0)
        mine = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
        with suppress(OSError):  # a full disk: the lock holds, only its words are missing
            os.write(file.fileno(), json.dumps(mine).encode())
        yield


@contextmanager
def starting_lock(paths: Paths) -> Iterator[None]:
    """Hold a lock beside the folder that a study is to have; nothing of it is left, nor of a home that it made.

    Raises:
        RunError: another process starts a study of this name here, or this one may not write here.
    """
    home = paths.home.absolute()
    made = [folder for folder in (home, *home.parents) if not folder.exists()]
    try:
        make_private_folder(home)
    except OSError as error:
        raise RunError(f"{home} cannot be made: {error.strerror}{space_hint(home)}") from None
    try:
        with driver_lock(paths.starting_lock, paths.name):
            try:
                yield
            finally:
                paths.starting_lock.unlink(missing_ok=True)
    finally:
        for folder in made:
            with suppress(OSError):  # something lies there by now
                folder.rmdir()


@dataclass(frozen=True)
class Holder:
    """The process that a lock file names: the one that holds it, or the last one that did.

    Attributes:
        since: when it took the lock, in seconds since 1970.
    """

    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {since}"


def holder_in(content: bytes) -> Holder | None:
    """Return the process that a lock file names; None where it names none, or is damaged."""
    try:
        found = json.loads(content)
        holder = Holder(str(found["host"]), int(found["pid"]), float(found["since"]))
        time.localtime(holder.since)  # a moment that a clock can show
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return None
    return holder if 0 < holder.pid <= MOST_PID else None
