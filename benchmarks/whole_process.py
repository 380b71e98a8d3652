"""Whole-process time of one search beside a peer's: interpreter, imports, MLflow, everything."""

import sys

from benchmarks.comparison import main

RUNS = (
    "--executor tune --against ray_tune --pairs 3 --target 6",
    "--executor lanes --against ray_tune --pairs 5 --target 20",
    "--executor lanes --against optuna --pairs 5 --target 3",
    "--executor lanes --against tune --pairs 5",
    "--executor lanes --against ray_tune --pairs 5 --epochs 10 --target 5 --dataset mnist --train-examples 10000",
    "--executor lanes --against optuna --pairs 5 --epochs 10 --target 1.5 --dataset mnist --train-examples 10000",
)
"""What ``python -m benchmarks --all`` runs."""

if __name__ == "__main__":
    sys.exit(
        main(
            "benchmarks.whole_process",
            __doc__,
            trials=64,
            pairs=3,
            what="wall s",
            value=lambda run: run.wall_s,
            note="From the start of the process to its end, MLflow included, a fresh home for each run.",
        )
    )
