"""Which trials may share a stack, and how a group's trials are spread over stacks."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch

from trainables.config import CnnConfig, MlpConfig

CACHE_BYTES = 4 << 20
"""What a stack should touch in a step, if one thread trains alone: second-level cache, a share of the third."""
FEWEST = 4
"""Lanes of a stack even where they exceed that: starting an operation costs as much as a small one does."""
WORTH_BYTES = 3 << 19
"""What a stack should touch at least to be worth a thread of its own."""


@dataclass(frozen=True, slots=True)
class GroupKey:
    """What the trials of a stack have in common: everything that fixes shapes or the kind of update.

    Attributes:
        channels: of a CNN's blocks; None for an MLP.
        global_pool: of a CNN.
    """

    hidden: tuple[int, ...]
    activation: str
    batch_size: int
    optimizer: str
    loss: str
    channels: tuple[int, ...] | None = None
    global_pool: bool = False

    def __str__(self) -> str:
        hidden = "-".join(map(str, self.hidden)) or "none"
        model = f"mlp {hidden}"
        if self.channels is not None:
            pool = ", global pool" if self.global_pool else ""
            model = f"cnn {'-'.join(map(str, self.channels))}{pool}, head {hidden}"
        return f"{model}, {self.activation}, batch {self.batch_size}, {self.optimizer}, loss {self.loss}"

    @classmethod
    def of(cls, config: MlpConfig) -> GroupKey:
        """Return the key of a trial."""
        shared = (config.hidden, config.activation, config.batch_size, config.optimizer, config.loss)
        if isinstance(config, CnnConfig):
            return cls(*shared, config.channels, config.global_pool)
        return cls(*shared)


def can_stack(config: object) -> bool:
    """Say whether trials of this kind can train as one stack of tensors."""
    return isinstance(config, MlpConfig)


def group_key(config: Any) -> Hashable:
    """Return what two trials must share to train in one stack; for what only loops, its type's name."""
    if isinstance(config, MlpConfig):
        return GroupKey.of(config)
    return f"{type(config).__module__}.{type(config).__qualname__}"


def usual_mode(config: object, device: torch.device) -> str:
    """Return how trials of this kind train where nobody says how: ``stacked`` or ``looped``.

    On a CPU a CNN trains as the plain loop, a trial a core: the last digits of a grouped convolution depend
    on the number of lanes beside it, and a resumed search must not (``docs/decisions/``, CNNs in lanes).
    """
    if not can_stack(config) or (isinstance(config, CnnConfig) and device.type == "cpu"):
        return "looped"
    return "stacked"


def stack_sizes(trials: int, *, lane_bytes: int, threads: int, device: torch.device, fewest: int = FEWEST) -> list[int]:
    """Return how many lanes each stack of a group should have, for ``trials`` trials.

    On CPU a stack is as large as its thread's cache bears, and every thread has as many as any other. A
    batched product treats each matrix alone, so a lane's numbers do not depend on its stack's size (a
    grouped convolution's may, in their last digits). On a GPU one stack holds the whole group, rounded up
    to a power of two, so that captured graphs survive.
    """
    if trials == 0:
        return []
    if device.type != "cpu":
        return [1 << (trials - 1).bit_length()]
    # Threads wait for each other's start of an operation, which Python's lock allows one at a time: with
    # several, fewer and longer operations are better, even if they leave the cache.
    most = max(fewest, CACHE_BYTES * min(threads, 2) // lane_bytes)
    count = max(1, math.ceil(trials / most), min(threads, trials * lane_bytes // WORTH_BYTES, trials))
    if count > threads:
        count = min(trials, math.ceil(count / threads) * threads)
    small, larger = divmod(trials, count)
    return [small + (i < larger) for i in range(count)]
