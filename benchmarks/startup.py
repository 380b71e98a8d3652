"""Whole-process time of a search of one trial and of the default search, beside importing torch and MLflow alone."""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.harness import HOME, BenchmarkError, Contender, disturbance, interleaved, ratios, spread
from benchmarks.record import add_results, shown_command, table, verdict, write_section

RUNS = ("--pairs 5",)
"""What ``python -m benchmarks --all`` runs."""

FLOOR = Contender("imports alone", (sys.executable, "-c", "import torch, mlflow"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--executor", choices=("auto", "lanes", "tune"), default="auto")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--target", type=float, default=1.1, help="most of the imports' wall time, of one trial")
    parser.add_argument("--default-target", type=float, default=1.8, help="the same of the default search")
    parser.add_argument("--one-trial-alone", action="store_true", help="leave the default search out")
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.pairs < 1:
        parser.error(f"--pairs must be >= 1, got {arguments.pairs}")
    searches: list[tuple[str, tuple[str, ...], float]] = [("Search of one trial", ("--trials", "1"), arguments.target)]
    if not arguments.one_trial_alone:
        searches.append(("The default search", (), arguments.default_target))
    rows: list[list[str]] = []
    lines: list[str] = []
    disturbed: list[str] = []
    for what, words, target in searches:
        ours = _search(what, words, arguments.executor)
        try:
            measured = interleaved(ours, FLOOR, arguments.pairs, reads_json=(True, False))
        except BenchmarkError as error:
            parser.exit(1, f"{error}\n")
        for side, runs in zip((ours, FLOOR), zip(*measured, strict=True), strict=True):
            walls, cpus = [r.wall_s for r in runs], [r.cost.cpu_s for r in runs]
            rows.append([f"`{side.shown()}`", spread(walls), spread(cpus)])
        # of each pair, ours to the floor
        by_pair = [1 / r for r in ratios(measured, lambda run: run.wall_s)]
        said = f"{what}, wall time to that of the imports, median of {arguments.pairs} pairs"
        lines.append(verdict(said, statistics.median(by_pair), target, at_least=False, unit="x"))
        lines.append(f"Spread of the pairs {min(by_pair):.2f} - {max(by_pair):.2f}.")
        disturbed += disturbance(measured)
    body = "\n\n".join([table(["", "wall s", "CPU s"], rows), *lines, *disturbed])
    write_section(f"startup: {arguments.executor}", shown_command("benchmarks.startup"), body, arguments.results)
    return 0


def _search(what: str, words: tuple[str, ...], executor: str) -> Contender:
    """Return a search in a fresh home, MLflow's runs in its database there, as a user would start it."""
    told = ("--no-confirm", "--home", HOME, "--name", "bench", "--executor", executor, "--json")
    return Contender(f"{what}, {executor}", (sys.executable, "-m", "search.run", "regularization", *words, *told))


if __name__ == "__main__":
    sys.exit(main())
