"""The tracker as a process beside the search: a slow or absent MLflow then costs a trial nothing.

A thread would share the interpreter: each of its Python steps holds the lock that the training loop
needs between two tensor operations (docs/decisions/0003).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from types import TracebackType

from search.credentials import put_back, read_address
from search.errors import RunError

FINISH = "finish"
"""The line that tells the tracker that the ledger is complete."""

UID = "lanewise.study_uid"
"""The tag that tells two studies of the same name apart; its value is the fact ``uid``."""

PREFLIGHT_S = 5.0

NOBODY_BEHIND = (502, 503, 504)
"""What a proxy answers whose server is down."""

OTHERWISE = (
    "search with --tracking offline and send the runs later with: python -m search sync NAME; "
    "--untracked-ok searches all the same, and sends what it can when it can"
)
"""What a user can do who has no server now and begins a search."""


class TrackerProcess:
    """A child process that follows the ledger and feeds MLflow; a context manager.

    It is started as early as possible and imports MLflow while the search prepares; ``begin`` sets it
    to work.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "search.tracking.follow"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # until it knows its log
            text=True,
            start_new_session=True,  # Ctrl-C is for the search; the tracker ends with its input
        )

    def begin(self, ledger_url: str, study: str, uri: str, *, artifacts: Path | None, log: Path) -> None:
        """Follow a study.

        Args:
            ledger_url: the database that holds the study.
            study: the study's name.
            uri: MLflow tracking URI.
            artifacts: folder for the artifacts of a local store; None leaves the choice to the server.
            log: file that takes what the tracker has to say.
        """
        # what each was given with goes through the pipe, too: a command line, or its environment, others may see
        order = {"ledger": put_back(ledger_url), "study": study, "uri": put_back(uri), "log": str(log)}
        order["artifacts"] = "" if artifacts is None else str(artifacts)
        self._write(json.dumps(order))

    def finish(self) -> str | None:
        """Wait until everything is sent; return None, or in one line why it is not."""
        self._write(FINISH)
        output, _ = self._process.communicate()
        if self._process.returncode == 0:
            return None
        try:
            return str(json.loads(output)["error"])
        except (ValueError, KeyError):
            return f"the tracking process ended with code {self._process.returncode}"

    def _write(self, line: str) -> None:
        """Send one line; a process that is gone already says why when it is waited for."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """End the tracker now; what is not sent stays in the ledger."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> TrackerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def check_server(uri: str, *, otherwise: str = OTHERWISE) -> None:
    """Ask an MLflow server for its health; stores that are files or databases need no server.

    Args:
        uri: MLflow tracking URI.
        otherwise: what the user can do, besides starting it.

    Raises:
        RunError: it does not answer within 5 seconds.
    """
    if (reason := unanswered(uri)) is not None:
        raise RunError(f"the MLflow server at {uri} does not answer ({reason}); start it, or {otherwise}")


def unanswered(uri: str) -> str | None:
    """Return why the server at ``uri`` is of no use now, after 5 seconds at most; None where it answers."""
    uri = read_address(uri).bare
    if not uri.startswith(("http://", "https://")):
        return None
    failed: list[str] = []
    # in a thread: a name with several addresses, or one that is looked up slowly, takes its time for each part
    asking = threading.Thread(target=lambda: failed.extend(_health(uri)), daemon=True)
    asking.start()
    asking.join(PREFLIGHT_S)
    if asking.is_alive():
        return f"no answer in {PREFLIGHT_S:g} s"
    return failed[0] if failed else None


def _health(uri: str) -> list[str]:
    """Return what is wrong with the server; nothing where it answers."""
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PREFLIGHT_S):
            return []
    except urllib.error.HTTPError as error:
        # a proxy may keep /health to itself; or say that there is nothing behind it
        return [f"HTTP {error.code}"] if error.code in NOBODY_BEHIND else []
    except (OSError, HTTPException, ValueError) as error:
        return [str(getattr(error, "reason", error))]
