"""Which trials may share a stack, and how a group's trials are spread over stacks."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch

from trainables.config import MlpConfig

CACHE_BYTES = 4 << 20
"""What a stack should touch in a step, if one thread trains alone: second-level cache, a share of the third."""
FEWEST = 4
"""Lanes of a stack even where they exceed that: starting an operation costs as much as a small one does."""
WORTH_BYTES = 3 << 19
"""What a stack should touch at least to be worth a thread of its own."""


@dataclass(frozen=True, slots=True)
class GroupKey:
    """What the trials of a stack have in common: everything that fixes shapes or the kind of update."""

    hidden: tuple[int, ...]
    activation: str
    batch_size: int
    optimizer: str
    loss: str

    @classmethod
    def of(cls, config: MlpConfig) -> GroupKey:
        """Return the key of a trial."""
        return cls(config.hidden, config.activation, config.batch_size, config.optimizer, config.loss)


def can_stack(config: object) -> bool:
    """Say whether trials of this kind can train as one stack of tensors."""
    return isinstance(config, MlpConfig)


def group_key(config: Any) -> Hashable:
    """Return what two trials must share to train in one stack; for what only loops, its type's name."""
    if isinstance(config, MlpConfig):
        return GroupKey.of(config)
    return f"{type(config).__module__}.{type(config).__qualname__}"


def bytes_per_lane(key: GroupKey, features: int, outputs: int) -> int:
    """Estimate what one lane touches while it trains a batch: weights, moments, activations."""
    widths = (features, *key.hidden, outputs)
    weights = sum(a * b + b for a, b in zip(widths, widths[1:], strict=False))
    activations = key.batch_size * (features + 5 * sum(key.hidden) + 3 * outputs)
    return 4 * (4 * weights + activations)


def stack_sizes(trials: int, *, lane_bytes: int, threads: int, device: torch.device) -> list[int]:
    """Return how many lanes each stack of a group should have, for ``trials`` trials.

    On CPU a stack is as large as its thread's cache bears, and every thread has as many as any other. A
    batched product treats each matrix alone, so a lane's numbers do not depend on its stack's size. On a
    GPU one stack holds the whole group, rounded up to a power of two, so that captured graphs survive.
    """
    if trials == 0:
        return []
    if device.type != "cpu":
        return [1 << (trials - 1).bit_length()]
    # Threads wait for each other's start of an operation, which Python's lock allows one at a time: with
    # several, fewer and longer operations are better, even if they leave the cache.
    most = max(FEWEST, CACHE_BYTES * min(threads, 2) // lane_bytes)
    count = max(1, math.ceil(trials / most), min(threads, trials * lane_bytes // WORTH_BYTES, trials))
    if count > threads:
        count = min(trials, math.ceil(count / threads) * threads)
    small, larger = divmod(trials, count)
    return [small + (i < larger) for i in range(count)]
