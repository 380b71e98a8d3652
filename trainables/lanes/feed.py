"""What an epoch feeds to a stack: each lane's own order of the examples, and its own random bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import torch

from trainables.device_data import DeviceData, batch_bounds
from trainables.lanes.bits import BLOCK_BYTES, Bits
from trainables.lanes.trial import LaneTrial


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of every lane.

    Attributes:
        size: B.
        rows: of ``x_train``, lane by lane  # [L * B].
        labels: [L, 1, B].
        bits: random int16 numbers for each layer that drops units  # [L, B, U]; empty where none does.
        input_bits: the same for the inputs  # one of [L, B, D], or empty.
        weights: how much each example counts  # one of [L, 1, B], or empty where all count alike.
    """

    size: int
    rows: torch.Tensor
    labels: torch.Tensor
    bits: tuple[torch.Tensor, ...] = ()
    input_bits: tuple[torch.Tensor, ...] = ()
    weights: tuple[torch.Tensor, ...] = ()

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All tensors of the batch."""
        return (self.rows, self.labels, *self.bits, *self.input_bits, *self.weights)

    def clone(self) -> Batch:
        """Return a copy in memory of its own."""
        parts = (self.bits, self.input_bits, self.weights)
        return Batch(self.size, self.rows.clone(), self.labels.clone(), *(tuple(t.clone() for t in p) for p in parts))


class Feed:
    """Draws the batches of a stack's epochs.

    Args:
        data: the examples.
        lanes: L.
        batch_size: as configured.
        units: U of each layer that may drop some of them: how many numbers an example has there.
        block_bytes: most random bits that a lane's layer holds at once.
    """

    def __init__(
        self,
        data: DeviceData,
        *,
        lanes: int,
        batch_size: int,
        units: tuple[int, ...],
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self._data = data
        self._lanes = lanes
        self._block_bytes = block_bytes
        self._sizes = [stop - start for start, stop in batch_bounds(data.examples, batch_size)]
        self._order = torch.zeros(lanes, data.examples, dtype=torch.int64)
        self._bits = self._bits_for(units)
        self._input_bits: Bits | None = None  # they are many, and few trials drop inputs

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The buffers that stay."""
        inputs = [] if self._input_bits is None else self._input_bits.tensors
        return (self._order, *self._bits.tensors, *inputs)

    def epoch(self, trials: Sequence[LaneTrial | None]) -> Iterator[Batch]:
        """Yield the batches of an epoch; ``trials[l]`` sits in lane l.

        Every trial's streams advance exactly as in the plain loop: one permutation an epoch, and for each
        batch and layer one draw.
        """
        rows, labels, weights = self._shuffled(trials)
        seated = [(lane, t) for lane, t in enumerate(trials) if t is not None]
        bits = self._bits.epoch([(lane, t.streams) for lane, t in seated if t.config.dropout > 0])
        dropping_inputs = [(lane, t.input_streams) for lane, t in seated if t.input_streams]
        if dropping_inputs and self._input_bits is None:
            self._input_bits = self._bits_for((self._data.features,))
        inputs = repeat(()) if self._input_bits is None else self._input_bits.epoch(dropping_inputs)
        yield from map(Batch, self._sizes, rows, labels, bits, inputs, weights)

    def _bits_for(self, units: tuple[int, ...]) -> Bits:
        return Bits(
            lanes=self._lanes,
            sizes=self._sizes,
            units=units,
            device=self._data.x_train.device,
            block_bytes=self._block_bytes,
        )

    def _shuffled(
        self, trials: Sequence[LaneTrial | None]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], Iterable[tuple[torch.Tensor, ...]]]:
        """Return rows, labels and weights of each batch."""
        for lane, trial in enumerate(trials):
            if trial is not None:
                torch.randperm(self._data.examples, generator=trial.shuffle, out=self._order[lane])
        order = self._order.to(self._data.y_train.device)
        parts = self._cut(order)
        labels = self._taken(self._data.y_train, parts)
        weights: Iterable[tuple[torch.Tensor, ...]] = repeat(())
        if self._data.weights is not None:
            weights = [(batch,) for batch in self._taken(self._data.weights, parts)]
        if self._data.views > 1:  # each lane's trial is at an epoch of its own
            first = [0 if t is None else self._data.first_row(t.epoch) for t in trials]
            parts = self._cut(order + torch.tensor(first, device=order.device).unsqueeze(1))
        return [batch for part in parts for batch in part.unbind()], labels, weights

    def _taken(self, of_examples: torch.Tensor, parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return a number of each example, batch by batch  # [N] -> [L, 1, B] each."""
        return [
            batch for part in parts for batch in of_examples.take(part).view(len(part), self._lanes, 1, -1).unbind()
        ]

    def _cut(self, order: torch.Tensor) -> list[torch.Tensor]:
        """Return the batches of all lanes, batches outermost, so that each lies in one piece.

        Shape: [L, N] -> [batches of the usual size, L * B], if any, and [1, L * B of the last].
        """
        full, whole = self._sizes[0], len(self._sizes) - 1
        parts = [order[:, whole * full :].reshape(1, -1)]
        if whole:
            parts.insert(0, order[:, : whole * full].reshape(self._lanes, whole, full).transpose(0, 1).flatten(1))
        return parts
