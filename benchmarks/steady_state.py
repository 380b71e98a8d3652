"""Time of a long search alone beside a peer's: start-up and MLflow's set-up left out."""

import sys

from benchmarks.comparison import main
from benchmarks.harness import field

RUNS = (
    "--executor lanes --against ray_tune --pairs 5 --target 40",
    "--executor lanes --against optuna --pairs 5 --target 5",
    "--executor lanes --against tune --pairs 5",
)
"""What ``python -m benchmarks --all`` runs."""

if __name__ == "__main__":
    sys.exit(
        main(
            "benchmarks.steady_state",
            __doc__,
            trials=512,
            pairs=5,
            what="search s",
            value=lambda run: field(run.output, "search_s"),
            note=(
                "The seconds that each contender gives as `search_s`: from the first trial's proposal to the "
                "last trial's end, its MLflow calls included; imports, Ray's start and the creation of the "
                "MLflow database are not."
            ),
        )
    )
