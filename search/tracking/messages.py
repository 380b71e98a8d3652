"""What the tracker's process and the search's say to each other, a line each."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

FINISH = "finish"
"""The line that tells the tracker that the ledger is complete."""

UP = "up"
"""It has imported MLflow."""
TRIED = "tried"
"""It has tried a store; why that is of no use, or None."""
NOTE = "note"
"""It has mended something in MLflow, which is to be said."""
SENT = "sent"
"""So many epochs and endings got through until now."""
ENDED = "ended"
"""It is done; why not everything was sent, or None."""

Tell = Callable[[str, Any], None]


def take_output() -> Tell:
    """Return what tells the search's process something, and take its pipe from everything else in this process.

    What MLflow prints goes to standard error from then on.
    """
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(2, 1)
    lock = threading.Lock()

    def tell(kind: str, value: Any) -> None:
        with lock:
            try:
                print(json.dumps({kind: value}), file=pipe, flush=True)
            except OSError:  # nobody listens any more: the search is gone
                return

    return tell
