"""The tracker's process: it feeds MLflow from the ledger, and at the end hands on a report and a model.

Started by ``search.tracking.process.TrackerProcess`` alone.
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    # `ray job stop`, like a machine that shuts down, signals every process; this one ends with its input.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that is closed tells all that it started

from search.export.hand_on import HandOn
from search.tracking.follow import main

if __name__ == "__main__":
    sys.exit(main(HandOn))
