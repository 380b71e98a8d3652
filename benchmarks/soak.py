"""Whether a long search leaves nothing behind it: descriptors, threads and memory of the driver and its children."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.harness import machine_to_itself
from benchmarks.record import add_results, shown_command, table, verdict, write_section
from search.declaration.studies import find
from search.declaration.study import Study
from search.drive.engine import conduct
from search.drive.examples import load_data
from search.executors.progress import Progress
from search.face.live_view import Silent

SAMPLES = 40
"""Looks at the processes in one search."""

SHARE = 5
"""The start and the end are one look in so many each; the first looks, while all is being set up, count for none."""

FEWEST = SAMPLES


@dataclass(frozen=True)
class Look:
    """What the driver and its children held at one moment.

    Attributes:
        descriptors, threads, memory_mib: of the driver; memory is resident.
        children: processes below it.
        children_mib: the resident memory of these together.
    """

    descriptors: int
    threads: int
    memory_mib: float
    children: int
    children_mib: float

    @classmethod
    def now(cls, driver: psutil.Process) -> Look:
        """Look at ``driver`` and at what it started."""
        children = driver.children(recursive=True)
        return cls(
            driver.num_fds(),
            driver.num_threads(),
            driver.memory_info().rss / 2**20,
            len(children),
            sum(map(_resident_mib, children)),
        )


def _resident_mib(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


class Looks(Silent):
    """A view that looks at the processes ``SAMPLES`` times in a search."""

    def __init__(self, trials: int) -> None:
        self._every = trials // SAMPLES
        self._next = self._every
        self._driver = psutil.Process()
        self.looks: list[Look] = []

    def update(self, progress: Progress) -> None:
        """Look, if it is time to."""
        if progress.ended >= self._next:
            self._next = progress.ended + self._every
            self.looks.append(Look.now(self._driver))

    def ends(self, name: str) -> tuple[float, float]:
        """Return the median of a figure at the start, once everything runs, and at the end."""
        values = [float(getattr(look, name)) for look in self.looks]
        part = max(1, len(values) // SHARE)
        return statistics.median(values[part : 2 * part]), statistics.median(values[-part:])


def soak(executor: str, trials: int, home: Path) -> Looks:
    """Search in one executor, with checkpoints and MLflow, and return what was seen meanwhile."""
    declared = find("regularization").model_dump()
    changes = {
        "name": f"soak-{executor}",
        "sampler": "random",
        "executor": executor,
        "budget": {"trials": trials, "max_epochs": 3},
        "scheduler": {**declared["scheduler"], "grace": 1},
        "checkpoint_every_s": 1,
        "confirm": {"pairs": 0},
        "data": {**declared["data"], "train_examples": 300},
    }
    looks = Looks(trials)
    with machine_to_itself():
        result = conduct(Study.model_validate({**declared, **changes}), home, load_data, view=looks)
    assert result.answer.trials == trials
    return looks


def rows(executor: str, trials: int, looks: Looks) -> list[list[str]]:
    """Return a line of the table for each figure."""
    names = ("descriptors", "threads", "memory_mib", "children", "children_mib")
    shown = []
    for name in names:
        start, end = looks.ends(name)
        values = [getattr(look, name) for look in looks.looks]
        spread = f"{min(values):.0f} - {max(values):.0f}"
        shown.append([executor, str(trials), name, f"{start:.0f}", f"{end:.0f}", f"{end - start:+.0f}", spread])
    return shown


def body(found: Sequence[tuple[str, int, Looks]]) -> str:
    """Return the section's text."""
    header = ["executor", "trials", "figure", "start", "end", "more", "least - most"]
    lines = [
        "The regularization study on 300 digits, 3 epochs, random sampler, checkpoints every second, MLflow on SQLite. "
        f"{SAMPLES} looks at the processes in each search; start: the median of the second fifth of them, end: of the "
        "last. Memory is resident, in MiB; the children are the tracker's process and, in tune, all of Ray's.",
        table(header, [row for executor, trials, looks in found for row in rows(executor, trials, looks)]),
    ]
    for executor, _, looks in found:
        for name, most, unit in (("descriptors", 5, ""), ("threads", 2, ""), ("memory_mib", 64, " MiB")):
            start, end = looks.ends(name)
            lines.append(verdict(f"{executor}: more {name}", end - start, most, at_least=False, unit=unit))
    return "\n\n".join(lines)


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--lanes-trials", type=int, default=2000)
    parser.add_argument("--tune-trials", type=int, default=200)
    add_results(parser)
    arguments = parser.parse_args()
    asked = {"lanes": arguments.lanes_trials, "tune": arguments.tune_trials}
    for executor, trials in asked.items():
        if trials < FEWEST:
            parser.error(f"--{executor}-trials must be >= {FEWEST}, got {trials}")
    with tempfile.TemporaryDirectory(prefix="lanewise-soak-") as folder:
        found = [(executor, trials, soak(executor, trials, Path(folder))) for executor, trials in asked.items()]
    write_section("soak", shown_command("benchmarks.soak"), body(found), arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
