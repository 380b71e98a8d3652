"""How many files a process may have open: some of them stay Lanewise's own, and what trials leave open is told."""

from __future__ import annotations

import errno
import gc
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RESERVE = 64
"""Handles that a function cannot take: for checkpoints, marks, and Ray's connections."""

ADVICE = "close what a trial opens (with open(...) as file), or open it once, at the top of the module"


class OpenFiles:
    """The file handles of a process in which functions run, one after the other or side by side."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limits = self._lowered = (0, 0)
        self._ended = 0
        self._told = False

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """While inside, the process may open ``RESERVE`` files fewer than before."""
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._lower()
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._restore()

    def trial_ended(self) -> str | None:
        """Count what is open after a trial; return, once, what to say where it is more than half of what may be."""
        self._ended += 1
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if self._told or _count() <= limit // 2:
            return None
        gc.collect()  # what is in a circle of references is closed by this alone
        if (left := _count()) <= limit // 2:
            return None
        self._told = True
        trials = "1 trial" if self._ended == 1 else f"{self._ended} trials"
        return f"{left} files are open after {trials}, and a process may have {limit}: {ADVICE}"

    def _lower(self) -> None:
        soft, hard = self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._lowered = (max(soft - RESERVE, soft // 2), hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, self._lowered)

    def _restore(self) -> None:
        if resource.getrlimit(resource.RLIMIT_NOFILE) == self._lowered:  # else the function has set its own
            resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)


def with_advice(error: BaseException) -> BaseException:
    """Return an error as it is, or, of too many open files, one that says what to do; the traceback is the same."""
    if not isinstance(error, OSError) or error.errno != errno.EMFILE:
        return error
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{os.strerror(errno.EMFILE)}, of the {soft} that a process may have: {ADVICE}"
    return OSError(errno.EMFILE, text).with_traceback(error.__traceback__)


def _count() -> int:
    return len(os.listdir("/dev/fd"))
