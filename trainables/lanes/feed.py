"""What an epoch feeds to a stack: each lane's own order of the examples, and its own random bits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from trainables.lanes.trial import LaneTrial
from trainables.loop import DeviceData, batch_bounds
from trainables.seeding import draw_each

BLOCK_BYTES = 1 << 17
"""Most random bits that a lane's layer holds at once: a block of batches, so that memory stays bounded."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of every lane.

    Attributes:
        size: B.
        rows: which examples, lane by lane  # [L * B].
        labels: [L, 1, B].
        bits: random int16 numbers for each layer that drops units  # [L, B, U]; empty where none does.
    """

    size: int
    rows: torch.Tensor
    labels: torch.Tensor
    bits: tuple[torch.Tensor, ...]

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All of them."""
        return (self.rows, self.labels, *self.bits)

    def clone(self) -> Batch:
        """Return a copy in memory of its own."""
        return Batch(self.size, self.rows.clone(), self.labels.clone(), tuple(bits.clone() for bits in self.bits))


class Feed:
    """Draws the batches of a stack's epochs.

    Args:
        data: the examples.
        lanes: L.
        batch_size: as configured.
        units: U of each layer that may drop some of them: how many numbers an example has there.
    """

    def __init__(self, data: DeviceData, *, lanes: int, batch_size: int, units: tuple[int, ...]) -> None:
        self._data = data
        self._lanes = lanes
        self._units = units
        self._sizes = [stop - start for start, stop in batch_bounds(len(data.x_train), batch_size)]
        self._order = torch.zeros(lanes, len(data.x_train), dtype=torch.int64)
        # words of 64 bits for each batch and layer: a draw takes whole words, as in ``BitStream.draw``
        self._words = [[math.ceil(size * u / 4) for size in self._sizes] for u in units]
        self._blocks = _blocks(self._sizes, widest=max(units, default=0))
        most = [max(sum(words[b.start : b.stop]) for b in self._blocks) for words in self._words]
        device = data.x_train.device
        self._bits = [torch.zeros(lanes, 4 * m, dtype=torch.int16, device=device) for m in most]

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The buffers that stay."""
        return (self._order, *self._bits)

    def epoch(self, trials: Sequence[LaneTrial | None]) -> Iterator[Batch]:
        """Yield the batches of an epoch; ``trials[l]`` sits in lane l.

        Every trial's streams advance exactly as in the plain loop: one permutation an epoch, and for each
        batch and layer one draw, which a block of batches takes at once.
        """
        rows, labels = self._shuffled(trials)
        dropping = [(lane, t) for lane, t in enumerate(trials) if t is not None and t.config.dropout > 0]
        for block in self._blocks:
            if dropping:
                self._draw(dropping, block)
            offsets = [0] * len(self._units)
            for b in block:
                bits = []
                for i, width in enumerate(self._units if dropping else ()):
                    part = self._bits[i][:, offsets[i] : offsets[i] + self._sizes[b] * width]
                    bits.append(part.view(self._lanes, self._sizes[b], width))
                    offsets[i] += 4 * self._words[i][b]
                yield Batch(self._sizes[b], rows[b], labels[b], tuple(bits))

    def _shuffled(self, trials: Sequence[LaneTrial | None]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return rows and labels of each batch, batches outermost, so that each lies in one piece."""
        n = self._order.shape[1]
        for lane, trial in enumerate(trials):
            if trial is not None:
                torch.randperm(n, generator=trial.shuffle, out=self._order[lane])
        order = self._order.to(self._data.y_train.device)
        rows: list[torch.Tensor] = []
        labels: list[torch.Tensor] = []
        full, last = self._sizes[0], self._sizes[-1]
        whole = len(self._sizes) - 1
        parts = [order[:, n - last :].reshape(1, self._lanes, last)]
        if whole:
            parts.insert(0, order[:, : whole * full].reshape(self._lanes, whole, full).transpose(0, 1))
        for part in parts:
            flat = part.reshape(len(part), -1)
            rows += flat.unbind()
            labels += self._data.y_train.take(flat).view(len(part), self._lanes, 1, -1).unbind()
        return rows, labels

    def _draw(self, dropping: Sequence[tuple[int, LaneTrial]], block: range) -> None:
        for i, words in enumerate(self._words):
            n = 4 * sum(words[block.start : block.stop])
            if self._bits[i].device.type == "cpu":
                for lane, trial in dropping:
                    self._bits[i][lane, :n] = trial.streams[i].draw(n)
            else:
                lanes = torch.tensor([lane for lane, _ in dropping], device=self._bits[i].device)
                self._bits[i][lanes, :n] = draw_each([trial.streams[i] for _, trial in dropping], n)


def _blocks(sizes: Sequence[int], *, widest: int) -> list[range]:
    """Cut the batches into runs whose bits fit in ``BLOCK_BYTES`` for the widest layer."""
    per_block = max(1, BLOCK_BYTES // max(1, 2 * max(sizes) * widest))
    return [range(b, min(b + per_block, len(sizes))) for b in range(0, len(sizes), per_block)]
