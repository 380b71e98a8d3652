"""Runs scripts that print lines of JSON, some at once, within a limit; what was printed before a cut is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.01


@dataclass(frozen=True)
class Ended:
    """What came of the scripts that ran.

    Attributes:
        lines: the JSON objects that each printed.
        seconds: from the first start to the last end.
        error: why it is no whole run: a cut, or a script's exit code and last lines; None where it is one.
        cut: whether the limit ended it.
    """

    lines: list[list[dict[str, Any]]]
    seconds: float
    error: str | None = None
    cut: bool = False

    def values(self, name: str) -> list[float]:
        """Return ``name`` of every line that has it."""
        return [float(line[name]) for lines in self.lines for line in lines if name in line]


@dataclass
class _Running:
    process: subprocess.Popen[str]
    output: Path
    errors: Path
    released: bool = False


def run_scripts(
    scripts: Sequence[Sequence[str]],
    *,
    limit_s: float,
    at_once: int = 1,
    together: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Ended:
    """Run scripts, ``at_once`` at a time; end all where one fails or ``limit_s`` is over.

    Several at a time share the cores: torch's threads of one would wait for those of another.

    Args:
        scripts: module and arguments of each.
        limit_s: seconds for all of them.
        at_once: how many run at a time.
        together: let all, which wait for a line once they have printed ``ready``, go on at the same moment.
        clock: tells seconds.
    """
    started = clock()
    with tempfile.TemporaryDirectory(prefix="lanewise-gpu-") as folder, _killed_at_the_end() as running:
        waiting = list(enumerate(scripts))
        error, cut = None, False
        while error is None and (waiting or any(r.process.poll() is None for r in running)):
            busy = sum(r.process.poll() is None for r in running)
            while waiting and busy < at_once:
                running.append(_start(*waiting.pop(0), Path(folder), at_once=at_once))
                busy += 1
            if together and not waiting and all(r.released or _ready(r) for r in running):
                _release(running)
            error = next((text for r in running if (text := _failure(r)) is not None), None)
            if error is None and clock() - started > limit_s:
                error, cut = f"cut after {limit_s:.0f} s", True
            time.sleep(POLL_S)
        if error is None:
            error = next((text for r in running if (text := _failure(r)) is not None), None)
        seconds = clock() - started
        return Ended([_lines(r.output) for r in running], seconds, error, cut)


def _start(number: int, script: Sequence[str], folder: Path, *, at_once: int) -> _Running:
    threads = {} if at_once == 1 else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // at_once))}
    output, errors = folder / f"{number}.out", folder / f"{number}.err"
    with output.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", *script],
            cwd=ROOT,
            env={**os.environ, **threads},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            text=True,
            start_new_session=True,  # a DataLoader's workers end with it
        )
    return _Running(process, output, errors)


@contextmanager
def _killed_at_the_end() -> Iterator[list[_Running]]:
    """Yield the list of what runs; whatever of it is alive at the end is killed, its children with it."""
    running: list[_Running] = []
    try:
        yield running
    finally:
        for r in running:
            if r.process.poll() is None:
                os.killpg(r.process.pid, signal.SIGKILL)
            r.process.wait()
            if r.process.stdin is not None:
                with suppress(BrokenPipeError):
                    r.process.stdin.close()


def _ready(running: _Running) -> bool:
    return any("ready" in line for line in _lines(running.output))


def _release(running: Sequence[_Running]) -> None:
    for r in running:
        if not r.released and r.process.stdin is not None:
            r.released = True
            with suppress(BrokenPipeError):  # it ended: its exit code says why
                r.process.stdin.write("\n")
                r.process.stdin.flush()


def _failure(running: _Running) -> str | None:
    """Return why a script that has ended failed; None where it did not, or runs."""
    code = running.process.poll()
    if code in (None, 0):
        return None
    last = " / ".join(running.errors.read_text(errors="replace").strip().splitlines()[-3:])
    return f"exit code {code}: {last or 'it said nothing'}"


def _lines(output: Path) -> list[dict[str, Any]]:
    """Return the JSON objects in a file; a line that was cut in writing is none."""
    found = []
    for line in output.read_text(errors="replace").splitlines():
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
