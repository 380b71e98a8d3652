"""What the trials of a group have in common: the model's shapes, read off the plain loop's own model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import nn

from trainables.config import CnnConfig, MlpConfig
from trainables.lanes.grouping import FEWEST, GroupKey
from trainables.lanes.layout import Layout, Slot
from trainables.models import build_model, feature_maps, weighted_layers

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Names:
    """What the plain loop calls each number, in its order.

    Attributes:
        parameters: by name; the order is that of the optimiser's state.
        statistics: running mean and variance by name; their slots lie in the vector of statistics.
        counters: the names of batch norm's ``num_batches_tracked``.
        order: every name as the model's ``state_dict`` has them.
        linear: weight and bias (where there is one) of each layer, in order.
    """

    parameters: dict[str, Slot]
    statistics: dict[str, Slot]
    counters: tuple[str, ...]
    order: tuple[str, ...]
    linear: tuple[Slot, ...]


class Blueprint:
    """The model of a group.

    Args:
        key: of the group.
        shape: of one example.
        outputs: C, or 1 where the target is a number.

    Attributes:
        layout: of a lane's numbers.
        maps: height and width of what each block of a CNN sees, and last of what its head sees; empty
            for an MLP.
    """

    def __init__(self, key: GroupKey, shape: tuple[int, ...], outputs: int) -> None:
        self.key = key
        self.shape = shape
        self.outputs = outputs
        self.maps = [] if key.channels is None else feature_maps(shape[1:], len(key.channels))
        model = self._model(batch_norm=False)
        self.layout = Layout(tuple(tuple(layer.weight.shape) for layer in weighted_layers(model)))
        self._names: dict[bool, Names] = {}

    @cached_property
    def units(self) -> tuple[int, ...]:
        """How many numbers an example has after each layer that may drop some of them."""
        areas = [math.prod(size) for size in self.maps[:-1]]
        widths = self.layout.widths[1:-1]
        return tuple(width * area for width, area in zip(widths, areas + [1] * len(widths), strict=False))

    @property
    def lane_bytes(self) -> int:
        """Estimate what one lane touches while it trains a batch: weights, moments, activations."""
        numbers = math.prod(self.shape) + 5 * sum(self.units) + 3 * self.outputs
        return 4 * (4 * self.layout.linear + self.key.batch_size * numbers)

    @property
    def fewest(self) -> int:
        """Lanes of a CPU's stack even where they leave its cache: a convolution is no small operation."""
        return FEWEST if self.key.channels is None else 1

    def names(self, *, batch_norm: bool) -> Names:
        """Return what the plain loop's model calls its numbers, with or without batch norm."""
        if batch_norm not in self._names:
            self._names[batch_norm] = _read_names(self._model(batch_norm=batch_norm), self.layout)
        return self._names[batch_norm]

    def _model(self, *, batch_norm: bool) -> nn.Module:
        key = self.key
        config = MlpConfig(max_epochs=1, hidden=key.hidden, batch_norm=batch_norm)
        if key.channels is not None:
            config = CnnConfig(
                max_epochs=1,
                hidden=key.hidden,
                batch_norm=batch_norm,
                channels=key.channels,
                global_pool=key.global_pool,
            )
        return build_model(config, self.shape, self.outputs, seed=0, device=CPU)


@lru_cache(maxsize=64)
def blueprint(key: GroupKey, shape: tuple[int, ...], outputs: int) -> Blueprint:
    """Return the blueprint of a group; the last few are kept."""
    return Blueprint(key, shape, outputs)


def _read_names(model: nn.Module, layout: Layout) -> Names:
    """Read the names off a model of the plain loop, so that they cannot drift apart."""
    parameters: dict[str, Slot] = {}
    statistics: dict[str, Slot] = {}
    counters = []
    layers = iter(zip(layout.weights, layout.biases, strict=True))
    norms = iter(zip(layout.scales, layout.shifts, layout.statistics, strict=True))
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            parameters[f"{name}.weight"], bias = next(layers)
            if module.bias is not None:
                parameters[f"{name}.bias"] = bias
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            scale, shift, pair = next(norms)
            parameters[f"{name}.weight"], parameters[f"{name}.bias"] = scale, shift
            width = pair.shape[1]
            statistics[f"{name}.running_mean"] = Slot(pair.start, (width,))
            statistics[f"{name}.running_var"] = Slot(pair.start + width, (width,))
            counters.append(f"{name}.num_batches_tracked")
    assert [name for name, _ in model.named_parameters()] == list(parameters)
    linear = tuple(slot for slot in parameters.values() if slot.start < layout.linear)
    return Names(parameters, statistics, tuple(counters), tuple(model.state_dict()), linear)
