"""Examples that are streamed, as a trial takes them: the batches of an epoch come from outside of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch

from trainables.data import Splits
from trainables.data.streamed import Streamed
from trainables.derive import derive
from trainables.device_data import DeviceData, as_tensor, validation_batch_size


@dataclass(frozen=True)
class StreamData(DeviceData):
    """A data set whose inputs are read a batch at a time; its targets are on the device.

    ``x_train`` and ``x_val`` have the shapes of all examples and no numbers (torch's ``meta`` device): what would
    compute with them raises.

    Attributes:
        train_inputs, val_inputs: read them.
    """

    train_inputs: Streamed | None = None
    val_inputs: Streamed | None = None

    streams: ClassVar[bool] = True

    @classmethod
    def of(cls, splits: Splits, device: torch.device) -> Self:
        """Return the targets of ``splits``, which are streamed, on ``device``, and what reads the inputs."""
        train, val = splits.train, splits.val
        assert isinstance(train.x, Streamed) and isinstance(val.x, Streamed)
        return cls(
            torch.empty(train.x.shape, device="meta"),
            as_tensor(train.y, device),
            torch.empty(val.x.shape, device="meta"),
            as_tensor(val.y, device),
            splits.outputs,
            splits.scale,
            splits.extra_metrics,
            weights=None if train.weights is None else as_tensor(train.weights, device),
            train_inputs=train.x,
            val_inputs=val.x,
        )

    @property
    def in_turn(self) -> bool:
        """Whether one trial of a process may read at a time."""
        return self.train_inputs is not None and self.train_inputs.in_turn

    def training_batches(self, batches: Sequence[torch.Tensor], *, epoch: int, seed: int) -> Iterator[torch.Tensor]:
        """Yield the inputs of each batch on the device; what is drawn in reading them is of this epoch and seed."""
        assert self.train_inputs is not None
        numbers = [batch.cpu().numpy() for batch in batches]
        for x in self.train_inputs.batches(numbers, seed=derive(seed, "examples", epoch)):
            yield torch.from_numpy(x).to(self.y_train.device)

    def validation_batches(self) -> Iterator[torch.Tensor]:
        """Yield the validation inputs in parts that a model takes at once."""
        assert self.val_inputs is not None
        for x in self.val_inputs.in_order(validation_batch_size(self.features)):
            yield torch.from_numpy(x).to(self.y_val.device)


def place_examples(splits: Splits, device: torch.device) -> DeviceData:
    """Return examples as a trial on ``device`` takes them: held there, or streamed to it."""
    return StreamData.of(splits, device) if splits.streamed else DeviceData.of(splits, device)
