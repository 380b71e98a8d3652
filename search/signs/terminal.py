"""The two outputs of a process as those see them who watch: when something was written, and one line in place.

The line that is redrawn in place goes to standard error where that is a terminal; before anything else is written it is
taken away. Whoever writes to an output says so first (``writing``).
"""

from __future__ import annotations

import os
import select
import shutil
import threading
import time
from contextlib import suppress

ERASE = b"\r\x1b[K"
STDERR = 2


class Terminal:
    """What is written to standard output and error, by one process.

    Args:
        descriptor: of standard error.

    Attributes:
        written_at: when something was written last, signs of life included (monotonic seconds).
        other_at: when anything else was.
        hushed: whether no signs of life are to be given here.
    """

    def __init__(self, descriptor: int = STDERR) -> None:
        self._descriptor = descriptor
        self._lock = threading.RLock()
        self._drawn = ""
        self._within_a_line: set[int] = set()
        self.written_at = self.other_at = time.monotonic()
        self.hushed = False

    @property
    def redraws(self) -> bool:
        """Whether a line can be drawn in place."""
        with suppress(OSError):
            return os.isatty(self._descriptor)
        return False

    def writing(self, descriptor: int, data: memoryview) -> None:
        """Make room for what is about to be written to a descriptor."""
        if not len(data):
            return
        with self._lock:
            self._erase()
            self.written_at = self.other_at = time.monotonic()
            if bytes(data[-1:]) == b"\n":
                self._within_a_line.discard(descriptor)
            else:
                self._within_a_line.add(descriptor)

    def spoken(self) -> None:
        """Take note that something was shown that did not come by here, or is about to be."""
        self.written_at = self.other_at = time.monotonic()

    def say(self, line: str) -> None:
        """Write a line that stays."""
        with self._lock:
            self._erase()
            if self._write(f"{line}\n".encode(errors="backslashreplace")):
                self.written_at = time.monotonic()

    def draw(self, line: str) -> None:
        """Draw a line in place of the one before; nothing while another one is being written, or a table is drawn."""
        width = max(20, shutil.get_terminal_size().columns) - 1
        text = line if len(line) <= width else f"{line[: width - 3]}..."
        with self._lock:
            if not self._within_a_line and text != self._drawn:
                self._write(ERASE + text.encode(errors="backslashreplace"))
                self._drawn = text

    def erase(self) -> None:
        """Take away the line that was drawn in place."""
        with self._lock:
            self._erase()

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = ""
            self._write(ERASE)

    def _write(self, data: bytes) -> bool:
        """Write, unless that would wait for a reader; return whether it was written."""
        with suppress(OSError, ValueError):
            if select.select([], [self._descriptor], [], 0)[1]:
                os.write(self._descriptor, data)
                return True
        return False

    def after_fork(self) -> None:
        """Forget, in a child, what the parent drew, and a lock that one of its threads may have held."""
        self._lock, self._drawn = threading.RLock(), ""
