"""The metrics of a model's outputs, wherever these came from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from trainables.data.splits import TargetScale
from trainables.data.streamed import Streamed
from trainables.device_data import validation_batch_size
from trainables.losses import Loss
from trainables.metrics import classification_metrics, regression_metrics


def scores(
    outputs: torch.Tensor,
    y: torch.Tensor,
    *,
    loss: Loss,
    scale: TargetScale | None,
    spread: float,
    extra_metrics: Sequence[str] = (),
) -> dict[str, float]:
    """Return the mean loss and the metrics of the task, named as those of a validation part.

    Args:
        outputs: [N, C] logits, or [N, 1] standardised numbers.
        y: [N] class numbers, or standardised numbers.
        loss: what a trial validates by.
        scale: how a numeric target was standardised; None for classes.
        spread: sum of the squared distances of a numeric target from its mean.
        extra_metrics: those that are to be there besides the usual ones.
    """
    found = {"val_loss": loss(outputs, y, reduction="sum").item() / len(y)}
    if scale is None:
        found["val_accuracy"] = (outputs.argmax(1) == y).sum().item() / len(y)
        return found | classification_metrics(extra_metrics, outputs, y)
    error = outputs.squeeze(1) - y
    squares, distances = error.square().sum().item(), error.abs().sum().item()
    return found | regression_metrics(squares, distances, n=len(y), spread=spread, scale=scale)


def outputs_of(network: nn.Module, x: torch.Tensor | Streamed) -> torch.Tensor:
    """Return a network's outputs on CPU, in evaluation mode and in batches as a trial validates.

    Args:
        network: as it was trained; its mode stays what it was.
        x: inputs as in training, at least one  # [N, ...].
    """
    first = next(iter((*network.parameters(), *network.buffers())), None)
    dtype = None if first is None or not first.is_floating_point() else first.dtype
    device = torch.device("cpu") if first is None else first.device
    size = validation_batch_size(math.prod(x.shape[1:]))
    batches = map(torch.from_numpy, x.in_order(size)) if isinstance(x, Streamed) else torch.split(x, size)
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            return torch.cat([network(_cast(batch, dtype).to(device)).cpu() for batch in batches])
    finally:
        network.train(training)


def _cast(batch: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    return batch.to(dtype) if dtype is not None and batch.is_floating_point() else batch
