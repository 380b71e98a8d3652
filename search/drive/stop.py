"""Ends the search of a study that another process of this machine drives, as Ctrl-C in its terminal would."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from search.drive.lock import Holder, holder_in
from search.drive.lookup import open_ledger
from search.drive.overview import last_ending
from search.errors import RunError
from search.ledger import SessionRow
from search.ledger.paths import Paths
from search.ledger.printed_commands import resume_command
from search.ledger.rows import CLOCK_S

LOOK_S = 0.1
"""Seconds between two looks at whether a search has ended."""

AGAIN_S = 0.5
"""Seconds between two signals: one that comes before the last was heeded is lost."""


@dataclass(frozen=True)
class Driver:
    """The process of this machine that drives a study, or is about to.

    Attributes:
        holder: who it is.
        lock: the file that it has locked.
    """

    holder: Holder
    lock: Path

    @property
    def is_driving(self) -> bool:
        """Whether this process still drives the study: one of its number, as old as it, that has the lock's file open.

        The number of a process that ended is given to another one later.

        Raises:
            RunError: it is another user's, and cannot be asked.
        """
        try:
            process = psutil.Process(self.holder.pid)
            if process.create_time() > self.holder.since + CLOCK_S:
                return False
            return any(os.path.realpath(file.path) == os.path.realpath(self.lock) for file in process.open_files())
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            raise RunError(f"{self.holder} belongs to another user, who alone can end it") from None

    def signal(self) -> None:
        """Ask it to stop, as Ctrl-C would; the second time, to stop at once."""
        with suppress(ProcessLookupError):
            os.kill(self.holder.pid, signal.SIGINT)


def find_driver(paths: Paths) -> Driver:
    """Return the process that drives a study.

    Raises:
        UsageError: there is no such study.
        RunError: nobody drives it, or somebody on another machine or of another user does.
    """
    for lock in (paths.lock, paths.starting_lock):
        if (driver := driver_by(lock)) is not None:
            return driver
    with open_ledger(paths) as ledger:
        row = ledger.study(paths.name)
        ending, sessions = last_ending(ledger, row), ledger.sessions(row.id)
    if ending == "running":
        return _driver_by_ledger(paths, sessions[-1])
    going_on = "" if ending == "done" else f"; go on with: {resume_command(paths)}"
    raise RunError(f"{paths.name} is not being searched ({ending}), so there is nothing to stop{going_on}")


def stop(driver: Driver, *, now: bool) -> None:
    """Ask a search to end, and return when it has.

    Args:
        driver: what drives it.
        now: do not wait for the epochs in flight, as a second Ctrl-C does not.
    """
    driver.signal()
    asked = time.monotonic()
    while driver.is_driving:
        time.sleep(LOOK_S)
        if now and time.monotonic() - asked > AGAIN_S and driver.is_driving:
            driver.signal()
            asked = time.monotonic()


def driver_by(lock: Path) -> Driver | None:
    """Return the process of this machine that holds a lock; None where there is none.

    Raises:
        RunError: another user's process of this machine took it last, and cannot be asked.
    """
    try:
        holder = holder_in(lock.read_bytes())
    except OSError:
        return None
    if holder is None or holder.host != socket.gethostname():
        return None
    driver = Driver(holder, lock)
    return driver if driver.is_driving else None


def _driver_by_ledger(paths: Paths, session: SessionRow) -> Driver:
    """Return what drives a study by its open files: from another home of this machine, where the ledger is a database.

    Raises:
        RunError: it runs on another machine, or is not found.
    """
    if session.elsewhere:
        raise RunError(f"{paths.name} is being searched by {session.driver}: stop it there")
    with suppress(psutil.Error):
        for file in psutil.Process(session.pid).open_files():
            lock = Path(file.path)
            if (lock.name, lock.parent.name) == (paths.lock.name, paths.name):
                return Driver(Holder(session.host, session.pid, session.started_at), lock)
    raise RunError(f"{paths.name} is being searched by {session.driver}, which cannot be looked at from here")
