"""torch's optimisers, built from a configuration."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import SGD, AdamW, Optimizer

from trainables.config import MlpConfig


class _NotCompiled(Optimizer):
    """Without the decorators that keep torch.compile out of these methods: each imports torch._dynamo, for a second."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)


class _AdamW(_NotCompiled, AdamW):
    step = torch.no_grad()(inspect.unwrap(AdamW.step))


class _Sgd(_NotCompiled, SGD):
    step = torch.no_grad()(inspect.unwrap(SGD.step))


def build_optimizer(parameters: Iterable[Any], config: MlpConfig) -> torch.optim.Optimizer:
    """Return AdamW or SGD with momentum over parameters, or groups of them as torch's optimisers take them.

    Fused: one kernel reads and writes a parameter, its gradient and its moments once.
    """
    if config.optimizer == "adamw":
        return _AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    return _Sgd(
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
