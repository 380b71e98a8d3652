"""Best validation loss found, over paired seeds, beside a peer's, with a 95% interval."""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.comparison import best_value
from benchmarks.contenders import add_workload, check, contender, private_words, workload
from benchmarks.harness import BenchmarkError, field, interleaved, spread
from benchmarks.record import add_journal, add_results, journal, shown_command, table, write_section

RUNS = (
    "--executor lanes --against ray_tune --seeds 10",
    "--executor lanes --against optuna --seeds 10",
)
"""What ``python -m benchmarks --all`` runs."""


def interval(differences: list[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return Student's t interval of the mean; the whole line for fewer than two values."""
    from scipy import stats

    if len(differences) < 2:
        return float("-inf"), float("inf")
    mean, error = statistics.mean(differences), stats.sem(differences)
    if error == 0:
        return mean, mean
    low, high = stats.t.interval(confidence, len(differences) - 1, loc=mean, scale=error)
    return float(low), float(high)


def judgement(low: float, high: float) -> str:
    """Say in words what the interval of ours minus the peer's allows to say; smaller is better."""
    if high < 0:
        return "ours finds a lower loss. No worse than the peer: **met**."
    if low > 0:
        return "ours finds a higher loss. No worse than the peer: **MISSED**."
    return "the two cannot be told apart. No worse than the peer: **met**."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    add_workload(parser)
    parser.add_argument("--seeds", type=int, default=10)
    add_results(parser)
    add_journal(parser)
    arguments = parser.parse_args()
    check(parser, arguments)
    if arguments.seeds < 2:
        parser.error(f"--seeds must be >= 2 for an interval, got {arguments.seeds}")
    section = f"quality: {arguments.executor} / {arguments.against}, {workload(arguments)}"
    sides = [contender(name, arguments) for name in (arguments.executor, arguments.against)]
    try:
        measured = interleaved(
            sides[0],
            sides[1],
            arguments.seeds,
            seed=arguments.seed,
            inspect=lambda run: (best_value(run.output), field(run.output, "epochs_trained")),
            journal=journal(arguments.journal, of=section),
        )
        by_side = list(zip(*measured, strict=True))
        values = [[best_value(run.output) for run in runs] for runs in by_side]
        epochs = [[field(run.output, "epochs_trained") for run in runs] for runs in by_side]
    except BenchmarkError as error:
        parser.exit(1, f"{error}\n")
    differences = [ours - peer for ours, peer in zip(*values, strict=True)]
    low, high = interval(differences)
    rows = [
        [side.name, spread(losses, 4), f"{statistics.mean(losses):.4f}", spread(trained, 0)]
        for side, losses, trained in zip(sides, values, epochs, strict=True)
    ]
    wins = sum(d < 0 for d in differences)
    body = "\n\n".join(
        [
            table(["", "best val_loss", "mean", "epochs trained"], rows),
            f"Difference ours - peer over {arguments.seeds} seeds: mean {statistics.mean(differences):+.4f}, "
            f"95% interval {low:+.4f} to {high:+.4f} (Student's t); ours lower on {wins} seeds: "
            + judgement(low, high),
            "Measured commands:\n\n" + "\n".join(f"- `{side.shown()}`" for side in sides),
        ]
    )
    write_section(section, shown_command("benchmarks.quality", private_words(arguments)), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
