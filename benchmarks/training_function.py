"""What searching a user's training function costs beyond calling it: in lanes, on Ray Tune, beside plain scripts."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import ROOT, spread
from benchmarks.record import add_results, shown_command, table, verdict, write_section

USUAL_SIDES = ("bare", "lanes", "tune", "ray_tune", "optuna")
TARGET = 5.0
"""Per cent that the lanes may take beyond the bare function."""

LABELS = {
    "bare": "the function, called in a loop",
    "lanes": "Lanewise, lanes",
    "side_by_side": "Lanewise, lanes, trials side by side on all cores",
    "tune": "Lanewise, tune",
    "ray_tune": "plain Ray Tune, one trial at a time, actors reused",
    "optuna": "plain Optuna, in one process",
}
SPACE = {"rate": {"type": "float", "low": 0.001, "high": 1.0, "log": True, "baseline": 0.1}}


def epochs_of(rate: float, *, epochs: int, products: int) -> Iterator[float]:
    """Train: so many products of matrices an epoch; yield a loss."""
    torch.set_num_threads(1)
    weights = torch.full((128, 128), rate / 1000)
    for epoch in range(1, epochs + 1):
        for _ in range(products):
            torch.mm(weights, weights)
        yield rate + 1 / epoch


def train(trial: Any) -> None:
    """Train as Lanewise calls it; ``products`` is a setting of the study."""
    losses = epochs_of(trial.params["rate"], epochs=trial.max_epochs, products=trial.params["products"])
    for _epoch in trial.epochs():
        trial.report(val_loss=next(losses))


def train_side_by_side(trial: Any) -> None:
    """Train as ``train`` does; it draws no random numbers, and says that it may train beside others."""
    train(trial)


train_side_by_side.side_by_side = True  # type: ignore[attr-defined]


def products_for(seconds: float) -> int:
    """Return how many products an epoch of so many seconds has on this machine now."""
    next(epochs_of(0.1, epochs=1, products=100))
    began = time.perf_counter()
    next(epochs_of(0.1, epochs=1, products=2000))
    return max(1, round(2000 * seconds / (time.perf_counter() - began)))


def bare(trials: int, epochs: int, products: int, home: Path) -> float:
    """Call the function once a trial; return the seconds."""
    began = time.perf_counter()
    for number in range(trials):
        for _loss in epochs_of(0.001 * (number + 1), epochs=epochs, products=products):
            pass
    return time.perf_counter() - began


def lanewise(executor: str, function: str, trials: int, epochs: int, products: int, home: Path) -> float:
    """Search with Lanewise on a Ray that runs already; return the seconds from the first trial's start."""
    import ray

    from search import declare
    from search.drive.engine import conduct
    from search.drive.examples import load_data
    from search.face.live_view import Silent

    study = declare(
        "bench",
        name="bench",
        train=f"benchmarks.training_function:{function}",
        space=SPACE,
        settings={"products": products},
        budget={"trials": trials, "max_epochs": epochs},
        sampler="random",
        scheduler={"name": "none"},
        confirm={"pairs": 0},
        executor=executor,
        resources={"workers": 1},
        tracking={"enabled": False},
    )
    ray.init(include_dashboard=False, _node_ip_address="127.0.0.1", logging_level="ERROR", log_to_driver=False)
    return conduct(study, home, load_data, view=Silent()).search_s


def ray_tune(trials: int, epochs: int, products: int, home: Path) -> float:
    """Search with a plain Ray Tune script; return the seconds of ``fit``."""
    import ray
    from ray import tune

    def trainable(config: dict[str, float]) -> None:
        for loss in epochs_of(config["rate"], epochs=epochs, products=products):
            tune.report({"val_loss": loss})

    ray.init(include_dashboard=False, _node_ip_address="127.0.0.1", logging_level="ERROR")
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"rate": tune.loguniform(0.001, 1.0)},
        tune_config=tune.TuneConfig(num_samples=trials, max_concurrent_trials=1, reuse_actors=True),
        run_config=tune.RunConfig(name="bench", storage_path=str(home.absolute()), verbose=0),
    )
    began = time.perf_counter()
    tuner.fit()
    return time.perf_counter() - began


