"""Runs a command as a whole process and measures what it and all its descendants cost.

Nothing heavy is imported here: the measuring process shares its cores with what it measures.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

SAMPLE_EVERY_S = 0.25
LEFTOVER_GRACE_S = 30.0

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Cost:
    """What one run of a command cost.

    Attributes:
        wall_s: from the start of the process to its end.
        cpu_s: user and system time of the process and of all its descendants, daemons included. Exact
            where parents wait for their children; Ray's raylet does not wait for its workers, whose time
            is then the last sample of each (a quarter of a second too little at most).
        largest_process_mib: peak resident memory of the largest single process among them (of processes that
            nobody waits for: as sampled).
        tree_mib: peak of all processes together, shared pages counted once (sampled).
        others_cpu_s: CPU time that the rest of the machine used meanwhile; a large one spoils the timing.
    """

    wall_s: float
    cpu_s: float
    largest_process_mib: float
    tree_mib: float
    others_cpu_s: float


@dataclass(frozen=True)
class Ended:
    """A process that is over: what it printed, how it ended, what it cost."""

    exit_code: int
    timed_out: bool
    stdout: str
    stderr: str
    cost: Cost


def run_process(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], timeout_s: float) -> Ended:
    """Run ``command`` to its end, with ``environment`` on top of ours, and leave no process behind."""
    _adopt_orphans()
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        busy_before_s = _machine_busy_s()
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            with _Watch(timeout_s) as watch:
                status, wall_s, usages = _wait(process, started)
        except BaseException:
            _end(_descendants())
            raise
        largest_mib = max(max(u.ru_maxrss for u in usages) / _MAXRSS_PER_MIB, watch.largest_mib)
        cpu_s = max(sum(u.ru_utime + u.ru_stime for u in usages), watch.cpu_s)
        others_cpu_s = max(0.0, _machine_busy_s() - busy_before_s - cpu_s)
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        return Ended(
            exit_code=process.returncode,
            timed_out=watch.timed_out,
            stdout=stdout.read(),
            stderr=stderr.read(),
            cost=Cost(
                wall_s=wall_s,
                cpu_s=cpu_s,
                largest_process_mib=largest_mib,
                tree_mib=max(watch.together_mib, largest_mib),
                others_cpu_s=others_cpu_s,
            ),
        )


def progress(line: str) -> None:
    """Tell the person waiting what was just measured."""
    print(line, file=sys.stderr, flush=True)


_MAXRSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10
"""``ru_maxrss`` counts bytes on macOS and KiB elsewhere."""


def _machine_busy_s() -> float:
    """Return the CPU seconds that all processes of the machine have used, over all cores."""
    times = psutil.cpu_times()
    idle = ("idle", "iowait", "guest", "guest_nice")  # guest time is part of user time already
    return float(sum(getattr(times, name) for name in times._fields if name not in idle))


def _adopt_orphans() -> None:
    """Become the parent of daemons whose own parent ends, so that their CPU time is counted too.

    Ray's raylet and workers outlive the process that started them by a moment. Linux only; elsewhere
    their CPU time is missing from ``cpu_s``.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait(process: subprocess.Popen[Any], started: float) -> tuple[int, float, list[Any]]:
    """Reap the process and everything it leaves behind; return its status, its wall time, all usages."""
    usages, status, wall_s = [], 0, 0.0
    while True:
        pid, ended, usage = os.wait4(-1, 0)
        usages.append(usage)
        if pid == process.pid:
            status, wall_s = ended, time.perf_counter() - started
            break
    deadline = time.monotonic() + LEFTOVER_GRACE_S
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return status, wall_s, usages
        if pid:
            usages.append(usage)
        elif time.monotonic() < deadline:
            time.sleep(0.02)
        else:
            left = _descendants()
            progress(f"ended {len(left)} processes that outlived their parent by {LEFTOVER_GRACE_S:g} s")
            _end(left)
            deadline = math.inf


def _descendants() -> list[psutil.Process]:
    """Return the processes of the run in progress: all that the harness has, adopted orphans included."""
    return psutil.Process().children(recursive=True)


def _end(processes: Sequence[psutil.Process]) -> None:
    """End processes that this harness started."""
    for p in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            p.kill()


class _Watch:
    """Samples memory and CPU time of the run in progress, and ends it after a time limit."""

    def __init__(self, timeout_s: float) -> None:
        self.together_mib = 0.0
        self.largest_mib = 0.0
        self._cpu_s: dict[psutil.Process, float] = {}
        self.timed_out = False
        self._timeout_s = timeout_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def cpu_s(self) -> float:
        """The CPU time of all processes, each as last seen."""
        return sum(self._cpu_s.values())

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        deadline = time.monotonic() + self._timeout_s
        while not self._done.wait(SAMPLE_EVERY_S):
            processes = _descendants()
            self._sample(processes)
            if time.monotonic() > deadline and not self.timed_out:
                self.timed_out = True
                _end(processes)

    def _sample(self, processes: Sequence[psutil.Process]) -> None:
        """Note CPU time and memory; Ray's object store and the pages of libraries are shared and count once."""
        private, shared = 0, 0
        for p in processes:
            with contextlib.suppress(psutil.Error):
                times, memory = p.cpu_times(), p.memory_info()
                self._cpu_s[p] = times.user + times.system
                mapped = getattr(memory, "shared", 0)
                private += memory.rss - mapped
                shared = max(shared, mapped)
                self.largest_mib = max(self.largest_mib, memory.rss / 2**20)
        self.together_mib = max(self.together_mib, (private + shared) / 2**20)
