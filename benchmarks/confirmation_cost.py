"""What a confirmation costs: the default command beside the same with ``--no-confirm``, whole processes in pairs."""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.harness import HOME, BenchmarkError, Contender, cost_rows, disturbance, interleaved, ratios
from benchmarks.record import add_results, shown_command, table, verdict, write_section

TARGET = 1.6


def main() -> int:
    """Measure the pairs and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.confirmation_cost")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--pairs", type=int, default=5)
    add_results(parser)
    arguments = parser.parse_args()
    size = ("--trials", str(arguments.trials), "--max-epochs", str(arguments.epochs))
    command = (sys.executable, "-m", "search.run", "regularization", *size, "--home", HOME, "--json")
    sides = [Contender("confirmed", command), Contender("not confirmed", (*command, "--no-confirm"))]
    try:
        measured = interleaved(sides[0], sides[1], arguments.pairs)
    except BenchmarkError as error:
        parser.exit(1, f"{error}\n")
    by_pair = ratios(measured, lambda run: run.wall_s)
    ratio = 1 / statistics.median(by_pair)
    body = "\n\n".join(
        [
            "digits, 4 configurations on 5 pairs, and what each parameter is worth where the product's rule has it; "
            "whole processes, from the command to its end.",
            table(["", "wall s", "CPU s"], cost_rows(sides, measured)),
            verdict(f"confirmed / not confirmed, median of {arguments.pairs} pairs", ratio, TARGET, at_least=False)
            + f" Spread of the pairs: {1 / max(by_pair):.2f} - {1 / min(by_pair):.2f}.",
            *disturbance(measured),
            f"Measured command: `{sides[0].shown()}`",
        ]
    )
    write_section("confirmation: its cost", shown_command("benchmarks.confirmation_cost"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
