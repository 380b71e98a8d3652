"""The script a competent Ray Tune user writes today, as the documentation shows it.

It stands for: a function trainable with a torch ``DataLoader``, data shared through Ray's object store
(``tune.with_parameters``), ``tune.report`` each epoch, ``OptunaSearch`` with a define-by-run space,
``ASHAScheduler``, ``MLflowLoggerCallback`` to SQLite, one CPU a trial. Everything that is not said here is
left at Ray's defaults (a fresh actor for each trial, CSV/JSON/TensorBoard loggers). It is not slowed down
anywhere: no dashboard, no console tables, no data loaded twice, the multivariate TPE with groups that
suits a conditional space. ``--reuse-actors`` switches on the one well-known saving that is off by default.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import optuna
import ray
import torch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.plain import (
    BATCH_SIZE,
    argument_parser,
    build_model,
    build_schedule,
    l1_norm,
    load_tensors,
    print_summary,
    step_schedule,
    suggest,
)


def train(config: dict[str, Any], data: dict[str, torch.Tensor], *, dataset: str, epochs: int, seed: int) -> None:
    """Train one configuration and report every epoch to Tune."""
    torch.manual_seed(seed)
    train_loader = DataLoader(TensorDataset(data["x_train"], data["y_train"]), batch_size=BATCH_SIZE, shuffle=True)
    val_loader = DataLoader(TensorDataset(data["x_val"], data["y_val"]), batch_size=512)
    model = build_model(config, dataset=dataset, features=data["x_train"].shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["learning_rate"], weight_decay=config["weight_decay"])
    schedule = build_schedule(optimizer, config, epochs=epochs)
    l1_penalty = config.get("l1_penalty", 0.0)
    for _ in range(epochs):
        rate = optimizer.param_groups[0]["lr"]
        model.train()
        train_loss = 0.0
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            train_loss += loss.item() * len(x)
            if l1_penalty:
                loss = loss + l1_penalty * l1_norm(model)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        val_loss, correct = 0.0, 0
        with torch.no_grad():
            for x, y in val_loader:
                logits = model(x)
                val_loss += F.cross_entropy(logits, y, reduction="sum").item()
                correct += (logits.argmax(1) == y).sum().item()
        val_loss /= len(data["x_val"])
        step_schedule(schedule, val_loss)
        tune.report(
            {
                "train_loss": train_loss / len(data["x_train"]),
                "val_loss": val_loss,
                "val_accuracy": correct / len(data["x_val"]),
                "lr": rate,
            }
        )


def search(
    arguments: argparse.Namespace,
    load: Callable[[], dict[str, torch.Tensor]],
    trainable: Callable[..., None],
    space: Callable[[Any], None],
    *,
    reuse_actors: bool = False,
) -> None:
    """Tune ``trainable`` over ``space`` and print the summary.

    Args:
        arguments: trials, epochs, grace, reduction_factor, seed and home.
        load: returns the tensors that every trial is given as ``data``.
        trainable: (config, data) -> None, which reports every epoch.
        space: defines the search space by running it.
        reuse_actors: keep worker processes between trials.
    """
    home: Path = arguments.home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    tracking_uri = f"sqlite:///{home / 'mlflow.db'}"
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_experiment("ray_tune")  # creates the database, so that the search below does not pay for it
    data = load()
    ray.init(include_dashboard=False, _node_ip_address="127.0.0.1", logging_level="ERROR")
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, data=data), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(
                space,
                metric="val_loss",
                mode="min",
                sampler=optuna.samplers.TPESampler(seed=arguments.seed, multivariate=True, group=True),
            ),
            scheduler=ASHAScheduler(
                metric="val_loss",
                mode="min",
                max_t=arguments.epochs,
                grace_period=arguments.grace,
                reduction_factor=arguments.reduction_factor,
            ),
            num_samples=arguments.trials,
            reuse_actors=reuse_actors,
        ),
        run_config=tune.RunConfig(
            name="ray_tune",
            storage_path=str(home),
            verbose=0,
            callbacks=[MLflowLoggerCallback(tracking_uri=tracking_uri, experiment_name="ray_tune")],
        ),
    )
    started = time.perf_counter()
    results = tuner.fit()
    search_s = time.perf_counter() - started
    best = results.get_dataframe(filter_metric="val_loss", filter_mode="min")["val_loss"].min()
    epochs_trained = sum(r.metrics["training_iteration"] for r in results if r.metrics)
    ray.shutdown()
    print_summary(best_val_loss=float(best), trials=len(results), epochs_trained=epochs_trained, search_s=search_s)


def main() -> None:
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument("--reuse-actors", action="store_true", help="keep worker processes between trials")
    arguments = parser.parse_args()
    trainable = partial(train, dataset=arguments.dataset, epochs=arguments.epochs, seed=arguments.seed)
    load = partial(load_tensors, arguments)
    search(arguments, load, trainable, suggest, reuse_actors=arguments.reuse_actors)


if __name__ == "__main__":
    main()
