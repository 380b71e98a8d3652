"""Buffers that stay from batch to batch, laid out so that every lane's numbers are computed alike."""

from __future__ import annotations

import math

import torch

PADDING = 64
"""Numbers: a multiple of a cache line, and of what torch's vector code takes at a time on any CPU."""


class Padded:
    """Zeros [L, *shape] whose lanes start ``PADDING`` numbers apart, or a multiple of that.

    A library may round differently where a matrix starts off a cache line, or in the last few numbers of
    a tensor. Lanes that all start alike make that the same for each, however many there are.

    Attributes:
        tensor: [L, *shape].
        flat: the same and what lies between, in one piece.
    """

    def __init__(self, like: torch.Tensor, lanes: int, *shape: int) -> None:
        used = math.prod(shape)
        self.flat = like.new_zeros(lanes, math.ceil(used / PADDING) * PADDING)
        self.tensor = self.flat[:, :used].view(lanes, *shape)


class LossBuffers:
    """What a loss reads and writes of a batch.

    Attributes:
        batch: B.
        logits: the model's outputs  # [L, C, B].
        grad: of the mean loss, by output  # [L, C, B].
        log_p, p: scratch of the size of ``logits``.
        picked: scratch  # [L, 1, B].
        minus_one: -1 everywhere  # [L, 1, B].
        tensors: all of them.
    """

    def __init__(self, lanes: int, batch: int, outputs: int, like: torch.Tensor) -> None:
        self.batch = batch
        self.logits = like.new_empty(lanes, outputs, batch)
        self.log_p = like.new_empty(lanes, outputs, batch)
        self.p = like.new_empty(lanes, outputs, batch)
        self.grad = Padded(like, lanes, outputs, batch).tensor
        self.picked = like.new_empty(lanes, 1, batch)
        self.minus_one = like.new_full((lanes, 1, batch), -1.0)
        self.tensors = [self.logits, self.log_p, self.p, self.grad, self.picked, self.minus_one]
