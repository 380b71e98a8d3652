"""What bf16 does to the best validation loss of a search: the same seeds in fp32 and in bf16."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.contenders import private_words
from benchmarks.harness import spread
from benchmarks.process import progress
from benchmarks.quality import interval
from benchmarks.record import add_results, shown_command, table, write_section
from search.declaration.studies import find
from search.declaration.study import Study
from search.drive.engine import conduct
from search.drive.examples import load_data
from search.face.live_view import Silent


def search(arguments: argparse.Namespace, precision: str, seed: int) -> tuple[float, float]:
    """Search once and return the best validation loss and the seconds."""
    declared = find("regularization")
    data = dataclasses.replace(
        declared.data, name=arguments.dataset, data_dir=arguments.data_dir, train_examples=arguments.train_examples
    )
    changes = {
        "name": "bench",
        "seed": seed,
        "data": dataclasses.asdict(data),
        "settings": {**declared.settings, **declared.presets.get(arguments.dataset, {})},
        "budget": {"trials": arguments.trials, "max_epochs": arguments.epochs},
        "executor": "lanes",
        "lanes": {"precision": precision},
        "tracking": {"enabled": False},
        "confirm": {"pairs": 0},
    }
    study = Study.model_validate({**declared.model_dump(), **changes})
    with tempfile.TemporaryDirectory() as home:
        result = conduct(study, Path(home), load_data, view=Silent())
    if result.answer.best is None:
        raise SystemExit(f"no finite loss at seed {seed} in {precision}")
    progress(f"{precision} seed {seed}: best {result.answer.best.value:.4f} in {result.search_s:.1f} s")
    return result.answer.best.value, result.search_s


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__)
    parser.add_argument("--dataset", default="digits", choices=("digits", "mnist", "fashion_mnist"))
    parser.add_argument("--data-dir")
    parser.add_argument("--train-examples", type=int)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=10)
    add_results(parser)
    arguments = parser.parse_args()
    figures: dict[str, list[tuple[float, float]]] = {"fp32": [], "bf16": []}
    for seed in range(arguments.seeds):
        for precision, values in figures.items():
            values.append(search(arguments, precision, seed))
    rows = [
        [name, spread([v for v, _ in values], 4), f"{statistics.mean(v for v, _ in values):.4f}"]
        + [spread([s for _, s in values])]
        for name, values in figures.items()
    ]
    differences = [b - f for (f, _), (b, _) in zip(figures["fp32"], figures["bf16"], strict=True)]
    low, high = interval(differences)
    body = "\n\n".join(
        [
            table(["precision", "best val_loss", "mean", "search s"], rows),
            f"Difference bf16 - fp32 over {arguments.seeds} seeds: mean {statistics.mean(differences):+.4f}, "
            f"95% interval {low:+.4f} to {high:+.4f} (Student's t).",
        ]
    )
    section = f"precision: {arguments.dataset}, {arguments.trials} trials x {arguments.epochs} epochs"
    write_section(section, shown_command("benchmarks.precision", private_words(arguments)), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
