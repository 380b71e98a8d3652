"""The other studies of a home, sent once more where its database of MLflow was made anew."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from search.errors import UserError
from search.ledger import Ledger
from search.ledger.paths import Paths, study_folders
from search.ledger.printed_commands import sync_command
from search.ledger.stored_study import study_from_row
from search.tracking.store import Say
from search.tracking.tracker import Tracker


def send_neighbours(home: Path, *, but: str, send: Callable[[Tracker], None], say: Say) -> None:
    """Send every study whose runs lie in its home's database and that nobody searches now.

    One that is searched is sent by its own tracker.

    Args:
        home: folder of all studies.
        but: the study that was sent already.
        send: sends everything of one study.
        say: is told what was sent, and what could not be.
    """
    sent = []
    for folder in study_folders(home):
        paths = Paths(home, folder.name)
        if paths.name == but:
            continue
        try:
            with _nobody_searches(paths) as free, Ledger(paths.ledger_url) as ledger:
                row = ledger.study(paths.name)
                tracking = study_from_row(row).tracking
                if not free or not tracking.enabled or tracking.uri is not None:
                    continue
                uri, artifacts = paths.mlflow_uri, paths.mlflow_artifacts
                send(Tracker(ledger, row, uri, folder=paths.folder, artifacts=artifacts, say=say))
                sent.append(paths.name)
        except UserError as error:
            say(f"{paths.name} could not be sent to the new database ({error.errors[0]}): {sync_command(paths)}")
    if sent:
        say(f"sent to the new database as well: {', '.join(sent)}")


@contextmanager
def _nobody_searches(paths: Paths) -> Iterator[bool]:
    """Hold the lock of a study's driver while inside, and say whether it was to be had."""
    if not paths.lock.is_file():
        yield True
        return
    handle = os.open(paths.lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
