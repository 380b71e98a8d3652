"""A trial in plain torch, as the scripts for one GPU train it: parameters, model, an epoch. Needs torch alone."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers import plain

MODELS = ("mlp", "cnn")
CHANNELS, HEAD = (8, 16), 32
"""Of the CNN; the MLP is 128-64."""
SCHEDULES = ("none", "step", "cosine", "plateau")


def params_of(number: int) -> dict[str, Any]:
    """Return the parameters of trial ``number``: half with batch norm, half with an L1 penalty, every schedule."""
    return {
        "learning_rate": 1e-3,
        "dropout": 0.1 + 0.05 * (number % 9),
        "batch_norm": number % 2 == 1,
        "weight_decay": 1e-3,
        "l1_penalty": 1e-5 if number % 4 < 2 else 0.0,
        "schedule": SCHEDULES[number % 4],
        "step_size": 5,
        "step_gamma": 0.5,
        "cosine_floor": 0.01,
        "plateau_factor": 0.5,
        "plateau_patience": 2,
    }


class Trial:
    """A model with its optimiser and schedule.

    Args:
        model: ``mlp`` or ``cnn``.
        number: of the trial; its parameters follow from it.
        epochs: how many it is to train, which the cosine spans.
        device: where it trains.
    """

    def __init__(self, model: str, number: int, *, epochs: int, device: torch.device) -> None:
        torch.manual_seed(number)
        self.params = params_of(number)
        if model == "cnn":
            self.model: nn.Module = plain.build_cnn(self.params, channels=CHANNELS, hidden=HEAD)
        else:
            self.model = plain.build_model(self.params, dataset="mnist", features=784)
        self.model.to(device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.params["learning_rate"], weight_decay=self.params["weight_decay"]
        )
        self.schedule = plain.build_schedule(self.optimizer, self.params, epochs=epochs)

    def epoch(self, train: Iterable[Sequence[torch.Tensor]], val: Iterable[Sequence[torch.Tensor]]) -> float:
        """Train on the batches of ``train`` (inputs and labels, on the device); return the loss over ``val``."""
        self.model.train()
        for x, y in train:
            loss = F.cross_entropy(self.model(x), y)
            if self.params["l1_penalty"]:
                loss = loss + self.params["l1_penalty"] * plain.l1_norm(self.model)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.model.eval()
        total: torch.Tensor | float = 0.0
        n = 0
        with torch.no_grad():
            for x, y in val:
                total = total + F.cross_entropy(self.model(x), y, reduction="sum")
                n += len(y)
        val_loss = float(total) / n
        plain.step_schedule(self.schedule, val_loss)
        return val_loss


def script_parser(description: str) -> argparse.ArgumentParser:
    """Return the command line that both scripts understand."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", choices=MODELS, default="mlp")
    parser.add_argument("--data", type=Path, required=True, help="file of tensors: x_train, y_train, x_val, y_val")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--device", default="cuda")
    return parser


def load(path: Path, model: str) -> dict[str, torch.Tensor]:
    """Return the tensors on CPU: images [N, 1, 28, 28] for the CNN, rows of pixels [N, 784] for the MLP."""
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return {name: t.flatten(1) if model == "mlp" and t.ndim > 1 else t for name, t in found.items()}


def say(**values: Any) -> None:
    """Print a line of JSON at once, so that it is there if the script is cut."""
    print(json.dumps(values), flush=True)


def timed_epoch(trial: Trial, train: Iterable[Any], val: Iterable[Any]) -> None:
    """Train an epoch and print what it took; the loss that is read at its end waits for the device."""
    started = time.perf_counter()
    val_loss = trial.epoch(train, val)
    say(epoch_s=time.perf_counter() - started, val_loss=val_loss)
