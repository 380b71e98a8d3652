"""The transfer script that a competent Ray Tune user writes today: freeze by ``requires_grad``, a DataLoader, ASHA.

Frozen batch norms are kept in evaluation mode, as they should be; the images are decoded once and shared through
Ray's object store, which is more than most scripts do. One CPU a trial; all else is Ray's default.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray import tune
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset
from torchvision import models
from torchvision.datasets import ImageFolder

from benchmarks.peers.ray_tune_script import search

BATCH_SIZE = 64
STAGES = ("layer4", "layer3", "layer2", "layer1", "stem")


def suggest(trial: Any) -> None:
    """Define the search space by running it: the same as ``spaces/transfer.py``, without augmentation."""
    trial.suggest_int("freeze_depth", 0, 5)
    trial.suggest_float("learning_rate", 3e-4, 1e-1, log=True)
    trial.suggest_float("stage_factor", 0.1, 1.0, log=True)
    trial.suggest_float("dropout", 0.0, 0.6)
    trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
    trial.suggest_float("label_smoothing", 0.0, 0.2)
    if trial.suggest_categorical("schedule", ["none", "cosine"]) == "cosine":
        trial.suggest_float("cosine_floor", 1e-3, 0.3, log=True)


def load(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return normalised images and labels."""
    files = ImageFolder(str(folder))
    images = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image, _ in files])
    x = images.float() / 255
    return (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True), torch.tensor(files.targets)


def load_both(folder: Path) -> dict[str, torch.Tensor]:
    """Return x_train, y_train, x_val, y_val."""
    data: dict[str, torch.Tensor] = {}
    for part in ("train", "val"):
        data[f"x_{part}"], data[f"y_{part}"] = load(folder / part)
    return data


def train(config: dict[str, Any], data: dict[str, torch.Tensor], *, backbone: str, epochs: int, seed: int) -> None:
    """Train one configuration and report every epoch to Tune."""
    torch.manual_seed(0)
    model = models.get_model(backbone, weights=None)  # the same random "pretrained" weights for all trials
    torch.manual_seed(seed)
    features = model.fc.in_features
    model.fc = nn.Sequential(nn.Dropout(config["dropout"]), nn.Linear(features, int(data["y_train"].max()) + 1))
    parts = {"stem": nn.ModuleList([model.conv1, model.bn1])}
    parts |= {name: getattr(model, name) for name in STAGES[:-1]}
    frozen = [parts[name] for name in reversed(STAGES)][: config["freeze_depth"]]
    for part in frozen:
        part.requires_grad_(False)
    groups = [{"params": model.fc.parameters(), "lr": config["learning_rate"]}]
    for distance, name in enumerate(STAGES[: 5 - config["freeze_depth"]], start=1):
        rate = config["learning_rate"] * config["stage_factor"] ** distance
        groups.append({"params": parts[name].parameters(), "lr": rate})
    optimizer = torch.optim.AdamW(groups, weight_decay=config["weight_decay"])
    schedule = None
    if config["schedule"] == "cosine":
        schedule = CosineAnnealingLR(optimizer, epochs, eta_min=config["learning_rate"] * config["cosine_floor"])
    train_loader = DataLoader(TensorDataset(data["x_train"], data["y_train"]), batch_size=BATCH_SIZE, shuffle=True)
    val_loader = DataLoader(TensorDataset(data["x_val"], data["y_val"]), batch_size=512)
    for _ in range(epochs):
        model.train()
        for part in frozen:
            part.eval()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y, label_smoothing=config["label_smoothing"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if schedule is not None:
            schedule.step()
        model.eval()
        val_loss, correct = 0.0, 0
        with torch.no_grad():
            for x, y in val_loader:
                logits = model(x)
                val_loss += F.cross_entropy(logits, y, reduction="sum").item()
                correct += (logits.argmax(1) == y).sum().item()
        n = len(data["x_val"])
        tune.report({"val_loss": val_loss / n, "val_accuracy": correct / n})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="folder with train/ and val/")
    parser.add_argument("--image-size", type=int, help="of the files; they are not resized")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--grace", type=int, default=3, help="epochs before the first rung")
    parser.add_argument("--reduction-factor", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path, required=True)
    arguments = parser.parse_args()
    trainable = partial(train, backbone=arguments.backbone, epochs=arguments.epochs, seed=arguments.seed)
    search(arguments, partial(load_both, arguments.images), trainable, suggest)


if __name__ == "__main__":
    main()
