"""The working directory of a process in which functions train: each keeps its own, and the process gets back its."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class WorkingFolder:
    """The working directory of a process, which a function may change, or remove, for all others of the process.

    It is what it was after each stretch of a function, from one report to the next, and the function's own again in
    its next one. Of functions that train at the same time, the last one out puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._home: Path | None = None
        self._told = False

    @contextmanager
    def lent_to(self, function: FunctionsFolder) -> Iterator[None]:
        """While inside, a function is where it was at the end of its last stretch."""
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._home = _current()
                function.enter()
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                function.leave(self._home)
                if not self._inside and self._home is not None and _current() != self._home:
                    os.chdir(_nearest(self._home))

    def tell_once(self, function: FunctionsFolder) -> str | None:
        """Return, once, that a function left the working directory elsewhere; called when it is over."""
        if function.moved is None or self._told:
            return None
        self._told = True
        return f"left the working directory {function.moved}; what comes after it begins in {_current()}"


class FunctionsFolder:
    """Where one trial's function is between two stretches.

    Attributes:
        moved: where it went, in words; None where it is where it began.
    """

    def __init__(self) -> None:
        self.moved: str | None = None
        self._path: Path | None = None
        self._gone = False

    def enter(self) -> None:
        """Go where the function was; where that is gone, it is where the process is."""
        if self._path is not None:
            with suppress(OSError):
                os.chdir(self._path)

    def leave(self, home: Path | None) -> None:
        """Take note of where the function is now.

        Args:
            home: where it began; None where that was gone already.
        """
        here = _current()
        if home is None or (self._gone and here == home):  # it is here because its own is gone
            return
        self._path, self._gone = here, here is None
        if here == home:
            self.moved = None
        else:
            self.moved = "in a folder that is gone" if here is None else f"in {here}"


def _current() -> Path | None:
    """Return the working directory; None where it was removed."""
    try:
        return Path(os.getcwd())
    except FileNotFoundError:
        return None


def _nearest(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that is still there."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())
