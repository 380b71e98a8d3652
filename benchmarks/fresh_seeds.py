"""A study's best configuration, trained again on fresh seeds by the plain loop: what it reaches on validation."""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import HOME, BenchmarkError, Contender, measure
from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, verdict, write_section

RUNS = (
    "--study tabular --data wine --metric val_accuracy --target 0.97",
    "--study tabular --data iris --metric val_accuracy --target 0.95",
    "--study regression --data diabetes --metric val_r2 --target 0.45",
    "--study schedules --dataset fashion_mnist --train-examples 10000 --max-epochs 20 "
    "--metric val_accuracy --target 0.86",
    "--study architectures --dataset mnist --train-examples 10000 --metric val_accuracy --target 0.98",
)
"""What ``python -m benchmarks --all`` runs."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fresh_seeds", description=__doc__)
    parser.add_argument("--study", required=True)
    parser.add_argument("--dataset", "--data", dest="dataset", required=True)
    parser.add_argument("--data-dir", help="folder with torchvision's data sets")
    parser.add_argument("--train-examples", type=int)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--metric", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--target", type=float, required=True, help="the least mean over the seeds")
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"--seeds must be >= 1, got {arguments.seeds}")
    search = _search(arguments)
    try:
        found = measure(search)
    except BenchmarkError as error:
        parser.exit(1, f"{error}\n")
    best = found.output["best"]
    progress(f"{search.name}: {found.wall_s:.1f} s, best trial {best['trial']}: {best['metrics']}")
    again = [_retrained(arguments, best["params"], seed) for seed in range(arguments.seeds)]
    values = [metrics[arguments.metric] for metrics in again]
    mean, deviation = statistics.mean(values), statistics.stdev(values) if len(values) > 1 else float("nan")
    rows = [[f"{best['metrics'][arguments.metric]:.4f}", f"{mean:.4f}", f"{deviation:.4f}", _each(values)]]
    body = "\n\n".join(
        [
            f"{arguments.trials} trials in {found.wall_s:.1f} s. The best configuration was then trained by "
            f"the plain loop on {arguments.seeds} seeds that the search did not use; of each run the epoch with "
            "the best objective counts. The validation examples are those that the search chose by.",
            table([f"{arguments.metric} in the search", "mean on fresh seeds", "deviation", "each"], rows),
            verdict(f"Mean {arguments.metric} on fresh seeds", mean, arguments.target, at_least=True),
            f"Configuration: {', '.join(f'{k}={v}' for k, v in best['params'].items())}",
            f"Measured command: `{search.shown()}`",
        ]
    )
    section = f"fresh seeds: {arguments.study}, {arguments.dataset}"
    write_section(section, shown_command("benchmarks.fresh_seeds", search.private), body, arguments.results)
    return 0


def _each(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def _options(arguments: argparse.Namespace) -> dict[str, str]:
    given = {
        "--dataset": arguments.dataset,
        "--data-dir": arguments.data_dir and str(Path(arguments.data_dir).absolute()),
        "--train-examples": arguments.train_examples,
        "--trials": arguments.trials,
        "--max-epochs": arguments.max_epochs,
        "--metric": arguments.metric,
    }
    return {name: str(value) for name, value in given.items() if value is not None}


def _search(arguments: argparse.Namespace) -> Contender:
    options = _options(arguments)
    words = [word for pair in options.items() for word in pair]
    argv = (
        sys.executable,
        "-m",
        "search.run",
        "--no-confirm",
        arguments.study,
        "--home",
        HOME,
        "--name",
        "bench",
        "--json",
        *words,
    )
    folder = options.get("--data-dir")
    return Contender(f"study {arguments.study}", argv, private=((folder, "DATA_DIR"),) if folder else ())


def _retrained(arguments: argparse.Namespace, params: dict[str, Any], seed: int) -> dict[str, float]:
    """Train a configuration on a seed of its own; return the metrics of the epoch with the best objective."""
    import torch

    from search.declaration.options import Options
    from search.drive.examples import load_data
    from search.drive.preflight import resolve
    from trainables.derive import derive
    from trainables.loop import fit
    from trainables.registry import find_trainable

    study = resolve(
        Options(
            kind=arguments.study,
            dataset=arguments.dataset,
            data_dir=None if arguments.data_dir is None else Path(arguments.data_dir),
            train_examples=arguments.train_examples,
            max_epochs=arguments.max_epochs,
            metric=[arguments.metric],
            tracking="offline",
        )
    )
    trainable, device = find_trainable(study.trainable), torch.device("cpu")
    config = trainable.configure(study.params_of(params), max_epochs=study.budget.max_epochs)
    data = trainable.prepare(load_data(study), device)
    run = trainable.start(config, data, seed=derive(study.seed, "fresh", seed), device=device)
    best: dict[str, float] = {}
    for report in fit(run):  # type: ignore[arg-type]  # any run steps like the plain loop's
        value = report.metrics[study.objective.metric]
        if not best or study.objective.better(value, best[study.objective.metric]):
            best = dict(report.metrics)
    return best


if __name__ == "__main__":
    sys.exit(main())
