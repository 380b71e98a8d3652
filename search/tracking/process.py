"""The tracker as a process beside the search: a slow or absent MLflow then costs a trial nothing.

A thread would share the interpreter: each of its Python steps holds the lock that the training loop
needs between two tensor operations (docs/decisions/0003).
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from search.credentials import masked_address, put_back, read_address
from search.errors import RunError
from search.tracking.ahead import take
from search.tracking.messages import ENDED, FINISH, NOTE, SENT, TRIED, UP
from trainables.stage import Stage, stage

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

WITHOUT_IT = "go on without it: --untracked-ok; what it lacks is sent later, or by: python -m search sync NAME"
"""Said to a user whose MLflow server does not answer when a search goes on."""

POLL_S = 0.1


@dataclass(frozen=True)
class Patience:
    """How long the search's process waits for the tracker's, in seconds.

    Attributes:
        up_s: until it has imported MLflow, which is slow on a busy machine.
        answered_s: from then until a server has answered to all that it is tried with.
        made_s: from then until a database has, which may be made first, in forty steps.
        stalled_s: at the end, while nothing gets through.
        sending_s: at the end, all in all.
    """

    up_s: float = 120.0
    answered_s: float = 20.0
    made_s: float = 120.0
    stalled_s: float = 45.0
    sending_s: float = 300.0


class TrackerProcess:
    """A child process that follows the ledger and feeds MLflow; a context manager.

    It is started as early as possible (``ahead.py``) and imports MLflow while the search prepares; ``try_store`` has it
    try the store meanwhile, ``begin`` sets it to work. Whatever it does, waits for or is kept from, this process goes
    on.

    Args:
        uri: MLflow tracking URI.
        artifacts: folder for the artifacts of a local store; None leaves the choice to the server.
        say: is told what it mended in MLflow, once this process waits for it.
        patience: how long this process waits for it.
    """

    def __init__(
        self,
        uri: str,
        *,
        artifacts: Path | None,
        say: Callable[[str], None] = lambda _: None,
        patience: Patience | None = None,
    ) -> None:
        self._store = {"uri": put_back(uri), "artifacts": "" if artifacts is None else str(artifacts)}
        self._say = say
        self._patience = patience or Patience()
        self._process = take()
        self._told: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def _listen(self) -> None:
        """Take what it says, in a thread: a pipe has no time limit."""
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                self._told.put(json.loads(line))
        self._told.put(None)

    def try_store(self, kind: str) -> None:
        """Have it write to the experiment of a study's kind and read that back; ``tried`` has what came of it."""
        self._write(json.dumps({**self._store, "try": kind}))

    def tried(self) -> str | None:
        """Wait for what came of ``try_store``; return in one line why the store is of no use, or None."""
        patience, server = self._patience, self._store["uri"].startswith(("http:", "https:"))
        with stage("waiting for MLflow to be imported, in a process beside this one"):
            failed = self._wait_for(UP, patience.up_s)
        if failed is not None:
            return failed
        with stage(f"writing to MLflow at {masked_address(self._store['uri'])}, to try it"):
            return self._wait_for(TRIED, patience.answered_s if server else patience.made_s)

    def _wait_for(self, sought: str, limit_s: float) -> str | None:
        """Wait until it tells ``sought``, and return what it tells of it; in words where it does not."""
        deadline = time.monotonic() + limit_s
        while True:
            try:
                told = self._told.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return f"no answer in {limit_s:g} s"
            if told is None:
                return self._ended()
            if sought in told:
                return None if told[sought] is None else str(told[sought])
            self._pass_on(told)

    def begin(self, ledger_url: str, study: str, *, home: Path, log: Path) -> None:
        """Follow a study.

        Args:
            ledger_url: the database that holds the study.
            study: the study's name.
            home: folder of all studies.
            log: file that takes what the tracker has to say.
        """
        # what each was given with goes through the pipe: a command line, or its environment, others may see
        order = {"ledger": put_back(ledger_url), "study": study, "home": str(home), "log": str(log)}
        self._write(json.dumps({**self._store, **order}))

    def finish(self, *, stopping: Callable[[], bool] = lambda: False, sending: Stage | None = None) -> str | None:
        """Wait until everything is sent; return None, or in one line why it is not.

        It waits no longer than its patience lasts, whatever the server or the tracker does.

        Args:
            stopping: says whether to wait no longer.
            sending: is told how much got through.
        """
        self._write(FINISH)
        self._close_input()
        began = heard = time.monotonic()
        while True:
            try:
                told = self._told.get(timeout=POLL_S)
            except Empty:
                if (why := self._impatience(began, heard)) is not None or stopping():
                    return why or "a signal ended the sending"
                continue
            heard = time.monotonic()
            if told is None:
                return self._ended()
            if ENDED in told:
                return None if told[ENDED] is None else str(told[ENDED])
            if SENT in told and sending is not None:
                sending.detail = f"{told[SENT]:,} epochs and endings are there"
            self._pass_on(told)

    def _impatience(self, began: float, heard: float) -> str | None:
        """Return why the wait for the end of the sending is over; None while it is not."""
        now, patience = time.monotonic(), self._patience
        if now - heard > patience.stalled_s:
            return f"nothing got through for {patience.stalled_s:g} s"
        return f"it took longer than {patience.sending_s:g} s" if now - began > patience.sending_s else None

    def _pass_on(self, told: dict[str, Any]) -> None:
        if NOTE in told:
            self._say(str(told[NOTE]))

    def _ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1.0)
        return f"the tracking process ended with code {self._process.returncode}"

    def _write(self, line: str) -> None:
        """Send one line; a process that is gone already says why when it is waited for."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _close_input(self) -> None:
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def kill(self) -> None:
        """End the tracker now; what is not sent stays in the ledger."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> TrackerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_input()
        if self._process.poll() is None:
            self.kill()
        self._listener.join()


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
    with stage(f"asking the MLflow server at {masked_address(uri)}"):
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
