"""Every random stream of a trial has its own generator, derived from the trial's seed.

Weights, shuffling and dropout never share a stream: switching one of them off leaves the others'
numbers as they were, and a trial's curve depends on its own seed alone.
"""

from __future__ import annotations

import math
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

    On CPU the words come from NumPy's SFC64 (a third of the cost of torch's Mersenne Twister); on a
    GPU from torch's generator of that device. Values therefore differ between device kinds.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self._cpu = np.random.SFC64(seed) if device.type == "cpu" else None
        self._gpu = None if device.type == "cpu" else torch.Generator(device).manual_seed(seed)

    def draw(self, n: int) -> torch.Tensor:
        """Return ``n`` values, int16 over its whole range  # [n]."""
        words = math.ceil(n / 4)
        if self._cpu is not None:
            raw = torch.from_numpy(np.atleast_1d(self._cpu.random_raw(words)).view(np.int16))
        else:
            low, high = torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max
            raw = torch.randint(low, high, (words,), generator=self._gpu, device=self.device).view(torch.int16)
        return raw[:n]

    def get_state(self) -> torch.Tensor:
        """Return the state as a tensor of bytes or words, fit for a checkpoint."""
        if self._cpu is not None:
            return torch.from_numpy(self._cpu.state["state"]["state"].view(np.int64).copy())
        assert self._gpu is not None
        return self._gpu.get_state()

    def set_state(self, state: torch.Tensor) -> None:
        """Restore what ``get_state`` returned."""
        if self._cpu is not None:
            words = state.numpy().view(np.uint64)
            whole: Any = self._cpu.state
            whole["state"]["state"] = words.copy()
            self._cpu.state = whole
        else:
            assert self._gpu is not None
            self._gpu.set_state(state)


def threshold(rate: float) -> int:
    """Return the int16 value below which a unit is dropped, for ``BitStream`` values."""
    return round(rate * STEPS) - STEPS // 2


def keep_scale(rate: float) -> float:
    """Return 1 / P(keep) for the resolved rate: the factor that keeps the expectation."""
    return STEPS / (STEPS - round(rate * STEPS))
