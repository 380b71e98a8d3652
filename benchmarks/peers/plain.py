"""What the two peer scripts share: the command line, the data, the search space and the model.

In a user's hands each script would hold these lines itself; they stand here once so that the two peers
cannot drift apart. Written with torch and Optuna calls alone, as a user would; of Lanewise only the data
splits are taken, so that all contenders train and validate on the same examples.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau, StepLR

BATCH_SIZE = 64


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Return the command line that both peers understand."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--dataset", default="digits", choices=("digits", "mnist", "fashion_mnist"))
    parser.add_argument("--data-dir", help="folder with torchvision's data sets")
    parser.add_argument("--train-examples", type=int, help="use only this many training examples")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=30, help="most epochs of one trial")
    parser.add_argument("--grace", type=int, default=3, help="epochs before the first rung")
    parser.add_argument("--reduction-factor", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path, required=True, help="folder for results and the MLflow database")
    return parser


def load_tensors(arguments: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Return x_train, y_train, x_val, y_val; images as rows of pixels."""
    from trainables.data import DataSpec, load_splits

    splits = load_splits(DataSpec(arguments.dataset, arguments.data_dir, train_examples=arguments.train_examples))
    return {
        "x_train": torch.from_numpy(splits.train.x).flatten(1),
        "y_train": torch.from_numpy(splits.train.y),
        "x_val": torch.from_numpy(splits.val.x).flatten(1),
        "y_val": torch.from_numpy(splits.val.y),
    }


def suggest(trial: Any) -> None:
    """Define the search space by running it: the same as ``spaces/regularization.py``."""
    trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    trial.suggest_float("dropout", 0.0, 0.6)
    trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
    if trial.suggest_categorical("l1", ["off", "on"]) == "on":
        trial.suggest_float("l1_penalty", 1e-7, 1e-3, log=True)
    trial.suggest_categorical("batch_norm", [False, True])
    schedule = trial.suggest_categorical("schedule", ["none", "step", "cosine", "plateau"])
    if schedule == "step":
        trial.suggest_int("step_size", 2, 10)
        trial.suggest_float("step_gamma", 0.1, 0.9)
    elif schedule == "cosine":
        trial.suggest_float("cosine_floor", 1e-3, 0.3, log=True)
    elif schedule == "plateau":
        trial.suggest_float("plateau_factor", 0.1, 0.8)
        trial.suggest_int("plateau_patience", 1, 5)


def build_model(params: Mapping[str, Any], *, dataset: str, features: int) -> nn.Sequential:
    """Return the MLP: Linear, BatchNorm1d (if on), ReLU, Dropout for each hidden layer; logits out."""
    layers: list[nn.Module] = []
    width = features
    for hidden in (64, 32) if dataset == "digits" else (128, 64):
        layers.append(nn.Linear(width, hidden))
        if params["batch_norm"]:
            layers.append(nn.BatchNorm1d(hidden))
        layers += [nn.ReLU(), nn.Dropout(params["dropout"])]
        width = hidden
    layers.append(nn.Linear(width, 10))
    return nn.Sequential(*layers)


def build_cnn(params: Mapping[str, Any], *, channels: Sequence[int], hidden: int) -> nn.Sequential:
    """Return a CNN for 28x28 pixels: Conv2d, BatchNorm2d (if on), ReLU, Dropout, MaxPool2d for each block; a head."""
    layers: list[nn.Module] = []
    before, side = 1, 28
    for width in channels:
        layers.append(nn.Conv2d(before, width, 3, padding=1))
        if params["batch_norm"]:
            layers.append(nn.BatchNorm2d(width))
        layers += [nn.ReLU(), nn.Dropout(params["dropout"]), nn.MaxPool2d(2)]
        before, side = width, side // 2
    layers += [nn.Flatten(), nn.Linear(before * side**2, hidden)]
    if params["batch_norm"]:
        layers.append(nn.BatchNorm1d(hidden))
    return nn.Sequential(*layers, nn.ReLU(), nn.Dropout(params["dropout"]), nn.Linear(hidden, 10))


def build_schedule(
    optimizer: torch.optim.Optimizer, params: Mapping[str, Any], *, epochs: int
) -> LRScheduler | ReduceLROnPlateau | None:
    """Return the learning-rate schedule that ``params`` names, or None."""
    if params["schedule"] == "step":
        return StepLR(optimizer, params["step_size"], gamma=params["step_gamma"])
    if params["schedule"] == "cosine":
        return CosineAnnealingLR(optimizer, T_max=epochs, eta_min=params["learning_rate"] * params["cosine_floor"])
    if params["schedule"] == "plateau":
        return ReduceLROnPlateau(optimizer, factor=params["plateau_factor"], patience=params["plateau_patience"])
    return None


def step_schedule(schedule: LRScheduler | ReduceLROnPlateau | None, val_loss: float) -> None:
    """Move the schedule to the next epoch."""
    if isinstance(schedule, ReduceLROnPlateau):
        schedule.step(val_loss)
    elif schedule is not None:
        schedule.step()


def l1_norm(model: nn.Module) -> torch.Tensor:
    """Return the sum of the absolute weights of the linear layers and convolutions."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    return cast(torch.Tensor, sum(layer.weight.abs().sum() for layer in layers))


def print_summary(*, best_val_loss: float, trials: int, epochs_trained: int, search_s: float) -> None:
    """Print the result as one line of JSON, the last line of the script."""
    import psutil  # here: the scripts that need torch alone share the models above

    wall_s = time.time() - psutil.Process().create_time()
    summary = {
        "best_val_loss": best_val_loss,
        "trials": trials,
        "epochs_trained": epochs_trained,
        "search_s": round(search_s, 3),
        "wall_s": round(wall_s, 3),
    }
    print(json.dumps(summary), flush=True)
