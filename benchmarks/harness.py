"""Contenders measured in interleaved pairs, and the statistics of the pairs."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.process import Cost, progress, run_process

if TYPE_CHECKING:
    from benchmarks.journal import Journal

ROOT = Path(__file__).resolve().parent.parent
HOME = "{home}"
"""Stands in a command for the temporary folder of one run."""

SEED = "{seed}"
"""Stands in a command for the seed of one run."""

QUIET_SHARE = 0.1
"""Other processes may use this share of the cores before a timing is called disturbed."""

LOCK_FILE = Path(tempfile.gettempdir()) / "lanewise-benchmark.lock"
"""Held during each run: ``flock`` a heavy command on it, and the two take turns."""

ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUNBUFFERED": "1"}
"""Set alike for every contender, so that no timing waits for a network; all else is the user's default."""


class BenchmarkError(RuntimeError):
    """A contender failed, or did not say what it was asked for."""


@dataclass(frozen=True)
class Contender:
    """A command that is measured.

    Attributes:
        name: its column in the results.
        argv: the command; the item ``{home}`` becomes a fresh folder in each run.
        private: values that stand as a word in the printed command (a data folder as ``DATA_DIR``).
    """

    name: str
    argv: tuple[str, ...]
    private: tuple[tuple[str, str], ...] = ()

    def command(self, home: str) -> list[str]:
        """Return the command for one run in ``home``."""
        return [home if a == HOME else a for a in self.argv]

    def shown(self) -> str:
        """Return the command as it is printed: without the paths of this machine."""
        words = {sys.executable: "python", HOME: "HOME", SEED: "SEED", **dict(self.private)}
        return shlex.join(words.get(a, a) for a in self.argv)


@dataclass(frozen=True)
class Measurement:
    """What one run of a contender cost, and the JSON object that it printed (empty if none was asked for)."""

    cost: Cost
    output: dict[str, Any]

    @property
    def wall_s(self) -> float:
        """Seconds from the start of the process to its end."""
        return self.cost.wall_s


def measure(contender: Contender, *, reads_json: bool = True, timeout_s: float = 7200) -> Measurement:
    """Run the contender once, in a fresh home that is removed afterwards.

    Raises:
        BenchmarkError: an exit code other than 0, a timeout, or no JSON where some was expected.
    """
    with (
        tempfile.TemporaryDirectory(prefix="lanewise-bench-", ignore_cleanup_errors=True) as folder,
        machine_to_itself(),
    ):
        ended = run_process(contender.command(folder), cwd=ROOT, environment=ENVIRONMENT, timeout_s=timeout_s)
    if ended.timed_out:
        raise BenchmarkError(f"{contender.name}: not done after {timeout_s:g} s: {contender.shown()}")
    if ended.exit_code != 0:
        tail = "\n".join((ended.stdout + ended.stderr).splitlines()[-20:])
        raise BenchmarkError(f"{contender.name}: exit code {ended.exit_code}: {contender.shown()}\n{tail}")
    return Measurement(ended.cost, last_json(ended.stdout, contender.name) if reads_json else {})


def interleaved(
    ours: Contender,
    other: Contender,
    pairs: int,
    *,
    seed: int = 0,
    reads_json: tuple[bool, bool] = (True, True),
    inspect: Callable[[Measurement], object] | None = None,
    journal: Journal | None = None,
) -> list[tuple[Measurement, Measurement]]:
    """Measure A B A B ...; pair i has the seed ``seed + i`` wherever a command holds ``{seed}``.

    ``inspect`` is called with every run, so that an output without what is needed ends the benchmark
    after the first run and not after the last. A pair that the journal has is not measured again.
    """
    results = []
    for i in range(pairs):
        sides = [seeded(contender, seed + i) for contender in (ours, other)]
        kept = journal.find(sides) if journal is not None else None
        if kept is not None:
            progress(f"pair {i + 1}/{pairs}: kept from before")
            results.append(kept)
            continue
        pair = []
        for contender, with_json in zip(sides, reads_json, strict=True):
            run = measure(contender, reads_json=with_json)
            if inspect is not None:
                inspect(run)
            progress(
                f"pair {i + 1}/{pairs} {contender.name}: {run.wall_s:.2f} s, {run.cost.cpu_s:.2f} s CPU, "
                f"others {run.cost.others_cpu_s:.2f} s CPU"
            )
            pair.append(run)
        results.append((pair[0], pair[1]))
        if journal is not None:
            journal.add(sides, results[-1])
    return results


@contextlib.contextmanager
def machine_to_itself() -> Iterator[None]:
    """Wait until no other benchmark of this machine measures; whoever takes the same lock file waits for us."""
    time.sleep(0.2)  # between two of our own runs, so that one who waits gets a turn
    with LOCK_FILE.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def seeded(contender: Contender, seed: int) -> Contender:
    """Return the contender with ``{seed}`` filled in."""
    argv = tuple(str(seed) if a == SEED else a for a in contender.argv)
    return Contender(contender.name, argv, contender.private)


def last_json(text: str, name: str) -> dict[str, Any]:
    """Return the JSON object that ends ``text``, on one line or over several.

    Raises:
        BenchmarkError: there is none.
    """
    lines = text.rstrip().splitlines()
    for start in range(len(lines) - 1, -1, -1):
        if lines[start].startswith("{"):
            try:
                value = json.loads("\n".join(lines[start:]))
            except json.JSONDecodeError:
                continue
            return dict(value)
    raise BenchmarkError(f"{name}: printed no JSON object; its output ends: {' / '.join(lines[-3:])}")


def field(output: dict[str, Any], *names: str) -> float:
    """Return the first of the fields (``best.value`` looks inside ``best``) that ``output`` has.

    Raises:
        BenchmarkError: it has none of them.
    """
    for name in names:
        value: Any = output
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, int | float):
            return float(value)
    raise BenchmarkError(f"the output has no {' or '.join(names)}; it has {', '.join(sorted(output))}")


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write ``median (min - max)``."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} - {high:.{digits}f})"


def add_sides(parser: argparse.ArgumentParser, *sides: str) -> None:
    """Add the options of a benchmark that starts itself, by ``--one``, for each side of its pairs."""
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--one", choices=sides, help="search once, as one side of a pair")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--seed", type=int, default=0)


def cost_rows(sides: Sequence[Contender], pairs: Sequence[tuple[Measurement, Measurement]]) -> list[list[str]]:
    """Return a row a side: its name, the spread of its wall seconds and of its CPU seconds."""
    return [
        [side.name, spread([pair[i].wall_s for pair in pairs]), spread([pair[i].cost.cpu_s for pair in pairs])]
        for i, side in enumerate(sides)
    ]


def disturbance(pairs: Sequence[tuple[Measurement, Measurement]]) -> list[str]:
    """Return a warning, as a list of one, if other work used much of the machine during any run."""
    cores = psutil.cpu_count() or 1
    share = max(run.cost.others_cpu_s / (run.wall_s * cores) for pair in pairs for run in pair)
    if share <= QUIET_SHARE:
        return []
    return [f"**Disturbed:** other processes used up to {share:.0%} of the machine during a run; measure again."]


def ratios(pairs: Sequence[tuple[Measurement, Measurement]], value: Callable[[Measurement], float]) -> list[float]:
    """Return for each pair how many times as much the second cost as the first."""
    return [value(other) / value(ours) if value(ours) else math.inf for ours, other in pairs]
