"""Runs a function in a process of its own: whatever happens in it (an exit, a crash, a hang) ends that alone."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from trainables.user_code import error_line, place_in_trace

T = TypeVar("T")

GRACE_S = 5.0
"""Seconds after its limit in which the process may end itself, which leaves a trace of where it was."""


STUCK_S = 10.0
"""Seconds without a step, waiting for a lock, after which a forked process is taken for stuck."""

SAMPLE_S = 0.5
"""Seconds between two looks at whether it takes a step."""

ATTEMPTS = 3
"""How often a process is forked: a lock that another thread held at the fork is never released in the child."""


class OwnProcessError(RuntimeError):
    """The process ended without a result; the message says how, and where the user's code was, in one line."""


def in_own_process(function: Callable[[], T], *, limit_s: float, quiet: bool = False) -> T:
    """Call ``function`` in a process of its own and return what it returns, which must be picklable.

    On Linux the process is forked, which takes some 10 ms, and torch has one thread in it, as in a worker of a
    ``DataLoader``: the threads of a pool are not there after a fork, nor are those that hold a lock; a process that
    waits for one is ended, and another forked. Elsewhere, and where CUDA is in use already, it
    is started anew, and ``function`` must be picklable. What it prints goes to standard error.

    Args:
        function: takes nothing; what it raises is an ``OwnProcessError`` here.
        limit_s: seconds until the process is ended.
        quiet: whether what it prints is dropped.

    Raises:
        OwnProcessError: it raised, exited, crashed, or was not done in time.
    """
    method = _method()
    for attempt in range(ATTEMPTS):
        last = method != "fork" or attempt == ATTEMPTS - 1
        found = _attempt(function, method, limit_s=limit_s, quiet=quiet, stuck_s=None if last else STUCK_S)
        if found is not None:
            break
    assert found is not None, "the last attempt waits until the limit"
    done, value = found
    if not done:
        raise OwnProcessError(value)
    result: T = value
    return result


def _attempt(
    function: Callable[[], object], method: str, *, limit_s: float, quiet: bool, stuck_s: float | None
) -> tuple[bool, Any] | None:
    """Return whether a process is done and what it sent, else how it ended; None where it was stuck for ``stuck_s``."""
    context: Any = multiprocessing.get_context(method)
    receiving, sending = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="lanewise-") as folder, receiving:
        trace = Path(folder) / "trace"
        child = context.Process(target=_child, args=(function, sending, str(trace), limit_s, quiet), daemon=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads; see above
            child.start()
        sending.close()
        try:
            ended = [receiving, child.sentinel]
            in_time = bool(wait(ended, timeout=min(limit_s + GRACE_S, stuck_s or limit_s + GRACE_S)))
            if not in_time and stuck_s is not None and stuck_s < limit_s:
                if _is_stuck(child.pid):
                    return None
                in_time = bool(wait(ended, timeout=limit_s + GRACE_S - stuck_s))
            found = _received(receiving)
            if found is None:
                child.join(0.5)  # its pipe is closed before it is gone
        finally:
            child.kill()
            child.join()
        return found or (False, _how_it_ended(child.exitcode, trace, limit_s, in_time=in_time))


def _method() -> str:
    torch = sys.modules.get("torch")
    in_use = torch is not None and torch.cuda.is_initialized()  # CUDA does not survive a fork
    return "fork" if sys.platform == "linux" and not in_use else "spawn"


def _is_stuck(process: int) -> bool:
    """Say whether a process waits for a lock and takes no step meanwhile, as far as Linux says so."""
    first = _steps(process)
    time.sleep(SAMPLE_S)
    return first is not None and _steps(process) == first


def _steps(process: int) -> tuple[str, str] | None:
    """Return the processor time of a process that waits for a lock; None where it does not, or it is not known."""
    try:
        if "futex" not in Path(f"/proc/{process}/wchan").read_text():
            return None
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[11], fields[12]  # in user and in system mode


def _received(receiving: Connection) -> tuple[bool, Any] | None:
    """Return what the process sent: whether it is done, and the result or what it raised; None if it sent nothing."""
    try:
        return receiving.recv() if receiving.poll() else None
    except (EOFError, OSError):
        return None


def _child(function: Callable[[], object], sending: Connection, trace: str, limit_s: float, quiet: bool) -> None:
    """Send what ``function`` returns, or what it raised in one line, and end this process at once."""
    code = 1
    with contextlib.suppress(BaseException):
        with contextlib.suppress(ValueError):  # beside the main thread, of a process that was started anew
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends this process
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        file = open(trace, "w")  # noqa: SIM115 - open until the process is gone
        faulthandler.disable()  # else it takes its handlers for set, though a library (Ray) may have put its own there
        faulthandler.enable(file)
        faulthandler.dump_traceback_later(limit_s, exit=True, file=file)
        _redirect_output(quiet)
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(1)
        try:
            answer: tuple[bool, Any] = (True, function())
        except BaseException as error:
            answer = (False, f"raised {error_line(error)}")
        sending.send(answer)
        code = 0
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
    os._exit(code)  # without waiting for threads that the function left


def _redirect_output(quiet: bool) -> None:
    """Send what is printed to standard error, where it cannot be taken for an answer; or nowhere."""
    with contextlib.suppress(OSError):
        target = os.open(os.devnull, os.O_WRONLY) if quiet else 2
        os.dup2(target, 1)
    sys.stdout = open(os.devnull, "w") if quiet else sys.stderr  # noqa: SIM115


def _how_it_ended(code: int | None, trace: Path, limit_s: float, *, in_time: bool) -> str:
    text = trace.read_text(errors="replace") if trace.exists() else ""
    place = place_in_trace(text)
    where = f" ({place})" if place else ""
    if not in_time or text.startswith("Timeout"):
        return f"was not done within {limit_s:g} s{where}"
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = ": was there enough memory?" if name == "SIGKILL" else ""
        return f"ended its process with {name}{where}{hint}"
    return f"ended its process with exit code {code}, as os._exit does"
