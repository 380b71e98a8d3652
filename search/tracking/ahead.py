"""The tracker's process as it is started: ahead of what a search imports, where one is likely to need it.

MLflow takes more than a second to import, and so does what a search needs before its first trial; neither waits for
the other.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from trainables.fresh_process import start_module

_ahead: list[subprocess.Popen[str]] = []
"""The process that was started and nobody has taken."""


@contextmanager
def started_ahead(wanted: bool) -> Iterator[None]:
    """Start a tracker's process, if ``wanted``, for the first ``take`` inside; one that nobody took ends here."""
    if wanted:
        _ahead.append(_start())
    try:
        yield
    finally:
        while _ahead:
            with _ahead.pop() as process:  # which closes its pipes
                process.kill()


def take() -> subprocess.Popen[str]:
    """Return a process that waits for orders on its standard input, and ends with that."""
    return _ahead.pop() if _ahead else _start()


def _start() -> subprocess.Popen[str]:
    return start_module(
        "search.tracking.follow",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # until it knows its log
        text=True,  # the tracker ends with its input
    )
