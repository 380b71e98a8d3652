"""The losses by name, and which task each is for."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import torch
from torch.nn import functional as F

from trainables.config import loss_name
from trainables.task import Task

HUBER_DELTA = 1.0
"""Standard deviations of the target from which on an error counts linearly."""


class Loss(Protocol):
    """Compares outputs with targets."""

    def __call__(self, outputs: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
        """Return the loss  # [B, C], [B] -> []; the target is a class number, or the standardised target."""


def build_loss(name: str, task: Task, *, label_smoothing: float = 0.0) -> Loss:
    """Return the loss called ``name``; see ``loss_name``."""
    loss = _FUNCTIONS[loss_name(name, task, label_smoothing=label_smoothing)]
    return partial(_cross_entropy, label_smoothing=label_smoothing) if label_smoothing else loss


def _cross_entropy(
    outputs: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean", label_smoothing: float = 0.0
) -> torch.Tensor:
    return F.cross_entropy(outputs, target, reduction=reduction, label_smoothing=label_smoothing)


def _mse(outputs: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    return F.mse_loss(outputs.squeeze(1), target, reduction=reduction)


def _mae(outputs: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    return F.l1_loss(outputs.squeeze(1), target, reduction=reduction)


def _huber(outputs: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    return F.huber_loss(outputs.squeeze(1), target, reduction=reduction, delta=HUBER_DELTA)


_FUNCTIONS: dict[str, Loss] = {"cross_entropy": _cross_entropy, "mse": _mse, "mae": _mae, "huber": _huber}
