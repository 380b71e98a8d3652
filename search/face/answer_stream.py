"""Standard output for the one object of ``--json`` alone: whatever else is printed goes to standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO

from search.errors import OutputError
from search.signs.life import TERMINAL

_held: list[TextIO] = []
"""Where the object goes while everything else goes to standard error; empty where nothing is redirected."""


@contextmanager
def answer_alone(on: bool = True) -> Iterator[None]:
    """While inside, and ``on``: what this process and its children print goes to standard error.

    A user's model prints, and so do libraries, some of them past Python; ``print_json`` alone is not redirected.
    """
    if not on or sys.stdout is None or sys.stderr is None:
        yield
        return
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    real = _descriptor()
    kept = None if real is None else os.dup(real)
    stream = sys.stdout if kept is None else os.fdopen(os.dup(kept), "w", encoding=sys.stdout.encoding)
    try:
        if real is not None:
            os.dup2(2, real)
        _held.append(stream)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _held.pop()
        if kept is not None and real is not None:
            with suppress(OSError):
                stream.close()
            os.dup2(kept, real)
            os.close(kept)


def print_json(answer: object) -> None:
    """Print the one object on standard output, on a line of its own.

    Raises:
        OutputError: it cannot be written there.
    """
    TERMINAL.erase()
    try:
        print(json.dumps(answer), file=_held[-1] if _held else sys.stdout, flush=True)
    except OSError as error:
        raise OutputError(error.strerror or type(error).__name__) from None


def _descriptor() -> int | None:
    """Return 1 where ``sys.stdout`` is the process's standard output and can be exchanged for standard error."""
    with suppress(OSError, ValueError, AttributeError):
        if sys.stdout.fileno() == 1 and os.fstat(2):
            return 1
    return None
