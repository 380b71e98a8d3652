"""A file that names the trials in training, for whoever finds their worker dead or hung, or waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.protocols import Closes, HasFullWeights, Run, TellsNotices, TrainsBesideOthers

if TYPE_CHECKING:
    from trainables.report import EpochReport


TELL_AFTER_S = 2.0
"""Seconds that something else than training may take a worker before a line says what it is."""

OTHER = "# "
"""Begins a line of what else than training a worker does."""


class MarkerFile:
    """Holds a line for each trial in training: its number, and when its epoch began; and one of what else is done.

    The last of them stays until another begins, or ``clear``: what it left running may be what a worker dies of.

    Args:
        path: where it lies.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(f"{path.name}.new")
        self._began: list[tuple[int, float]] = []
        self._left: list[tuple[int, float]] = []
        self._other: list[tuple[str, float]] = []
        self._lock = threading.Lock()

    @contextmanager
    def in_training(self, number: int) -> Iterator[None]:
        """Name a trial while inside; one may be there more than once, where it is measured before it trains."""
        began = (number, time.time())
        with self._lock:
            self._began.append(began)
            self._write()
        try:
            yield
        finally:
            with self._lock:
                self._began.remove(began)
                self._left = [began]
                if self._began:
                    self._write()

    @contextmanager
    def seating(self, number: int) -> Iterator[None]:
        """Name a trial while its code is built and tried out inside; of what a worker dies later it may be innocent."""
        try:
            with self.in_training(number):
                yield
        finally:
            with self._lock:
                self._left = []
                self._write()

    def clear(self) -> None:
        """Name no trial until one begins: others, which are not named, train now."""
        with self._lock:
            if self._left:
                self._left = []
                self._write()

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Say while inside what else than training takes its time."""
        began = (what, time.time())
        with self._lock:
            self._other.append(began)
            self._write()
        try:
            yield
        finally:
            with self._lock:
                self._other.remove(began)
                self._write()

    def _write(self) -> None:
        lines = [f"{number} {began}\n" for number, began in self._began or self._left]
        lines += [f"{OTHER}{began} {what}\n" for what, began in self._other]
        # in one step: the process may end at any moment, by what another of its threads does
        self._new.write_text("".join(lines))
        self._new.replace(self._path)


class RunWithMarkerFile:
    """A run whose trial is named in a file while it trains an epoch.

    Args:
        run: what trains.
        marker: the file.
        number: of the trial.
    """

    def __init__(self, run: Run, marker: MarkerFile, number: int) -> None:
        self._run, self._marker, self._number = run, marker, number
        self.state_dict = run.state_dict
        self.load_state_dict = run.load_state_dict
        if isinstance(run, HasFullWeights):
            self.full_weights = run.full_weights
        if isinstance(run, TrainsBesideOthers):
            self.train_beside_others = run.train_beside_others
        if isinstance(run, TellsNotices):
            self.take_notices = run.take_notices
        if isinstance(run, Closes):
            self.close = run.close

    def step(self) -> EpochReport:
        """Say whose epoch it is, and train it."""
        with self._marker.in_training(self._number):
            return self._run.step()


def marked_trials(marker: Path) -> dict[int, float]:
    """Return the trials that a marker file names, each with when its epoch began; none where there is none."""
    try:
        lines = [line.split() for line in marker.read_text().splitlines() if not line.startswith(OTHER)]
        return {int(number): float(began) for number, began in lines}
    except (OSError, ValueError):
        return {}


def marked_work(marker: Path) -> tuple[str, float] | None:
    """Return what else a worker does, and since when; None where it does nothing else, or there is no such file."""
    try:
        line = next(line for line in marker.read_text().splitlines() if line.startswith(OTHER))
        began, _, what = line.removeprefix(OTHER).partition(" ")
        return what, float(began)
    except (OSError, ValueError, StopIteration):
        return None


class ToldWork:
    """Says, once, what else than training takes workers' time; several do the same at the same time.

    Args:
        say: prints one line for the user.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._told: set[str] = set()

    def look(self, markers: Iterable[Path]) -> None:
        """Tell what the workers of these marker files have done for a while and was not told yet."""
        for marker in markers:
            found = marked_work(marker)
            if found is not None and found[0] not in self._told and time.time() - found[1] > TELL_AFTER_S:
                self._told.add(found[0])
                self._say(f"{found[0]} ...")
