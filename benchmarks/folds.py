"""What folds cost in lanes: a search with ``--folds K`` beside the same one on a single split, in pairs."""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.harness import (
    HOME,
    SEED,
    BenchmarkError,
    Contender,
    Measurement,
    cost_rows,
    disturbance,
    field,
    interleaved,
    ratios,
    spread,
)
from benchmarks.record import add_results, shown_command, table, verdict, write_section

TARGET_PER_FOLD = 1.1
"""Times one split that a fold may cost: 5.5 for five."""


def main() -> int:
    """Measure the pairs and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.folds")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=5)
    add_results(parser)
    arguments = parser.parse_args()
    # no scheduler and no history: both train the same trials for the same epochs
    size = ("--trials", str(arguments.trials), "--max-epochs", str(arguments.epochs))
    alike = ("--sampler", "random", "--scheduler", "none", "--executor", "lanes", "--no-confirm")
    search = (sys.executable, "-m", "search.run", "regularization", *size, *alike, "--tracking", "offline")
    command = (*search, "--seed", SEED, "--home", HOME, "--json")
    single = Contender("one split", command)
    folded = Contender(f"{arguments.folds} folds", (*command, "--folds", str(arguments.folds)))
    try:
        measured = interleaved(single, folded, arguments.pairs)
    except BenchmarkError as error:
        parser.exit(1, f"{error}\n")
    trained, whole = ratios(measured, _trained), ratios(measured, lambda run: run.wall_s)
    rows = [
        [*row, spread([_trained(pair[i]) for pair in measured])]
        for i, row in enumerate(cost_rows((single, folded), measured))
    ]
    target = TARGET_PER_FOLD * arguments.folds
    body = "\n\n".join(
        [
            "digits; the same trials, none of which is stopped early. A split trains 1,079 examples and validates 359; "
            "a fold trains the more, and validates the fewer, the more folds there are (of 5: 1,150 and 288).",
            table(["", "wall s", "CPU s", "search s"], rows),
            verdict(
                f"{arguments.folds} folds / one split, seconds of the search, median of {arguments.pairs} pairs",
                statistics.median(trained),
                target,
                at_least=False,
            )
            + f" Spread of the pairs: {min(trained):.2f} - {max(trained):.2f}. Whole processes: "
            f"{statistics.median(whole):.2f} ({min(whole):.2f} - {max(whole):.2f}).",
            *disturbance(measured),
            f"Measured command: `{folded.shown()}`",
        ]
    )
    write_section(f"folds: {arguments.folds}", shown_command("benchmarks.folds"), body, arguments.results)
    return 0


def _trained(run: Measurement) -> float:
    """Return the seconds in which trials trained, without the start and the end of the process."""
    return field(run.output, "search_s")


if __name__ == "__main__":
    sys.exit(main())
