"""The script a competent Optuna user writes today, in one process.

It stands for: ``study.optimize`` one trial after another, ``TPESampler`` (multivariate, groups),
``SuccessiveHalvingPruner`` with the rungs of our ASHA, data as tensors in memory and batches as index
slices (no ``DataLoader``), and the MLflow client: a parent run, a child run for each trial with its
parameters, one ``log_batch`` an epoch, and a final status. No storage is configured, so that Optuna keeps
its study in memory; torch and its threads are left at their defaults.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import torch
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from torch.nn import functional as F

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


def epochs_of(
    params: dict[str, Any], data: dict[str, torch.Tensor], *, dataset: str, epochs: int, seed: int
) -> Iterator[dict[str, float]]:
    """Train one configuration; yield the metrics of every epoch."""
    torch.manual_seed(seed)
    x_train, y_train, x_val, y_val = (data[k] for k in ("x_train", "y_train", "x_val", "y_val"))
    model = build_model(params, dataset=dataset, features=x_train.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=params["learning_rate"], weight_decay=params["weight_decay"])
    schedule = build_schedule(optimizer, params, epochs=epochs)
    l1_penalty = params.get("l1_penalty", 0.0)
    for _ in range(epochs):
        rate = optimizer.param_groups[0]["lr"]
        model.train()
        train_loss = 0.0
        for batch in torch.randperm(len(x_train)).split(BATCH_SIZE):
            loss = F.cross_entropy(model(x_train[batch]), y_train[batch])
            train_loss += loss.item() * len(batch)
            if l1_penalty:
                loss = loss + l1_penalty * l1_norm(model)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = model(x_val)
            val_loss = F.cross_entropy(logits, y_val).item()
            val_accuracy = (logits.argmax(1) == y_val).float().mean().item()
        step_schedule(schedule, val_loss)
        yield {
            "train_loss": train_loss / len(x_train),
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "lr": rate,
        }


class Objective:
    """What Optuna calls for each trial: train, log to MLflow, report, prune."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        data: dict[str, torch.Tensor],
        client: MlflowClient,
        experiment_id: str,
        parent_run_id: str,
    ) -> None:
        self.arguments = arguments
        self.data = data
        self.client = client
        self.experiment_id = experiment_id
        self.parent_run_id = parent_run_id
        self.epochs_trained = 0

    def __call__(self, trial: optuna.Trial) -> float:
        """Return the best validation loss of the trial."""
        suggest(trial)
        run = self.client.create_run(
            self.experiment_id,
            tags={"mlflow.parentRunId": self.parent_run_id},
            run_name=f"trial-{trial.number}",
        )
        self.client.log_batch(run.info.run_id, params=[Param(name, str(value)) for name, value in trial.params.items()])
        status = "FAILED"
        try:
            value = self.train(trial, run.info.run_id)
            status = "FINISHED"
        except optuna.TrialPruned:
            status = "KILLED"
            raise
        finally:
            self.client.set_terminated(run.info.run_id, status)
        return value

    def train(self, trial: optuna.Trial, run_id: str) -> float:
        """Train the trial's epochs; raises ``TrialPruned`` where the pruner says so."""
        best = math.inf
        curve = epochs_of(
            trial.params,
            self.data,
            dataset=self.arguments.dataset,
            epochs=self.arguments.epochs,
            seed=self.arguments.seed,
        )
        for epoch, metrics in enumerate(curve, start=1):
            self.epochs_trained += 1
            now_ms = int(time.time() * 1000)
            self.client.log_batch(run_id, metrics=[Metric(k, v, now_ms, epoch) for k, v in metrics.items()])
            best = min(best, metrics["val_loss"])
            trial.report(metrics["val_loss"], epoch)
            if not math.isfinite(metrics["val_loss"]) or trial.should_prune():
                raise optuna.TrialPruned
        return best


def main() -> None:
    arguments = argument_parser(__doc__.splitlines()[0]).parse_args()
    home: Path = arguments.home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment_id = client.create_experiment("optuna")
    parent = client.create_run(experiment_id, run_name="study")
    objective = Objective(arguments, load_tensors(arguments), client, experiment_id, parent.info.run_id)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=arguments.seed, multivariate=True, group=True),
        pruner=optuna.pruners.SuccessiveHalvingPruner(
            min_resource=arguments.grace, reduction_factor=arguments.reduction_factor
        ),
    )
    started = time.perf_counter()
    study.optimize(objective, n_trials=arguments.trials)
    search_s = time.perf_counter() - started
    client.set_terminated(parent.info.run_id, "FINISHED")
    # A pruned trial's best epoch counts too, as it does for the other contenders.
    best = min(v for t in study.trials for v in t.intermediate_values.values() if math.isfinite(v))
    print_summary(
        best_val_loss=best,
        trials=len(study.trials),
        epochs_trained=objective.epochs_trained,
        search_s=search_s,
    )


if __name__ == "__main__":
    main()
