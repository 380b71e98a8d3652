"""Where the features of frozen stages are kept: by which images they are of, and after how many stages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeAlias

import torch

VALIDATION = "validation"
"""Stands for an augmentation where the validation images are meant, which have none."""

FeatureKey: TypeAlias = "tuple[str, int]"
"""Names a tensor: which images it is of (an augmentation, or ``VALIDATION``), and after how many stages."""


class FeatureStore(Protocol):
    """Where features are kept. What was kept last, or asked for, is the last to be let go."""

    def get(self, key: FeatureKey) -> torch.Tensor | None:
        """Return what is kept under ``key``, or None."""

    def used(self) -> OrderedDict[FeatureKey, int]:
        """Return the bytes of all that is kept, what was used longest ago first."""

    def create(self, key: FeatureKey, shape: Sequence[int]) -> torch.Tensor | None:
        """Return room for float32 numbers, to be filled and given to ``keep``; None where there is none."""

    def keep(self, key: FeatureKey, filled: torch.Tensor) -> torch.Tensor:
        """Keep the filled numbers, and return the tensor that is to be read."""

    def drop(self, key: FeatureKey) -> None:
        """Let go of what is kept under ``key``."""

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """While inside, no other process fills this store."""


class MemoryFeatureStore:
    """Features in memory, on the device that trains."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: OrderedDict[FeatureKey, torch.Tensor] = OrderedDict()

    def get(self, key: FeatureKey) -> torch.Tensor | None:
        """See ``FeatureStore``."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def used(self) -> OrderedDict[FeatureKey, int]:
        """See ``FeatureStore``."""
        return OrderedDict((key, t.numel() * t.element_size()) for key, t in self._kept.items())

    def create(self, key: FeatureKey, shape: Sequence[int]) -> torch.Tensor | None:
        """See ``FeatureStore``."""
        return torch.empty(*shape, device=self._device)

    def keep(self, key: FeatureKey, filled: torch.Tensor) -> torch.Tensor:
        """See ``FeatureStore``."""
        self._kept[key] = filled
        return filled

    def drop(self, key: FeatureKey) -> None:
        """See ``FeatureStore``."""
        del self._kept[key]

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See ``FeatureStore``; there is no other."""
        yield
