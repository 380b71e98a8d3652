"""What the processes of a fork server run: the server itself, and each process that it forks.

The server is told over a connection what to hold, when to fork, and whose end to tell. It runs no code but ours, and
has one thread: the processes that it forks begin with torch imported and no lock held.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import io
import mmap
import os
import pickle
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

AHEAD = (
    "search.brain.optuna_samplers",
    "search.executors.lane_host",
    "search.executors.lane_workers",
    "trainables.lanes.modules.network",
    "trainables.pair_run",
    "trainables.user_model",
)
"""What trials need: each process that is forked has it."""

CHUNK = 16 << 20
"""Bytes that go through a connection at once."""

PATIENCE_S = 2.0
"""Seconds that a process may go on without its connection."""

PR_SET_PDEATHSIG = 1
"""Of Linux's ``prctl``: a signal that the process gets when its parent ends."""


@dataclass(frozen=True)
class Hold:
    """Chunks follow: of a pickle, and of the buffers that it refers to.

    Attributes:
        head: bytes of the pickle.
        buffers: bytes of each buffer.
    """

    head: int
    buffers: Sequence[int]


@dataclass(frozen=True)
class Fork:
    """A descriptor follows, the connection of the process to be forked.

    Attributes:
        call: (target, values), pickled.
        folder: where it works.
        path: where it imports from.
        environment: its variables.
        log: file to which what it prints is added.
    """

    call: bytes
    folder: str
    path: Sequence[str]
    environment: dict[str, str]
    log: str


@dataclass(frozen=True)
class Import:
    """Asks for a module to be imported.

    Attributes:
        module: its dotted name; none of the user's.
    """

    module: str


@dataclass(frozen=True)
class Ended:
    """Asks how a process ended.

    Attributes:
        pid: its id.
    """

    pid: int


Held = tuple[bytes, list[mmap.mmap | bytearray]]


def send_bytes(connection: Connection, view: memoryview) -> None:
    """Send some bytes, a chunk at a time."""
    flat = view.cast("B")
    for start in range(0, len(flat), CHUNK):
        connection.send_bytes(flat[start : start + CHUNK])


def serve(descriptor: int) -> None:
    """Carry out what comes over a socket, until it is closed; the processes that were forked end with this one."""
    for name in AHEAD:
        importlib.import_module(name)
    carrier = socket.socket(fileno=descriptor)
    connection = Connection(os.dup(descriptor))
    held: Held = (pickle.dumps(()), [])
    forked: set[int] = set()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            asked = connection.recv()
            if isinstance(asked, Hold):
                held = bytes(_received(connection, asked.head)), [_received(connection, n) for n in asked.buffers]
            elif isinstance(asked, Fork):
                _, (own,), _, _ = socket.recv_fds(carrier, 1, 1)
                os.set_inheritable(own, False)
                pid = os.fork()
                if pid == 0:
                    connection.close()
                    carrier.close()
                    _run(asked, held, own)  # which does not return
                _lead_a_group(pid)
                forked.add(pid)
                os.close(own)
                connection.send(pid)
            elif isinstance(asked, Import):
                importlib.import_module(asked.module)
            elif isinstance(asked, Ended):
                forked.discard(asked.pid)
                connection.send(_exit_code(asked.pid))
    for pid in forked:
        kill_with_theirs(pid)


def kill_with_theirs(pid: int) -> None:
    """Kill a process whose end was not asked for yet, and those that its code started; they are a group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _lead_a_group(pid: int) -> None:
    """Make a process the first of a group, both here and there: whoever comes first."""
    with contextlib.suppress(OSError):  # it did so, or has ended
        os.setpgid(pid, pid)


def _exit_code(pid: int) -> int:
    """Wait for the end of a process, whose connection is closed, and return its code; kill one that goes on.

    What it started ends with it.
    """
    deadline = time.monotonic() + PATIENCE_S
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    kill_with_theirs(pid)  # before it is waited for, when another may get its id
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _received(connection: Connection, size: int) -> mmap.mmap | bytearray:
    """Return so many bytes that come in chunks, in memory of their own pages, which forks share until they write."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) if size else bytearray()
    at = 0
    while at < size:
        at += connection.recv_bytes_into(memory, at)
    return memory


class _Printed(io.FileIO):
    """What is printed; where there is no room for it, it is lost: no trial is to fail of that."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def _printing(descriptor: int) -> io.TextIOWrapper:
    raw = io.BufferedWriter(_Printed(descriptor, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _run(begin: Fork, held: Held, descriptor: int) -> None:
    """Call what the driver asked for, in the process that was forked for it, and end that."""
    code = 1
    try:
        _lead_a_group(os.getpid())
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):  # where memory runs out, this one rather than the search
            Path("/proc/self/oom_score_adj").write_text("500")
        log = os.open(begin.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for printed_to in (1, 2):
            os.dup2(log, printed_to)
        sys.stdout, sys.stderr = _printing(1), _printing(2)
        faulthandler.enable()
        signal.signal(signal.SIGINT, lambda *_: None)  # no terminal's: a KeyboardInterrupt is the trial's own, then
        np.random.seed()  # each would draw the same otherwise; Python's own generator sees to that itself
        os.environ.clear()
        os.environ.update(begin.environment)
        os.chdir(begin.folder)
        sys.path[:] = begin.path
        with Connection(descriptor) as connection, contextlib.suppress(EOFError, ConnectionError):
            # the end of this process is to be seen though one that the user's code forked goes on
            os.register_at_fork(after_in_child=connection.close)
            target, values = pickle.loads(begin.call)
            head, buffers = held
            target(connection, *pickle.loads(head, buffers=buffers), *values)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)  # without waiting for threads of the user's


if __name__ == "__main__":
    # by its own name: what is asked for is of classes of that module
    from search.executors import forked

    forked.serve(int(sys.argv[1]))
