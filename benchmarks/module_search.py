"""Whole searches of a user's model, process and all: lanes as usual, looped, looped in turn, and a plain Optuna script.

Models that gain little by a stack are searched too, shorter and without Optuna: as usual they should cost what looping
them costs, and looped, a process for each core, less than in turn.

    python -m benchmarks.module_search
    python -m benchmarks.module_search --models residual_mlp --pairs 5
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.harness import ROOT, spread
from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, write_section

RUNS = ("",)
"""What ``python -m benchmarks --all`` runs."""

SPACE = """
  dropout: {type: float, low: 0.05, high: 0.5, baseline: 0.05}
  learning_rate: {type: float, low: 0.0003, high: 0.03, log: true, baseline: 0.001}
"""

OPTUNA = """
import sys
import optuna, torch
from torch.nn import functional as F
from benchmarks.module_models import {model}
from benchmarks.module_lanes import data_of
torch.set_num_threads(1)
optuna.logging.set_verbosity(optuna.logging.WARNING)
data = data_of("digits")
def objective(trial):
    params = {{"dropout": trial.suggest_float("dropout", 0.05, 0.5)}}
    rate = trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True)
    torch.manual_seed(trial.number)
    model = {model}(params, tuple(data.x_train.shape[1:]), data.outputs)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0, fused=True)
    for epoch in range({epochs}):
        model.train()
        for batch in torch.randperm(data.examples).split({batch_size}):
            optimizer.zero_grad()
            F.cross_entropy(model(data.x_train[batch]), data.y_train[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            loss = F.cross_entropy(model(data.x_val), data.y_val).item()
    return loss
optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0)).optimize(objective, n_trials={trials}, n_jobs=1)
"""


@dataclass(frozen=True)
class Case:
    """What is searched of a model, and by which sides."""

    trials: int
    epochs: int
    batch_size: int = 64
    sides: tuple[str, ...] = ("usual", "looped", "in turn")


CASES = {
    "residual_mlp": Case(64, 30, 32, ("usual", "looped", "in turn", "optuna")),
    "cnn_28x28": Case(16, 8),
    "Lstm": Case(32, 30),
}
"""What is searched by default; any other model of ``module_models`` is searched by all sides, as the first."""


def command(side: str, model: str, case: Case, folder: Path) -> list[str]:
    """Return the command of a side; in turn is looped in a process of one core."""
    if side == "optuna":
        script = OPTUNA.format(model=model, trials=case.trials, epochs=case.epochs, batch_size=case.batch_size)
        return [sys.executable, "-c", script]
    config = folder / "study.yaml"
    config.write_text(
        f"kind: mine\nquestion: Which?\nmodel: benchmarks.module_models:{model}\ndata: {{name: digits}}\n"
        f"space:{SPACE}settings: {{batch_size: {case.batch_size}}}\nscheduler: {{name: none}}\n"
        f"budget: {{trials: {case.trials}, max_epochs: {case.epochs}}}\n"
    )
    where = ["--config", str(config), "--home", str(folder / "home"), "--name", "mine", "--tracking", "offline"]
    words = ["--executor", "lanes", "--lane-mode", "looped" if side == "in turn" else side, "--no-confirm"]
    cores = ["--cpus-per-worker", "1"] if side == "in turn" else []
    return [sys.executable, "-m", "search.run", *where, *words, *cores]


def seconds(side: str, model: str, case: Case) -> float:
    """Run a side in a process of its own; return how long it took."""
    with tempfile.TemporaryDirectory(prefix="lanewise-") as folder:
        line = command(side, model, case, Path(folder))
        began = time.perf_counter()
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
        took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{side} failed: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return took


def measure(model: str, case: Case, pairs: int) -> dict[str, list[float]]:
    """Return the seconds of each side, which take turns."""
    found: dict[str, list[float]] = {side: [] for side in case.sides}
    for pair in range(pairs):
        for side in case.sides:
            found[side].append(seconds(side, model, case))
            progress(f"{model}, pair {pair + 1}, {side}: {found[side][-1]:.1f} s")
    return found


def rows_of(model: str, case: Case, found: Mapping[str, list[float]]) -> list[list[str]]:
    """Return the table's rows of a model."""
    rows = []
    for side, times in found.items():
        ratios = [a / b for a, b in zip(times, found["usual"], strict=True)]
        what = f"{case.trials} x {case.epochs}, batch {case.batch_size}"
        rows.append([model, what, side, spread(times), spread(ratios)])
    if {"looped", "in turn"} <= found.keys():
        gained = [alone / beside for alone, beside in zip(found["in turn"], found["looped"], strict=True)]
        rows.append([model, what, "in turn / looped", "", spread(gained)])
    return rows


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.module_search", description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(CASES), help="those above, or any of module_models")
    parser.add_argument("--trials", type=int, help="in place of each model's own")
    parser.add_argument("--epochs", type=int, help="in place of each model's own")
    parser.add_argument("--pairs", type=int, default=5)
    add_results(parser)
    arguments = parser.parse_args()
    before = os.getloadavg()[0]
    rows = []
    for model in arguments.models:
        case = CASES.get(model, CASES["residual_mlp"])
        case = replace(case, trials=arguments.trials or case.trials, epochs=arguments.epochs or case.epochs)
        rows += rows_of(model, case, measure(model, case, arguments.pairs))
    body = "\n\n".join(
        [
            "Seconds of a whole search of a model on digits, so many trials x epochs, none stopped early; median "
            f"(least - most) of {arguments.pairs}. Usual and looped have a process for each core; in turn, and in "
            "Optuna's script, one trial trains after another, with one core.",
            table(["model", "searched", "side", "s", "this / usual, within pairs"], rows),
            f"Load average before and after: {before:.2f}, {os.getloadavg()[0]:.2f}.",
        ]
    )
    section = f"module_search: {', '.join(arguments.models)}"
    write_section(section, shown_command("benchmarks.module_search"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
