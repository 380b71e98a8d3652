"""torch's optimisers, built from a configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from trainables.config import MlpConfig


def build_optimizer(parameters: Iterable[Any], config: MlpConfig) -> torch.optim.Optimizer:
    """Return AdamW or SGD with momentum over parameters, or groups of them as torch's optimisers take them.

    Fused: one kernel reads and writes a parameter, its gradient and its moments once.
    """
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    return torch.optim.SGD(
        parameters,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True,
    )


def scale_rates(optimizer: torch.optim.Optimizer) -> None:
    """Give every group of parameters the first group's learning rate times its own ``factor``."""
    first, *others = optimizer.param_groups
    for group in others:
        group["lr"] = first["lr"] * group.get("factor", 1.0)
