"""One driver a study: the second is refused with the first's host, process and time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.errors import RunError
from trainables.disk import space_hint


@contextmanager
def driver_lock(path: Path, study: str) -> Iterator[None]:
    """Hold the study's lock. The system lets go of it when the process ends, however it ends.

    Raises:
        RunError: another process holds it, or this one may not write there.
    """
    try:
        opened = path.open("a+")
    except OSError as error:
        raise RunError(f"study {study!r} cannot go on here: {path}: {error.strerror}{space_hint(path)}") from None
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise RunError(f"study {study!r} is being searched by {_holder(file.read())}; wait for it to end") from None
        file.truncate(0)
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
        with suppress(OSError):  # a full disk: the lock holds, only its words are missing
            os.write(file.fileno(), json.dumps(holder).encode())
        yield


def _holder(text: str) -> str:
    try:
        found = json.loads(text)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found["since"]))
        return f"process {found['pid']} on {found['host']} since {since}"
    except (ValueError, KeyError, TypeError):
        return "another process"
