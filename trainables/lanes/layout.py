"""Where each number of a trial lies: one flat vector of parameters per lane, and views into it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import nn

from trainables.config import MlpConfig
from trainables.models import Mlp

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
        return part.view(*flat.shape[:-1], *self.shape)


@dataclass(frozen=True)
class Layout:
    """The order of a lane's numbers: weights, then biases, then batch norm's scales and shifts.

    Weights come first because the L1 penalty covers them alone; batch norm comes last because a trial
    without it trains only what lies before.

    Attributes:
        widths: D, the hidden widths, C.
    """

    widths: tuple[int, ...]

    @cached_property
    def weights(self) -> list[Slot]:
        """Of each linear layer  # [H, D]."""
        return _consecutive(0, [(b, a) for a, b in zip(self.widths, self.widths[1:], strict=False)])

    @cached_property
    def biases(self) -> list[Slot]:
        """Of each linear layer  # [H]."""
        return _consecutive(self.penalised, [(b,) for b in self.widths[1:]])

    @cached_property
    def scales(self) -> list[Slot]:
        """Of each batch norm  # [H]."""
        return _consecutive(self.linear, [(b,) for b in self.widths[1:-1]])

    @cached_property
    def shifts(self) -> list[Slot]:
        """Of each batch norm  # [H]."""
        return _consecutive(self.linear + sum(self.widths[1:-1]), [(b,) for b in self.widths[1:-1]])

    @cached_property
    def statistics(self) -> list[Slot]:
        """Running mean and variance of each batch norm, in a vector of their own  # [2, H]."""
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


@dataclass(frozen=True)
class Names:
    """What the plain loop calls each number, in its order.

    Attributes:
        parameters: by name; the order is that of the optimiser's state.
        statistics: running mean and variance by name; their slots lie in the vector of statistics.
        counters: the names of batch norm's ``num_batches_tracked``.
        order: every name as ``Mlp.state_dict`` has them.
        linear: weight and bias (where there is one) of each linear layer, in order.
    """

    parameters: dict[str, Slot]
    statistics: dict[str, Slot]
    counters: tuple[str, ...]
    order: tuple[str, ...]
    linear: tuple[Slot, ...]


@lru_cache(maxsize=64)
def names(layout: Layout, *, batch_norm: bool) -> Names:
    """Read the names off a model of the plain loop, so that they cannot drift apart."""
    hidden = layout.widths[1:-1]
    model = Mlp(
        MlpConfig(max_epochs=1, hidden=hidden, batch_norm=batch_norm),
        layout.widths[0],
        layout.widths[-1],
        seed=0,
        device=torch.device("cpu"),
    )
    parameters: dict[str, Slot] = {}
    statistics: dict[str, Slot] = {}
    counters = []
    linears = iter(zip(layout.weights, layout.biases, strict=True))
    norms = iter(zip(layout.scales, layout.shifts, layout.statistics, strict=True))
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            parameters[f"{name}.weight"], bias = next(linears)
            if module.bias is not None:
                parameters[f"{name}.bias"] = bias
        elif isinstance(module, nn.BatchNorm1d):
            scale, shift, pair = next(norms)
            parameters[f"{name}.weight"], parameters[f"{name}.bias"] = scale, shift
            width = pair.shape[1]
            statistics[f"{name}.running_mean"] = Slot(pair.start, (width,))
            statistics[f"{name}.running_var"] = Slot(pair.start + width, (width,))
            counters.append(f"{name}.num_batches_tracked")
    assert [name for name, _ in model.named_parameters()] == list(parameters)
    linear = tuple(slot for slot in parameters.values() if slot.start < layout.linear)
    return Names(parameters, statistics, tuple(counters), tuple(model.state_dict()), linear)


def _consecutive(start: int, shapes: list[tuple[int, ...]]) -> list[Slot]:
    slots = []
    for shape in shapes:
        slots.append(Slot(start, shape))
        start = slots[-1].stop
    return slots


def _aligned(numbers: int) -> int:
    return math.ceil(numbers / ALIGNMENT) * ALIGNMENT
