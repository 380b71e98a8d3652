"""Peak memory of a search that trains many lanes at once on MNIST, everything included."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.harness import HOME, BenchmarkError, Contender, measure, spread
from benchmarks.record import add_results, shown_command, table, verdict, write_section

RUNS = ("--dataset mnist --runs 5 --target 2048",)
"""What ``python -m benchmarks --all`` runs."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--dataset", default="mnist", choices=("digits", "mnist", "fashion_mnist"))
    parser.add_argument("--data-dir", help="folder with torchvision's data sets")
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--target", type=float, default=2048.0, help="most MiB of the search's process")
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.runs < 1 or arguments.lanes < 1:
        parser.error("--runs and --lanes must be >= 1")
    data = ("--data-dir", str(Path(arguments.data_dir).absolute())) if arguments.data_dir else ()
    search = Contender(
        f"{arguments.lanes} lanes",
        (
            *(
                sys.executable,
                "-m",
                "search.run",
                "--no-confirm",
                "regularization",
                "--home",
                HOME,
                "--name",
                "bench",
                "--json",
            ),
            *("--trials", str(arguments.lanes), "--lanes", str(arguments.lanes), "--max-epochs", "1", "--grace", "1"),
            *("--dataset", arguments.dataset, *data, "--executor", "lanes"),
        ),
        private=((data[1], "DATA_DIR"),) if data else (),
    )
    try:
        runs = [measure(search) for _ in range(arguments.runs)]
    except BenchmarkError as error:
        parser.exit(1, f"{error}\n")
    largest = [run.cost.largest_process_mib for run in runs]
    together = [run.cost.tree_mib for run in runs]
    body = "\n\n".join(
        [
            f"{arguments.dataset}, every training example, {arguments.lanes} trials of one epoch, all at once. The "
            "largest process is the search with its lanes; all processes are that and the one that feeds MLflow.",
            table(["largest process MiB", "all processes MiB"], [[spread(largest, 0), spread(together, 0)]]),
            verdict(
                f"Largest process, the most of {arguments.runs} runs",
                max(largest),
                arguments.target,
                at_least=False,
                unit=" MiB",
            ),
            f"Measured command: `{search.shown()}`",
        ]
    )
    section = f"memory: {arguments.lanes} lanes, {arguments.dataset}"
    write_section(section, shown_command("benchmarks.memory", search.private), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
