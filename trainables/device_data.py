"""A data set as tensors on one device, and how it is cut into batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray

from trainables.data import Splits
from trainables.data.memory import is_mapped
from trainables.data.splits import TargetScale
from trainables.task import Task

VALIDATION_BATCH = 8192
"""Most examples that are validated at once."""

VALIDATION_NUMBERS = 1 << 23
"""Most numbers of the examples that are validated at once, so that large images do not exhaust the memory."""

FEWEST_VALIDATED = 64
"""Examples that are validated at once even where they have more than ``VALIDATION_NUMBERS`` numbers."""


@dataclass(frozen=True)
class DeviceData:
    """A data set as tensors on one device; batches are index slices.

    Attributes:
        x_train: [N, ...] float32, or [V * N, ...]: V views of each example, one view of all examples after
            another. For models that convert them themselves also uint8 pixels [N, channels, height, width];
            such trials do not stack.
        y_train: [N] int64 class numbers, or float32 standardised numbers.
        x_val, y_val: the validation examples, likewise, of one view.
        outputs: C, or 1 where the target is a number.
        scale: how a numeric target was standardised; None for classes.
        extra_metrics: metrics that every report is to hold besides the usual ones.
        views: V; epoch e (from 0) trains on view e % V of every example.
        weights: [N] how much each training example counts in the loss that is trained on, 1 on average; None where all
            count alike.

    Raises:
        ValueError: the training examples are not ``views`` for each target.
    """

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_val: torch.Tensor
    y_val: torch.Tensor
    outputs: int
    scale: TargetScale | None = None
    extra_metrics: tuple[str, ...] = ()
    views: int = 1
    weights: torch.Tensor | None = None

    streams: ClassVar[bool] = False
    """Whether the inputs are read a batch at a time; such trials do not stack."""

    def __post_init__(self) -> None:
        if self.views < 1 or len(self.x_train) != self.views * self.examples:
            raise ValueError(
                f"x_train must hold {self.views} views of {self.examples} examples, got {len(self.x_train)} rows"
            )

    @classmethod
    def of(cls, splits: Splits, device: torch.device) -> DeviceData:
        """Return the arrays of ``splits`` on ``device``; on CPU they share their memory where they may be written."""
        train, val = splits.train, splits.val
        x_train, y_train, x_val, y_val = (as_tensor(a, device) for a in (train.held, train.y, val.held, val.y))
        weights = None if train.weights is None else as_tensor(train.weights, device)
        return cls(x_train, y_train, x_val, y_val, splits.outputs, splits.scale, splits.extra_metrics, weights=weights)

    @property
    def examples(self) -> int:
        """N, the number of training examples, whatever the number of views."""
        return len(self.y_train)

    def first_row(self, epoch: int) -> int:
        """Return where in ``x_train`` the view that epoch ``epoch`` (from 0) trains on begins."""
        return epoch % self.views * self.examples

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: [D] for a table, [channels, height, width] for an image."""
        return tuple(self.x_train.shape[1:])

    @property
    def features(self) -> int:
        """D, how many numbers one example has."""
        return math.prod(self.shape)

    @property
    def task(self) -> Task:
        """What is learned."""
        return Task.CLASSIFICATION if self.scale is None else Task.REGRESSION

    @cached_property
    def spread(self) -> float:
        """Sum of the squared distances of the validation targets from their mean."""
        y = self.y_val.double()
        return float((y - y.mean()).square().sum())

    @property
    def in_turn(self) -> bool:
        """Whether one trial of a process may read the examples at a time."""
        return False

    def training_batches(self, batches: Sequence[torch.Tensor], *, epoch: int, seed: int) -> Iterator[torch.Tensor]:
        """Yield the inputs of each batch of an epoch.

        Args:
            batches: the numbers of the examples of each.
            epoch: from 0.
            seed: the trial's.
        """
        first = self.first_row(epoch)
        x = self.x_train[first : first + self.examples]
        return (x[batch] for batch in batches)

    def validation_batches(self) -> Iterable[torch.Tensor]:
        """Return ``x_val`` in parts that a model takes at once without exhausting the memory."""
        return torch.split(self.x_val, validation_batch_size(self.features))


def validation_batch_size(features: int) -> int:
    """Return how many examples of ``features`` numbers each a model takes at once."""
    return max(FEWEST_VALIDATED, min(VALIDATION_BATCH, VALIDATION_NUMBERS // features))


def as_tensor(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array on ``device``; on CPU the two share their memory where it may be written."""
    # Ray hands out arrays that are read-only, which torch cannot express
    return torch.from_numpy(array if array.flags.writeable or is_mapped(array) else array.copy()).to(device)


def batch_bounds(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Return (start, stop) of each batch of ``n`` examples.

    A last batch of one example, which batch norm cannot use, is merged into the one before.
    """
    starts = list(range(0, n, batch_size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))
