"""What the trials of a group of modules have in common, used as a ``Blueprint``: where each weight lies in a lane."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from trainables.lanes.blueprint import Names
from trainables.lanes.grouping import FEWEST
from trainables.lanes.layout import ALIGNMENT, Slot
from trainables.lanes.modules.form import form_of, has_hooks
from trainables.lanes.modules.key import ModuleKey
from trainables.models import penalised_weights

LEAST_LANES = 2
"""Lanes of a stack: with one, torch's library takes other kernels, which round otherwise."""


@dataclass(frozen=True)
class ModuleLayout:
    """Where a lane's weights lie, used as a ``Layout``: those that an L1 penalty covers first.

    Attributes:
        penalised: how many numbers these are.
        linear: how many numbers there are.
        size: the same, filled up to whole cache lines.
    """

    penalised: int
    linear: int
    statistics_size: int = 0

    @property
    def size(self) -> int:
        """P: how many numbers a lane has."""
        return math.ceil(self.linear / ALIGNMENT) * ALIGNMENT


class ModuleBlueprint:
    """The module of a group.

    Args:
        key: of the group.
        build: makes a module of the group, which the stack may change.
        shape: of one example.
        outputs: C, or 1 where the target is a number.

    Attributes:
        layout: of a lane's weights.
        rest: the names of all else that a module keeps in tensors: its buffers.
        state: what each name of the module's ``state_dict`` is called here; tied weights have one name.
    """

    units: tuple[int, ...] = ()

    def __init__(self, key: ModuleKey, build: Callable[[], nn.Module], shape: tuple[int, ...], outputs: int) -> None:
        self.key, self.build, self.shape, self.outputs = key, build, shape, outputs
        model = build()
        parameters = dict(model.named_parameters())
        penalised = {id(weight) for weight in penalised_weights(model)}
        first = [name for name, weight in parameters.items() if id(weight) in penalised]
        places: dict[str, Slot] = {}
        start = 0
        for name in (*first, *(name for name in parameters if name not in first)):
            places[name] = Slot(start, tuple(parameters[name].shape))
            start = places[name].stop
        self.layout = ModuleLayout(sum(parameters[name].numel() for name in first), start)
        self.rest = tuple(name for name, _ in model.named_buffers())
        own = {id(tensor): name for name, tensor in (*model.named_parameters(), *model.named_buffers())}
        self.state = {name: own[id(tensor)] for name, tensor in model.state_dict(keep_vars=True).items()}
        self._names = Names({name: places[name] for name in parameters}, {}, (), (), ())

    def names(self, *, batch_norm: bool) -> Names:
        """Return the places of the weights, in the optimiser's order."""
        return self._names

    @property
    def lane_bytes(self) -> int:
        """Estimate what one lane touches while it trains a batch; what its activations take is not known."""
        return 4 * (4 * self.layout.linear + self.key.batch_size * 4 * math.prod(self.shape))

    @property
    def fewest(self) -> int:
        """Lanes of a stack even where they leave its cache."""
        return max(FEWEST, LEAST_LANES)


def why_not_stacked(model: nn.Module) -> str:
    """Return why such a module cannot be a lane of a stack, told by what it is made of; empty if it may be."""
    if isinstance(model, torch.jit.ScriptModule):
        return "it is compiled by torch.jit"
    if obstacle := form_of(model).obstacle:
        return obstacle
    parameters = list(model.parameters())
    if not all(p.requires_grad for p in parameters):
        return "some of its parameters are frozen"
    if any(p.dtype != torch.get_default_dtype() or not p.is_contiguous() for p in parameters):
        return "some of its parameters are not float32, or do not lie in one piece"
    if any(map(has_hooks, parameters)):
        return "some of its parameters have hooks (register_hook)"
    if any(type(m).get_extra_state is not nn.Module.get_extra_state for m in model.modules()):
        return "it keeps an extra state"
    known = {id(t) for t in (*parameters, *model.buffers())}
    if any(id(t) not in known for t in model.state_dict(keep_vars=True).values()):
        return "its state_dict() holds more than its parameters and buffers"
    return ""
