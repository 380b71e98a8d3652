"""The losses of a stack: gradients of the outputs written out, and the sums that a validation needs."""

from __future__ import annotations

from typing import Protocol

import torch
from torch.nn import functional as F

from trainables.config import loss_name
from trainables.device_data import DeviceData
from trainables.lanes.buffers import LossBuffers
from trainables.losses import HUBER_DELTA
from trainables.metrics import regression_metrics
from trainables.task import Task


class StackedLoss(Protocol):
    """What the trials of a stack minimise.

    Attributes:
        sums: how many numbers ``validate`` returns for a lane.
    """

    sums: int

    def gradients(
        self,
        s: LossBuffers,
        target: torch.Tensor,
        total: torch.Tensor,
        smoothing: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> None:
        """Write ``s.grad`` and add the batch's sum of losses to ``total``.

        Args:
            s: the buffers.
            target: [L, 1, B].
            total: [L].
            smoothing: of each lane's labels  # [L, 1, 1]; None where no lane smooths.
            weights: of each example, by which its loss is multiplied  # [L, 1, B]; None where all count alike.
        """

    def validate(self, outputs: torch.Tensor, target: torch.Tensor, *, scratch: torch.Tensor) -> torch.Tensor:
        """Return sums over some examples  # [L, C, B], [B] -> [sums, L]; ``scratch`` is as ``outputs``."""

    def metrics(self, sums: list[float], data: DeviceData) -> dict[str, float]:
        """Return what one lane reports of its sums over all validation examples, ``val_loss`` first."""


def build_stacked_loss(name: str, task: Task) -> StackedLoss:
    """Return the loss called ``name``; see ``losses.loss_name``."""
    resolved = loss_name(name, task)
    return CrossEntropy() if resolved == "cross_entropy" else Regression(resolved)


class CrossEntropy:
    """The cross entropy of logits and class numbers."""

    sums = 2

    def gradients(
        self,
        s: LossBuffers,
        target: torch.Tensor,
        total: torch.Tensor,
        smoothing: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> None:
        """Write the gradient of the outputs and add the losses; see ``StackedLoss``."""
        torch._log_softmax(s.logits, 1, False, out=s.log_p)
        torch.gather(s.log_p, 1, target, out=s.picked)
        if weights is not None:
            s.log_p.mul_(weights)
            s.picked.mul_(weights)
        # d loss / d logits = (softmax - onehot) / B, as [L, C, B]
        torch._softmax(s.logits, 1, False, out=s.p)
        if smoothing is None:
            total.sub_(s.picked.sum((1, 2)))
            s.p.scatter_add_(1, target, s.minus_one)
        else:
            total.sub_(_smoothed(s, smoothing))
            # the label's share is 1 - smoothing, and every class has as much of the rest
            s.p.scatter_add_(1, target, (smoothing - 1).expand_as(s.picked))
            s.p.sub_(smoothing / s.p.shape[1])
        if weights is not None:
            s.p.mul_(weights)
        torch.mul(s.p, 1 / s.batch, out=s.grad)

    def validate(self, outputs: torch.Tensor, target: torch.Tensor, *, scratch: torch.Tensor) -> torch.Tensor:
        """Return the sums of losses and of correct answers."""
        torch._log_softmax(outputs, 1, False, out=scratch)
        loss = -scratch.gather(1, target.expand(len(outputs), 1, len(target))).sum((1, 2))
        correct = (outputs.max(1).indices == target).sum(1)
        return torch.stack([loss, correct.to(loss.dtype)])

    def metrics(self, sums: list[float], data: DeviceData) -> dict[str, float]:
        """Return loss and accuracy."""
        n = len(data.y_val)
        return {"val_loss": sums[0] / n, "val_accuracy": sums[1] / n}


def _smoothed(s: LossBuffers, smoothing: torch.Tensor) -> torch.Tensor:
    """Return the batch's sums of log likelihoods of smoothed labels  # [L]."""
    share = smoothing.flatten()
    picked = s.picked.sum((1, 2))
    mixed = torch.lerp(picked, s.log_p.sum((1, 2)) / s.log_p.shape[1], share)
    # selected, not mixed at a share of 0: a class that is impossible there has a log of -inf
    return torch.where(share > 0, mixed, picked)


class Regression:
    """The loss of one output and the standardised target: ``mse``, ``mae`` or ``huber``."""

    sums = 3

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def gradients(
        self,
        s: LossBuffers,
        target: torch.Tensor,
        total: torch.Tensor,
        smoothing: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> None:
        """Write the gradient of the outputs and add the losses; a number has no label to smooth."""
        error = torch.sub(s.logits, target, out=s.p)  # [L, 1, B]
        losses = self._losses(error)
        total.add_((losses if weights is None else losses * weights).sum((1, 2)))
        if self._kind == "mse":
            torch.mul(error, 2 / s.batch, out=s.grad)
        else:
            slope = error.sign() if self._kind == "mae" else error.clamp(-HUBER_DELTA, HUBER_DELTA)
            torch.mul(slope, 1 / s.batch, out=s.grad)
        if weights is not None:
            s.grad.mul_(weights)

    def validate(self, outputs: torch.Tensor, target: torch.Tensor, *, scratch: torch.Tensor) -> torch.Tensor:
        """Return the sums of losses, of squared and of absolute errors."""
        error = torch.sub(outputs, target, out=scratch)
        return torch.stack([v.sum((1, 2)) for v in (self._losses(error), error.square(), error.abs())])

    def metrics(self, sums: list[float], data: DeviceData) -> dict[str, float]:
        """Return the loss, and the errors in the target's own units."""
        assert data.scale is not None, "a regression has a scaled target"
        n = len(data.y_val)
        errors = regression_metrics(sums[1], sums[2], n=n, spread=data.spread, scale=data.scale)
        return {"val_loss": sums[0] / n, **errors}

    def _losses(self, error: torch.Tensor) -> torch.Tensor:
        if self._kind == "mse":
            return error.square()
        if self._kind == "mae":
            return error.abs()
        return F.huber_loss(
            error,
            torch.zeros((), dtype=error.dtype, device=error.device).expand_as(error),
            reduction="none",
            delta=HUBER_DELTA,
        )
