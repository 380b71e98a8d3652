"""The tracker's process as it is started: ahead of what a search imports, where one is likely to need it.

MLflow takes more than a second to import, and so does what a search needs before its first trial; neither waits for
the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""Where the packages of Lanewise lie."""

CODE = """
import json, runpy, sys
sys.path[:] = json.loads(sys.argv.pop())
runpy.run_module("search.tracking.follow", run_name="__main__", alter_sys=True)
"""

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
    return subprocess.Popen(
        # -P: what lies in the current folder is the user's, a file search.py included
        [sys.executable, "-P", "-c", CODE, json.dumps(_import_path())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # until it knows its log
        text=True,
        start_new_session=True,  # Ctrl-C is for the search; the tracker ends with its input
    )


def _import_path() -> list[str]:
    """Return this process's import path without the current folder, unless Lanewise itself is imported from there."""
    here = Path.cwd()
    return [entry for entry in sys.path if ROOT == here or Path(entry).absolute() != here]
