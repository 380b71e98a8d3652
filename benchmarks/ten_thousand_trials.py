"""Whether a long search stays as fast and as small as it began: 10,000 trials of a trainable that costs nothing."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.harness import HOME, Contender, Measurement, machine_to_itself, measure, spread
from benchmarks.record import add_results, shown_command, table, verdict, write_section
from search.declaration.studies import find
from search.declaration.study import Study
from search.drive.engine import conduct
from search.drive.examples import load_data
from search.drive.result import Result
from search.executors.progress import Progress
from search.face.live_view import Silent

NAME = "long"
WINDOW = 100
"""Trials of one figure: a median over windows does not notice the odd garbage collection or transaction."""

FEWEST = 5 * WINDOW
"""Fewer trials have no start and no end of their own."""

TPE_S = 180.0
"""Seconds that a search of 10,000 trials by tpe may take."""

SHARE = 10
"""The start and the end of a search are one part in so many of its trials each."""


@dataclass(frozen=True)
class Mark:
    """Where a search stood at one moment.

    Attributes:
        ended: trials.
        wall_s, cpu_s: of clocks; only differences mean something.
        memory_mib: resident, of this process.
    """

    ended: int
    wall_s: float
    cpu_s: float
    memory_mib: float


class Marks(Silent):
    """A view that notes where the search stands, every ``WINDOW`` trials."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []
        self._process = psutil.Process()

    def update(self, progress: Progress) -> None:
        """Take a mark if it is time to."""
        if not self.marks or progress.ended >= self.marks[-1].ended + WINDOW:
            memory = self._process.memory_info().rss / 2**20
            self.marks.append(Mark(progress.ended, time.perf_counter(), time.process_time(), memory))

    def costs_ms(self, clock: Callable[[Mark], float]) -> tuple[list[float], list[float]]:
        """Return the milliseconds of a trial in each window of the start and of the end of the search."""
        pairs = list(zip(self.marks, self.marks[1:], strict=False))
        costs = [1000 * (clock(b) - clock(a)) / (b.ended - a.ended) for a, b in pairs]
        part = max(1, len(costs) // SHARE)
        return costs[1 : part + 1], costs[-part:]  # the first holds what is done once

    @property
    def growth_mib(self) -> float:
        """How much more memory was in use at the most than when the first trials had ended."""
        return max(m.memory_mib for m in self.marks) - self.marks[1].memory_mib


def long_study(sampler: str, trials: int) -> Study:
    """Return the study of ``trials`` trivial trials, in lanes of this process."""
    changes = {
        "name": NAME,
        "trainable": "benchmarks.trivial:Trivial",
        "sampler": sampler,
        "budget": {"trials": trials, "max_epochs": 30},
        "executor": "lanes",
        "lanes": {"mode": "looped"},
        "tracking": {"enabled": False},
        "confirm": {"pairs": 0},
    }
    return Study.model_validate({**find("regularization").model_dump(), **changes})


def search(home: Path, sampler: str, trials: int) -> tuple[Marks, Result]:
    """Run one search below ``home`` and return what was noted and what it found."""
    marks = Marks()
    result = conduct(long_study(sampler, trials), home, load_data, view=marks)
    return marks, result


def resume(home: Path) -> Measurement:
    """Resume the finished study below ``home``, a process of its own; it prints the answer again."""
    command = (sys.executable, "-m", "search", "resume", NAME, "--home", str(home), "--json")
    return measure(Contender("resume", command, ((str(home), HOME),)))


@dataclass(frozen=True)
class Figures:
    """What one search of ``trials`` trials, of ``search_s`` seconds, and its resume, came to."""

    sampler: str
    trials: int
    start_ms: list[float]
    end_ms: list[float]
    growth_mib: float
    resume: Measurement
    search_s: float

    @property
    def ratio(self) -> float:
        """Cost of a trial at the end, over that at the start."""
        return statistics.median(self.end_ms) / statistics.median(self.start_ms)

    def row(self) -> list[str]:
        """Return the cells of the table."""
        return [
            self.sampler,
            str(self.trials),
            spread(self.start_ms),
            spread(self.end_ms),
            f"{self.ratio:.2f}x",
            f"{self.growth_mib:.0f}",
            f"{self.resume.wall_s:.2f}",
            f"{self.resume.cost.largest_process_mib:.0f}",
        ]


def figures(sampler: str, trials: int) -> Figures:
    """Search and resume once."""
    with tempfile.TemporaryDirectory(prefix="lanewise-bench-") as folder:
        home = Path(folder)
        with machine_to_itself():
            marks, result = search(home, sampler, trials)
        assert result.answer.trials == trials
        start_ms, end_ms = marks.costs_ms(lambda mark: mark.wall_s)
        seconds = marks.marks[-1].wall_s - marks.marks[0].wall_s
        return Figures(sampler, trials, start_ms, end_ms, marks.growth_mib, resume(home), seconds)


def verdicts(tpe: Figures) -> list[str]:
    """Return whether a search by tpe stays as fast as it began, and is soon over."""
    lines = [verdict("A trial at the end beside one at the start, tpe", tpe.ratio, 1.5, at_least=False, unit="x")]
    target_s = TPE_S * tpe.trials / 10_000
    lines.append(verdict(f"{tpe.trials:,} trials of tpe", tpe.search_s, target_s, at_least=False, unit=" s"))
    return lines


def body(long: Figures, informative: Sequence[Figures]) -> str:
    """Return the section's text."""
    header = ["sampler", "trials", "ms a trial, start", "ms a trial, end", "ratio", "growth MiB", "resume s"]
    return "\n\n".join(
        [
            f"Trials of at most 30 epochs that cost nothing, ASHA, looped lanes in the driver's process, ledger on "
            f"SQLite, no MLflow. Start and end: the first and the last tenth, by windows of {WINDOW} trials. Growth: "
            "the driver's resident memory, from the first window to its peak. Resume: the whole process of "
            "`python -m search resume NAME --json` on the finished ledger.",
            table([*header, "its peak MiB"], [f.row() for f in (long, *informative)]),
            verdict("A trial at the end beside one at the start, random", long.ratio, 1.5, at_least=False, unit="x"),
            verdict("Growth of the driver's memory, random", long.growth_mib, 200, at_least=False, unit=" MiB"),
            verdict("Resume of the finished ledger, random", long.resume.wall_s, 10, at_least=False, unit=" s"),
            *(line for f in informative for line in verdicts(f)),
        ]
    )


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ten_thousand_trials", description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000, help="of the random sampler")
    parser.add_argument("--tpe-trials", type=int, default=10_000, help="of tpe; 0 leaves it out")
    add_results(parser)
    arguments = parser.parse_args()
    for option in ("trials", "tpe_trials"):
        given = getattr(arguments, option)
        if given < FEWEST and not (option == "tpe_trials" and given == 0):
            parser.error(f"--{option.replace('_', '-')} must be >= {FEWEST}, got {given}")
    with tempfile.TemporaryDirectory() as folder:
        search(Path(folder), "random", 3 * WINDOW)  # imports and first compilations
    long = figures("random", arguments.trials)
    informative = [figures("tpe", arguments.tpe_trials)] if arguments.tpe_trials else []
    text = body(long, informative)
    write_section("ten_thousand_trials", shown_command("benchmarks.ten_thousand_trials"), text, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
