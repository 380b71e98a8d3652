"""The tracker's process: it follows a ledger until the search ends, then sends the rest.

Started by ``TrackerProcess`` alone; ``search sync`` uses ``sync`` in the foreground.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    # `ray job stop`, like a machine that shuts down, signals every process; this one ends with its input.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that is closed tells all that it started

from search.credentials import masked, print_masked_traceback, take_out
from search.errors import RunError
from search.ledger import Ledger
from search.ledger.paths import Paths
from search.ledger.private_files import make_private_file
from search.tracking.messages import ENDED, FINISH, NOTE, SENT, TRIED, UP, Tell, take_output
from search.tracking.mlflow_client import UNREACHABLE
from search.tracking.neighbours import send_neighbours
from search.tracking.probe import first_line, try_store
from search.tracking.store import Say
from search.tracking.tracker import Tracker

POLL_S = 0.5
"""How often the tracker looks for what is new in the ledger."""
PROGRESS_S = 1.0
"""How often the tracker tells the search how much got through."""
RETRY_S = (0.5, 1.0, 2.0, 5.0)
"""How long the tracker waits after an error, after two in a row, and so on."""
ORPHAN_GRACE_S = 5.0
"""How long the tracker goes on after the search's process died without a word."""
ORPHAN_LIMIT_S = 8.0
"""How long after the search's process died the tracker ends wherever it stands: what a server was sent by then, it is
asked for at the next start."""
DRAIN_GRACE_S = 10.0
"""How long, at the end of a search, the tracker tries on without anything getting through."""
NEVER_CONNECTED_GRACE_S = 2.0
"""How long, at the end of a search, the tracker tries a server that never answered during the search."""

log = logging.getLogger("lanewise.tracking")


def sync(tracker: Tracker, *, grace_s: float) -> None:
    """Send everything that is missing, and close the parent run.

    Raises:
        RunError: nothing got through for ``grace_s`` seconds.
    """
    last, seen, failures = time.monotonic(), tracker.progress, 0
    while True:
        try:
            done = tracker.update()
            if done:
                tracker.finish_parent()
                return
            failures = 0
        except UNREACHABLE as error:
            tracker.forget()
            log.warning("MLflow: %s", error)
            if tracker.progress != seen:
                last, seen = time.monotonic(), tracker.progress
            left_s = last + grace_s - time.monotonic()
            if left_s <= 0:
                raise RunError(f"MLflow did not take it: {str(error).splitlines()[0]}") from None
            time.sleep(min(left_s, RETRY_S[min(failures, len(RETRY_S) - 1)]))
            failures += 1


def send_to_new_store(tracker: Tracker, home: str | Path, study: str, *, say: Say) -> None:
    """Send the other studies of a home as well, where its store is a new one in place of what could not be used."""
    if tracker.store_is_new:
        send_neighbours(Path(home), but=study, send=partial(sync, grace_s=DRAIN_GRACE_S), say=say)


def follow(tracker: Tracker) -> None:
    """Send what the ledger gains until standard input says that the search ended.

    A line ``finish`` means: everything is in the ledger, send the rest. An end of file without it
    means that the search's process died: what can be sent in a few seconds is sent.
    """
    failures, grace_s = 0, NEVER_CONNECTED_GRACE_S
    while True:
        pause = POLL_S
        try:
            tracker.update()
            failures, grace_s = 0, DRAIN_GRACE_S
        except UNREACHABLE as error:
            tracker.forget()
            log.warning("MLflow: %s", error)
            pause = RETRY_S[min(failures, len(RETRY_S) - 1)]
            failures += 1
        if select.select([sys.stdin], [], [], pause)[0]:
            finished = sys.stdin.readline().strip() == FINISH
            sync(tracker, grace_s=grace_s if finished else ORPHAN_GRACE_S)
            return


class MaskingFormatter(logging.Formatter):
    """Writes a record, its traceback included, without the secrets of the addresses in it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines."""
        return masked(super().format(record))


def end_after_the_search(search: int) -> None:
    """End this process a while after the search's, whatever it does then: waits for a server, or is busy with one.

    Args:
        search: the process that started this one.
    """
    while os.getppid() == search:
        time.sleep(POLL_S)
    time.sleep(ORPHAN_LIMIT_S)
    os._exit(1)


def tell_progress(tracker: Tracker, tell: Tell) -> None:
    """Tell the search every second how much got through, where that grew; for a thread of its own."""
    told = None
    while True:
        if tracker.progress != told:
            told = tracker.progress
            tell(SENT, told)
        time.sleep(PROGRESS_S)


def main() -> int:
    """Run as the child process of a search; started by ``TrackerProcess`` alone.

    MLflow is imported by now; each line of standard input is an order: to try a store, to follow a study.
    """
    tell = take_output()
    threading.Thread(target=end_after_the_search, args=(os.getppid(),), daemon=True).start()
    os.umask(0o077)  # MLflow's own database and artifacts, where they lie in the home, are for this user
    sys.excepthook = print_masked_traceback
    tell(UP, None)
    while line := sys.stdin.readline():
        order = json.loads(line)
        take_out(order["uri"])  # known, it is masked in whatever is logged
        if "try" not in order:
            return _follow(order, tell)
        tell(TRIED, try_store(order["uri"], order["try"], artifacts=_folder(order), say=partial(tell, NOTE)))
    return 0  # the search ended before it began


def _follow(order: dict[str, str], tell: Tell) -> int:
    make_private_file(Path(order["log"]))
    log_file = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log_file, 2)
    os.dup2(log_file, 1)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MaskingFormatter("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])

    def say(text: str) -> None:
        log.warning("%s", text)
        tell(NOTE, masked(text))

    ledger = Ledger(order["ledger"])
    study = ledger.study(order["study"])
    paths = Paths(Path(order["home"]), study.name)
    tracker = Tracker(
        ledger,
        study,
        order["uri"],
        folder=paths.folder,
        artifacts=_folder(order),
        say=say,
        handed_on=paths.handed_on,
    )
    threading.Thread(target=tell_progress, args=(tracker, tell), daemon=True).start()
    try:
        follow(tracker)
        send_to_new_store(tracker, order["home"], study.name, say=say)
    except RunError as error:
        log.error("%s", error)
        tell(ENDED, masked(str(error)))
        return 1
    except Exception as error:
        log.exception("MLflow: what nobody expected")
        tell(ENDED, masked(first_line(error)))
        return 1
    else:
        tell(ENDED, None)
    finally:
        ledger.close()
        gc.freeze()  # see ``entry.about_to_exit``: the search waits for this process to be gone
    return 0


def _folder(order: dict[str, str]) -> Path | None:
    return Path(order["artifacts"]) if order["artifacts"] else None


if __name__ == "__main__":
    sys.exit(main())
