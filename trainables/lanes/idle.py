"""Optimisers that never step: what torch's schedules move the learning rate of."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.optim import SGD, AdamW, Optimizer

from trainables.config import MlpConfig


class _Idle(Optimizer):
    """Holds a group of settings as torch's optimiser would, over one parameter without a gradient."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Do as torch does, without its decorator: that imports torch._dynamo, which takes a second."""
        inspect.unwrap(Optimizer.add_param_group)(self, param_group)

    def step(self, closure: Any = None) -> Any:
        """Do nothing."""


class _IdleAdamW(_Idle, AdamW):
    pass


class _IdleSgd(_Idle, SGD):
    pass


def idle_optimizer(config: MlpConfig) -> Optimizer:
    """Return an optimiser with the settings that ``loop.build_optimizer`` gives it; a test compares them."""
    parameters = [torch.zeros(1)]
    if config.optimizer == "adamw":
        return _IdleAdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    momentum, decay = config.momentum, config.weight_decay
    return _IdleSgd(parameters, lr=config.learning_rate, momentum=momentum, weight_decay=decay, fused=True)
