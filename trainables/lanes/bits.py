"""The random bits of a stack's lanes: each lane's own draws, a block of batches at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch

from trainables.seeding import BitStream, draw_each

BLOCK_BYTES = 1 << 17
"""Most random bits that a lane's layer holds at once: a block of batches, so that memory stays bounded."""

Dropping: TypeAlias = Sequence[tuple[int, Sequence[BitStream]]]
"""The lanes that drop something, and the stream of each layer there."""


class Bits:
    """Draws what some layers of a stack drop units by.

    Args:
        lanes: L.
        sizes: B of each batch of an epoch.
        units: U of each layer: how many numbers an example has there.
        device: of the streams.
        block_bytes: most random bits that a lane's layer holds at once.
    """

    def __init__(
        self,
        *,
        lanes: int,
        sizes: Sequence[int],
        units: Sequence[int],
        device: torch.device,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self._lanes = lanes
        self._sizes = sizes
        self._units = units
        # words of 64 bits for each batch and layer: a draw takes whole words, as in ``BitStream.draw``
        self._words = [[math.ceil(size * u / 4) for size in sizes] for u in units]
        self._blocks = _blocks(sizes, widest=max(units, default=0), block_bytes=block_bytes)
        most = [max(sum(words[b.start : b.stop]) for b in self._blocks) for words in self._words]
        self.tensors = [torch.zeros(lanes, 4 * m, dtype=torch.int16, device=device) for m in most]

    def epoch(self, dropping: Dropping) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield the bits of each layer for each batch  # [L, B, U]; none where no lane drops any.

        A lane's streams advance as in the plain loop, by one draw for each batch and layer.
        """
        if not dropping:
            yield from [()] * len(self._sizes)
            return
        for block in self._blocks:
            self._draw(dropping, block)
            offsets = [0] * len(self._units)
            for b in block:
                bits = []
                for i, width in enumerate(self._units):
                    part = self.tensors[i][:, offsets[i] : offsets[i] + self._sizes[b] * width]
                    bits.append(part.view(self._lanes, self._sizes[b], width))
                    offsets[i] += 4 * self._words[i][b]
                yield tuple(bits)

    def _draw(self, dropping: Dropping, block: range) -> None:
        for i, words in enumerate(self._words):
            n = 4 * sum(words[block.start : block.stop])
            if self.tensors[i].device.type == "cpu":
                for lane, streams in dropping:
                    self.tensors[i][lane, :n] = streams[i].draw(n)
            else:
                lanes = torch.tensor([lane for lane, _ in dropping], device=self.tensors[i].device)
                self.tensors[i][lanes, :n] = draw_each([streams[i] for _, streams in dropping], n)


def _blocks(sizes: Sequence[int], *, widest: int, block_bytes: int) -> list[range]:
    """Cut the batches into runs whose bits fit in ``block_bytes`` for the widest layer."""
    per_block = max(1, block_bytes // max(1, 2 * max(sizes) * widest))
    return [range(b, min(b + per_block, len(sizes))) for b in range(0, len(sizes), per_block)]