def optuna(trials: int, epochs: int, products: int, home: Path) -> float:
    """Search with a plain Optuna script that stores its trials in SQLite; return the seconds of ``optimize``."""
    import optuna as library

    def objective(trial: library.Trial) -> float:
        loss = 0.0
        rate = trial.suggest_float("rate", 0.001, 1.0, log=True)
        for epoch, loss in enumerate(epochs_of(rate, epochs=epochs, products=products), start=1):
            trial.report(loss, epoch)
        return loss

    library.logging.set_verbosity(library.logging.ERROR)
    home.mkdir(parents=True, exist_ok=True)
    study = library.create_study(sampler=library.samplers.RandomSampler(), storage=f"sqlite:///{home}/optuna.db")
    began = time.perf_counter()
    study.optimize(objective, n_trials=trials)
    return time.perf_counter() - began


SIDES: Mapping[str, Callable[[int, int, int, Path], float]] = {
    "bare": bare,
    "lanes": lambda *work: lanewise("lanes", "train", *work),
    "side_by_side": lambda *work: lanewise("lanes", "train_side_by_side", *work),
    "tune": lambda *work: lanewise("tune", "train", *work),
    "ray_tune": ray_tune,
    "optuna": optuna,
}


def measured(side: str, arguments: argparse.Namespace, products: int) -> tuple[float, float]:
    """Run one side as a process of its own; return its seconds of searching, and of everything."""
    with tempfile.TemporaryDirectory(prefix="lanewise-bench-") as home:
        command = [sys.executable, "-m", "benchmarks.training_function", "--side", side, "--home", home]
        work = {"--trials": arguments.trials, "--epochs": arguments.epochs, "--products": products}
        command += [word for option, value in work.items() for word in (option, str(value))]
        began = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        whole = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1])), whole


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_function", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="rounds, in each of which every side runs once")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2, help="of each trial; no scheduler stops one")
    parser.add_argument("--epoch-s", type=float, default=0.2, help="seconds of an epoch of the bare function")
    parser.add_argument(
        "--sides", nargs="+", choices=list(SIDES), default=USUAL_SIDES, help="what is measured; bare is in any case"
    )
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--products", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(SIDES[arguments.side](arguments.trials, arguments.epochs, arguments.products, arguments.home)))
        return 0
    products = products_for(arguments.epoch_s)
    sides = ["bare", *(side for side in arguments.sides if side != "bare")]
    rounds = []
    for number in range(arguments.pairs):
        rounds.append({side: measured(side, arguments, products) for side in sides})
        print(f"round {number + 1}: " + ", ".join(f"{side} {s:.1f} s" for side, (s, _) in rounds[-1].items()))
    beyond = {side: [100 * (r[side][0] / r["bare"][0] - 1) for r in rounds] for side in sides}
    rows = [
        [LABELS[side], spread([r[side][0] for r in rounds]), spread(beyond[side]), spread([r[side][1] for r in rounds])]
        for side in sides
    ]
    text = [
        f"{arguments.trials} trials of {arguments.epochs} epochs of about {arguments.epoch_s:g} s on one core, random "
        "sampler, no scheduler, no MLflow, one trial at a time unless said otherwise; each side runs once a round. "
        "Where Ray is used, its start and its end are in the seconds of the whole process alone, in every row.",
        table(["side", "s of searching", "% beyond the bare function", "s of the whole process"], rows),
    ]
    if "lanes" in sides:
        median = statistics.median(beyond["lanes"])
        text.append(verdict("Lanes beyond the bare function, median", median, TARGET, at_least=False, unit="%"))
    body = "\n\n".join(text)
    write_section("training_function", shown_command("benchmarks.training_function"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
