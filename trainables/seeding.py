"""Every random stream of a trial has its own generator, derived from the trial's seed.

Weights, shuffling and dropout never share a stream: switching one of them off leaves the others'
numbers as they were, and a trial's curve depends on its own seed alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from trainables.derive import derive

STEPS = 1 << 16
"""Dropout rates are resolved to 1/65536, so that 16 random bits decide one unit."""


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator seeded with ``derive(seed, *names)``."""
    return torch.Generator().manual_seed(derive(seed, *names))


class BitStream:
    """An endless stream of 16-bit integers on a device, drawn in blocks.

    A draw of n values consumes ceil(n / 4) words of 64 bits, so drawing a whole epoch at once equals
    drawing it batch by batch wherever the batches' sizes are multiples of 4 values.

    On CPU the words come from NumPy's SFC64 (a third of the cost of torch's Mersenne Twister); on a GPU
    from SplitMix64 (Steele, Lea, Flood, 2014), whose i-th word is a function of seed and i: torch's GPU
    generator deals its numbers by launch, so that one large draw differs from several small ones.
    Values therefore differ between device kinds.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self._seed = seed
        self._drawn = 0
        self._cpu = np.random.SFC64(seed) if device.type == "cpu" else None

    def draw(self, n: int) -> torch.Tensor:
        """Return ``n`` values, int16 over its whole range  # [n]."""
        words = math.ceil(n / 4)
        if self._cpu is not None:
            raw = torch.from_numpy(np.atleast_1d(self._cpu.random_raw(words)).view(np.int16))
        else:
            raw = draw_each([self], n)[0]
        return raw[:n]

    def get_state(self) -> torch.Tensor:
        """Return the state as a tensor of words, fit for a checkpoint."""
        if self._cpu is not None:
            return torch.from_numpy(self._cpu.state["state"]["state"].view(np.int64).copy())
        return torch.tensor([self._drawn])

    def set_state(self, state: torch.Tensor) -> None:
        """Restore what ``get_state`` returned."""
        if self._cpu is not None:
            words = state.numpy().view(np.uint64)
            whole: Any = self._cpu.state
            whole["state"]["state"] = words.copy()
            self._cpu.state = whole
        else:
            self._drawn = int(state.item())

    def skip(self, words: int) -> tuple[int, int]:
        """Move a GPU's stream on by ``words``; return its seed and where it was."""
        before = self._drawn
        self._drawn += words
        return self._seed, before


def draw_each(streams: Sequence[BitStream], n: int) -> torch.Tensor:
    """Draw ``n`` values from each of several streams of one GPU in a few launches  # [len(streams), n]."""
    words = math.ceil(n / 4)
    device = streams[0].device
    seeds, starts = torch.tensor([stream.skip(words) for stream in streams], device=device).T.unsqueeze(2)
    return splitmix(seeds, starts, words).view(torch.int16)[:, :n]


def splitmix(seeds: torch.Tensor, starts: torch.Tensor, words: int) -> torch.Tensor:
    """Return words ``starts`` to ``starts + words`` of the SplitMix64 streams of ``seeds``.

    Shape: [L, 1] and [L, 1] -> [L, words], int64 throughout; its arithmetic wraps as the algorithm's does.
    """
    counter = starts + torch.arange(1, words + 1, device=seeds.device)
    z = seeds + counter * _signed(0x9E3779B97F4A7C15)
    z = (z ^ _shifted(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shifted(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shifted(z, 31)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


def _shifted(z: torch.Tensor, bits: int) -> torch.Tensor:
    # torch shifts int64 with its sign; the mask takes the copies of the sign away
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def threshold(rate: float) -> int:
    """Return the int16 value below which a unit is dropped, for ``BitStream`` values."""
    return round(rate * STEPS) - STEPS // 2


def keep_scale(rate: float) -> float:
    """Return 1 / P(keep) for the resolved rate: the factor that keeps the expectation."""
    return STEPS / (STEPS - round(rate * STEPS))
