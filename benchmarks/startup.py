"""Whole-process time of a search of one trial, beside importing torch and MLflow alone."""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.harness import HOME, BenchmarkError, Contender, disturbance, interleaved, ratios, spread
from benchmarks.record import add_results, shown_command, table, verdict, write_section

RUNS = ("--pairs 5 --target 7",)
"""What ``python -m benchmarks --all`` runs."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--executor", choices=("auto", "lanes", "tune"), default="auto")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--target", type=float, default=7.0, help="most seconds of the search of one trial")
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.pairs < 1:
        parser.error(f"--pairs must be >= 1, got {arguments.pairs}")
    ours = Contender(
        f"search of one trial, {arguments.executor}",
        (
            *(sys.executable, "-m", "search.run", "regularization", "--trials", "1", "--home", HOME),
            *("--name", "bench", "--executor", arguments.executor, "--json"),
        ),
    )
    floor = Contender("imports alone", (sys.executable, "-c", "import torch, mlflow"))
    try:
        measured = interleaved(ours, floor, arguments.pairs, reads_json=(True, False))
    except BenchmarkError as error:
        parser.exit(1, f"{error}\n")
    sides = list(zip(*measured, strict=True))
    by_pair = [1 / r for r in ratios(measured, lambda run: run.wall_s)]
    rows = [
        [f"`{side.shown()}`", spread([r.wall_s for r in runs]), spread([r.cost.cpu_s for r in runs])]
        for side, runs in zip((ours, floor), sides, strict=True)
    ]
    median_s = statistics.median(run.wall_s for run in sides[0])
    body = "\n\n".join(
        [
            table(["", "wall s", "CPU s"], rows),
            verdict(
                f"Search of one trial, median of {arguments.pairs} runs",
                median_s,
                arguments.target,
                at_least=False,
                unit=" s",
            ),
            *disturbance(measured),
            f"Ratio to the imports alone: median {statistics.median(by_pair):.2f}x, "
            f"spread of the pairs {min(by_pair):.2f} - {max(by_pair):.2f}.",
        ]
    )
    section = f"startup: {arguments.executor}"
    write_section(section, shown_command("benchmarks.startup"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
