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
from pathlib import Path

if __name__ == "__main__":
    # `ray job stop`, like a machine that shuts down, signals every process; this one ends with its input.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

from search.credentials import masked, print_masked_traceback, take_out
from search.errors import RunError
from search.ledger import Ledger
from search.ledger.private_files import make_private_file
from search.tracking.mlflow_client import UNREACHABLE
from search.tracking.process import FINISH
from search.tracking.tracker import Tracker

POLL_S = 0.5
"""How often the tracker looks for what is new in the ledger."""
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


def main() -> int:
    """Run as the child process of a search; started by ``TrackerProcess`` alone.

    MLflow is imported by now; the first line of standard input says what to follow.
    """
    line = sys.stdin.readline()
    if not line:
        return 0  # the search ended before it began
    threading.Thread(target=end_after_the_search, args=(os.getppid(),), daemon=True).start()
    order = json.loads(line)
    os.umask(0o077)  # MLflow's own database and artifacts, where they lie in the home, are for this user
    make_private_file(Path(order["log"]))
    log_file = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log_file, 2)
    sys.excepthook = print_masked_traceback
    take_out(order["uri"])  # known, it is masked in whatever is logged
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MaskingFormatter("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    ledger = Ledger(order["ledger"])
    artifacts = Path(order["artifacts"]) if order["artifacts"] else None
    tracker = Tracker(ledger, ledger.study(order["study"]), order["uri"], artifacts=artifacts)
    try:
        follow(tracker)
    except RunError as error:
        log.error("%s", error)
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    finally:
        ledger.close()
        gc.freeze()  # see ``entry.about_to_exit``: the search waits for this process to be gone
    return 0


if __name__ == "__main__":
    sys.exit(main())
