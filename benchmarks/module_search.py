"""A whole search of a user's model, process and all: lanes as usual, looped, and a plain Optuna script.

python -m benchmarks.module_search
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
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
        for batch in torch.randperm(data.examples).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(data.x_train[batch]), data.y_train[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            loss = F.cross_entropy(model(data.x_val), data.y_val).item()
    return loss
optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0)).optimize(objective, n_trials={trials}, n_jobs=1)
"""

SIDES = ("usual", "looped", "optuna")


def command(side: str, model: str, trials: int, epochs: int, folder: Path) -> list[str]:
    """Return the command of a side."""
    if side == "optuna":
        return [sys.executable, "-c", OPTUNA.format(model=model, trials=trials, epochs=epochs)]
    config = folder / "study.yaml"
    config.write_text(
        f"kind: mine\nquestion: Which?\nmodel: benchmarks.module_models:{model}\ndata: {{name: digits}}\n"
        f"space:{SPACE}settings: {{batch_size: 64}}\nscheduler: {{name: none}}\n"
        f"budget: {{trials: {trials}, max_epochs: {epochs}}}\n"
    )
    where = ["--config", str(config), "--home", str(folder / "home"), "--name", side, "--tracking", "offline"]
    words = ["--executor", "lanes", "--lane-mode", side, "--no-confirm"]
    return [sys.executable, "-m", "search.run", *where, *words]


def seconds(side: str, model: str, trials: int, epochs: int) -> float:
    """Run a side in a process of its own; return how long it took."""
    with tempfile.TemporaryDirectory(prefix="lanewise-") as folder:
        line = command(side, model, trials, epochs, Path(folder))
        began = time.perf_counter()
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
        took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{side} failed: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return took


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.module_search", description=__doc__)
    parser.add_argument("--model", default="residual_mlp")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--pairs", type=int, default=5)
    add_results(parser)
    arguments = parser.parse_args()
    before = os.getloadavg()[0]
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for pair in range(arguments.pairs):
        for side in SIDES:
            found[side].append(seconds(side, arguments.model, arguments.trials, arguments.epochs))
            progress(f"pair {pair + 1}, {side}: {found[side][-1]:.1f} s")
    rows = []
    for side, times in found.items():
        ratio = statistics.median(a / b for a, b in zip(times, found["usual"], strict=True))
        rows.append([side, spread(times), f"{ratio:.2f}"])
    body = "\n\n".join(
        [
            f"Seconds of a whole search of {arguments.model} on digits, {arguments.trials} trials x {arguments.epochs} "
            f"epochs, none stopped early; median (least - most) of {arguments.pairs}. Optuna trains one after another, "
            "with one core.",
            table(["side", "s", "this / usual, within pairs"], rows),
            f"Load average before and after: {before:.2f}, {os.getloadavg()[0]:.2f}.",
        ]
    )
    write_section("module_search", shown_command("benchmarks.module_search"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
