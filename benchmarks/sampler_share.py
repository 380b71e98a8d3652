"""What proposals add to a long search of short trials: the same budget by tpe and by random, in pairs."""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.harness import HOME, SEED, BenchmarkError, Contender, disturbance, field, interleaved, spread
from benchmarks.record import add_results, shown_command, table, verdict, write_section

RUNS = ("--pairs 5",)
"""What ``python -m benchmarks --all`` runs."""


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampler_share", description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3, help="most epochs of one trial")
    parser.add_argument("--sampler", default="tpe", help="is compared with random")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--target", type=float, default=1.6, help="most of the random sampler's seconds")
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.pairs < 1:
        parser.error(f"--pairs must be >= 1, got {arguments.pairs}")
    sides = [_search(sampler, arguments.trials, arguments.epochs) for sampler in (arguments.sampler, "random")]
    try:
        measured = interleaved(sides[0], sides[1], arguments.pairs)
        searches = [[field(run.output, "search_s") for run in pair] for pair in measured]
        epochs = [[field(run.output, "epochs_trained") for run in pair] for pair in measured]
    except BenchmarkError as error:
        parser.exit(1, f"{error}\n")
    rows = [
        [
            side.name,
            spread([seconds[i] for seconds in searches]),
            spread([pair[i].wall_s for pair in measured]),
            spread([trained[i] for trained in epochs], 0),
        ]
        for i, side in enumerate(sides)
    ]
    by_pair = [ours / others for ours, others in searches]
    said = f"Seconds of searching, {arguments.sampler} / random, median of {arguments.pairs} pairs"
    body = "\n\n".join(
        [
            "From the first trial's proposal until MLflow has the last of it, in one process, everything else as a "
            "user would have it.",
            table(["sampler", "search s", "wall s", "epochs trained"], rows),
            verdict(said, statistics.median(by_pair), arguments.target, at_least=False, unit="x"),
            f"Spread of the pairs {min(by_pair):.2f} - {max(by_pair):.2f}.",
            *disturbance(measured),
            "Measured commands:\n\n" + "\n".join(f"- `{side.shown()}`" for side in sides),
        ]
    )
    section = f"sampler_share: {arguments.sampler}, {arguments.trials} trials of {arguments.epochs} epochs"
    write_section(section, shown_command("benchmarks.sampler_share"), body, arguments.results)
    return 0


def _search(sampler: str, trials: int, epochs: int) -> Contender:
    """Return a search in a fresh home, as a user would start it."""
    budget = ("--trials", str(trials), "--max-epochs", str(epochs), "--seed", SEED)
    told = ("--no-confirm", "--home", HOME, "--name", "bench", "--executor", "lanes", "--json")
    argv = (sys.executable, "-m", "search.run", "regularization", "--sampler", sampler, *budget, *told)
    return Contender(sampler, argv)


if __name__ == "__main__":
    sys.exit(main())
