"""Standard output and error of a command: what cannot be shown ends no search, and the exit code says so."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from search.signs.life import TERMINAL

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class ForgivingFile(io.RawIOBase):
    """A file descriptor that takes everything, also once nobody reads it or its disk is full.

    Args:
        descriptor: stays open when this is closed.

    Attributes:
        closed_before: whether there was nothing behind the descriptor when the process began.
        lost: why something could not be written; None while everything was.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.closed_before = False
        self.lost: str | None = None

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Say whether a terminal is behind it."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Write ``data``, all of it; what fails is lost, and so is all that comes later."""
        left = memoryview(data).cast("B")
        size = len(left)
        TERMINAL.writing(self._descriptor, left)
        if self.closed_before and left:
            self.lost = "it is closed"
        while left and self.lost is None:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.lost = error.strerror or type(error).__name__
        return size


@contextmanager
def forgiving_output() -> Iterator[ForgivingFile]:
    """Let ``sys.stdout`` and ``sys.stderr`` lose what cannot be written; yields the file below the former.

    A stream that was closed when the process began (``>&-``) loses everything. A character that the encoding lacks
    is written as its escape.
    """
    closed = _hold_descriptors()
    before = sys.stdout, sys.stderr
    files = ForgivingFile(1), ForgivingFile(2)
    for file in files:
        file.closed_before = file.fileno() in closed
    sys.stdout, sys.stderr = (_text(file, stream) for file, stream in zip(files, before, strict=True))
    try:
        yield files[0]
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def _hold_descriptors() -> set[int]:
    """Open those of 0, 1 and 2 that are closed, and return them: else the ledger's file could become one of them."""
    closed = set()
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            closed.add(os.open(os.devnull, os.O_RDWR))
    return closed


def _text(file: ForgivingFile, stream: TextIO | None) -> TextIO:
    """Return a text stream over ``file`` in place of ``stream``, or that itself where it goes elsewhere."""
    if stream is not None and not _goes_to(stream, file.fileno()):
        return stream
    encoding = "utf-8" if stream is None else stream.encoding
    if stream is not None:
        with suppress(OSError):
            stream.flush()
    buffered = io.BufferedWriter(file)
    return io.TextIOWrapper(buffered, encoding, errors="backslashreplace", line_buffering=True)


def _goes_to(stream: TextIO, descriptor: int) -> bool:
    """Say whether a stream writes to a descriptor: one that a caller put there has another, or none."""
    try:
        return stream.fileno() == descriptor
    except (OSError, ValueError, AttributeError):
        return False
