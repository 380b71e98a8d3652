"""Where each number of a trial lies: one flat vector of parameters per lane, and views into it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch

ALIGNMENT = 16
"""Floats. Every lane starts on a cache line, so that all lanes run the same vector code."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A tensor's place in a flat vector.

    Attributes:
        start: offset of its first number.
        shape: of the tensor.
    """

    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        """Offset after its last number."""
        return self.start + math.prod(self.shape)

    def of(self, flat: torch.Tensor) -> torch.Tensor:
        """Return the view  # [P] -> shape, [L, P] -> [L, *shape]."""
        part = flat[..., self.start : self.stop]
        return part.view((*flat.shape[:-1], *self.shape))


class Sizes(Protocol):
    """How many numbers of each kind a lane has; see ``Layout``."""

    @property
    def size(self) -> int:
        """P: how many numbers a lane has, filled up to whole cache lines."""

    @property
    def linear(self) -> int:
        """How many of them are no batch norm's."""

    @property
    def penalised(self) -> int:
        """How many of them an L1 penalty covers; they come first."""

    @property
    def statistics_size(self) -> int:
        """R: how many running statistics a lane has, filled up likewise."""


@dataclass(frozen=True)
class Layout:
    """The order of a lane's numbers: weights, then biases, then batch norm's scales and shifts.

    Weights come first because the L1 penalty covers them alone; batch norm comes last because a trial
    without it trains only what lies before. Batch norm may follow every layer but the last.

    Attributes:
        shapes: of each layer's weights, input side first: [H, D] of a linear layer, [H, D, 3, 3] of a
            convolution.
    """

    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of_widths(cls, *widths: int) -> Layout:
        """Return the layout of an MLP  # D, the hidden widths, C."""
        return cls(tuple((b, a) for a, b in zip(widths, widths[1:], strict=False)))

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """The inputs of the first layer, then the outputs of each: units, or channels."""
        return (self.shapes[0][1], *(shape[0] for shape in self.shapes))

    @cached_property
    def weights(self) -> list[Slot]:
        """The place of each layer's weights."""
        return _consecutive(0, list(self.shapes))

    @cached_property
    def biases(self) -> list[Slot]:
        """The place of each layer's biases  # [H]."""
        return _consecutive(self.penalised, [(b,) for b in self.widths[1:]])

    @cached_property
    def scales(self) -> list[Slot]:
        """The place of each batch norm's scales  # [H]."""
        return _consecutive(self.linear, [(b,) for b in self.widths[1:-1]])

    @cached_property
    def shifts(self) -> list[Slot]:
        """The place of each batch norm's shifts  # [H]."""
        return _consecutive(self.linear + sum(self.widths[1:-1]), [(b,) for b in self.widths[1:-1]])

    @cached_property
    def statistics(self) -> list[Slot]:
        """The place of each batch norm's running mean and variance, in a vector of their own  # [2, H]."""
        return _consecutive(0, [(2, b) for b in self.widths[1:-1]])

    @property
    def penalised(self) -> int:
        """How many numbers are weights."""
        return self.weights[-1].stop

    @property
    def linear(self) -> int:
        """How many numbers are weights or biases."""
        return self.biases[-1].stop

    @property
    def size(self) -> int:
        """P: how many numbers a lane has, filled up to whole cache lines."""
        return _aligned(self.linear + 2 * sum(self.widths[1:-1]))

    @property
    def statistics_size(self) -> int:
        """R: how many running statistics a lane has, filled up likewise."""
        return _aligned(2 * sum(self.widths[1:-1]))


def _consecutive(start: int, shapes: list[tuple[int, ...]]) -> list[Slot]:
    slots = []
    for shape in shapes:
        slots.append(Slot(start, shape))
        start = slots[-1].stop
    return slots


def _aligned(numbers: int) -> int:
    return math.ceil(numbers / ALIGNMENT) * ALIGNMENT
