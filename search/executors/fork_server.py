"""Processes for code of the user's own: forked by a server that has imported what trials need, and nothing else.

A process that begins anew takes seconds to import torch, and one that the driver forked would hold its locks, its
database and its sockets. This server has one thread and none of these. It is started as early as it is known that it
will be needed, and imports while the search prepares.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from weakref import WeakSet

from search.errors import RunError
from search.executors.forked import Ended, Fork, Hold, Import, kill_with_theirs, send_bytes
from trainables.fresh_process import start_module
from trainables.machine import THIS_MACHINE
from trainables.user_code import place_in_trace

TAIL = 1 << 16
"""Bytes of what a process printed last in which is looked for where it crashed."""

_ahead: list[ForkServer] = []
"""The server that was started and nobody has taken."""


def can_fork() -> bool:
    """Say whether processes are forked here: on Linux; elsewhere the system's own libraries may not survive it."""
    return sys.platform == "linux"


@contextlib.contextmanager
def server_started_ahead(wanted: bool) -> Iterator[None]:
    """Start a server, if ``wanted`` and none was, for each ``fork_server`` inside, one after another."""
    if not wanted or _ahead:
        yield
        return
    _ahead.append(ForkServer())
    try:
        yield
    finally:
        while _ahead:
            _ahead.pop().close()


@contextlib.contextmanager
def fork_server() -> Iterator[ForkServer]:
    """Yield a server: the one that was started ahead, or one that ends here; what it forked and holds ends here."""
    ahead = bool(_ahead)
    server = _ahead.pop() if ahead else ForkServer()
    try:
        yield server
        if ahead:
            server.let_go()
            _ahead.append(server)
    finally:
        if server not in _ahead:
            server.close()


@dataclass(frozen=True)
class ForkedProcess:
    """A process that a server forked.

    Attributes:
        pid: its id.
        connection: to what it runs.
        log: file to which what it prints is added.
        log_start: bytes that were there before.
        killed_for_memory: how many processes the system had ended for want of memory before.
    """

    pid: int
    connection: Connection
    log: Path
    log_start: int
    killed_for_memory: int

    def kill(self) -> None:
        """End it now, with what it started; its id is not given to another process before ``ForkServer.ended``."""
        kill_with_theirs(self.pid)


_open: WeakSet[ForkServer] = WeakSet()


def _let_go_in_a_fork() -> None:
    """Close the connections in a process that the driver forked: they would not end with the driver."""
    for server in _open:
        server.disconnect()


os.register_at_fork(after_in_child=_let_go_in_a_fork)


class ForkServer:
    """A process with torch in it that forks others; they end with it, and it ends with this one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = start_module(
                "search.executors.forked",
                str(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._connection = Connection(os.dup(self._socket.fileno()))
        self._forked: dict[int, ForkedProcess] = {}
        _open.add(self)

    def hold(self, *values: object) -> None:
        """Have each process that is forked from now on be given values, whose arrays they share until they write.

        Raises:
            RunError: the server has ended.
        """
        import cloudpickle

        buffers: list[pickle.PickleBuffer] = []
        head = cloudpickle.dumps(values, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        with self._answering():
            self._connection.send(Hold(len(head), [view.nbytes for view in views]))
            for view in (memoryview(head), *views):
                send_bytes(self._connection, view)

    def import_ahead(self, module: str) -> None:
        """Have a module imported, once for each process that is forked from now on.

        Raises:
            RunError: the server has ended.
        """
        with self._answering():
            self._connection.send(Import(module))

    def fork(self, target: Callable[..., None], *values: Any, log: Path) -> ForkedProcess:
        """Fork a process that calls ``target(connection, *held, *values)``, with our folder, path and environment.

        Args:
            target: of a module; the other end of its connection is the process's here.
            values: handed on, pickled.
            log: file to which what the process prints is added.

        Raises:
            RunError: the server has ended.
        """
        import cloudpickle

        call = cloudpickle.dumps((target, values))
        log_start = log.stat().st_size if log.exists() else 0
        killed = THIS_MACHINE.killed_for_memory()
        ours, theirs = socket.socketpair()
        with ours, theirs, self._answering():
            self._connection.send(Fork(call, os.getcwd(), list(sys.path), dict(os.environ), str(log.absolute())))
            socket.send_fds(self._socket, [b"+"], [theirs.fileno()])
            pid = int(self._connection.recv())
            connection = Connection(ours.detach())
        process = self._forked[pid] = ForkedProcess(pid, connection, log, log_start, killed)
        return process

    def ended(self, process: ForkedProcess) -> tuple[str, bool]:
        """Wait for the end of a process that has ended, or was killed.

        Returns:
            In a line how it ended, and where as far as that is known; whether it was for want of memory.

        Raises:
            RunError: the server has ended.
        """
        process.connection.close()
        self._forked.pop(process.pid, None)
        with self._answering():
            self._connection.send(Ended(process.pid))
            code = int(self._connection.recv())
        killed = code == -signal.SIGKILL and THIS_MACHINE.killed_for_memory() > process.killed_for_memory
        return _how_it_ended(code, _printed(process), process.log.name), killed

    def let_go(self) -> None:
        """End what was forked, and hold nothing.

        Raises:
            RunError: the server has ended.
        """
        for process in [*self._forked.values()]:
            process.kill()
            self.ended(process)
        self.hold()

    def close(self) -> None:
        """End the server and all that it forked."""
        for process in self._forked.values():
            if self._process.poll() is None:  # else their ids may be others' by now
                process.kill()
        self.disconnect()
        _open.discard(self)
        self._process.kill()
        self._process.wait()

    def disconnect(self) -> None:
        """Close what leads to the server and to what it forked."""
        for process in self._forked.values():
            process.connection.close()
        self._connection.close()
        self._socket.close()

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1.0)
            code = self._process.returncode
            raise RunError(f"the process that starts those of the trials ended (code {code}): {error!r}") from None


def _printed(process: ForkedProcess) -> str:
    """Return what a process added to its log last, which may be much."""
    try:
        with process.log.open("rb") as file:
            file.seek(max(process.log_start, process.log.stat().st_size - TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _how_it_ended(code: int, printed: str, log: str) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}" + (f", see {log}" if code and printed else "")
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    place = place_in_trace(printed)
    where = f" ({place})" if place else ""
    hint = ": was there enough memory?" if name == "SIGKILL" else ""
    return f"its process ended with {name}{where}{hint}"
