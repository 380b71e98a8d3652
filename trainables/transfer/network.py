"""A backbone's stages and a head as modules: the part that is frozen, and the part that trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from trainables.models import Mlp
from trainables.transfer.backbones import Stage
from trainables.transfer.preprocessing import Normalise, Preprocessing


class TrainablePart(nn.Module):
    """What a trial trains: the last stages of a backbone, and the head.

    Its state names are ``stages.<stage>.<layer> ...`` and ``head. ...``; what is frozen before it is no part of it.

    Args:
        stages: the stages that train, input side first; may be none.
        head: a linear layer, maybe with dropout before it.
    """

    def __init__(self, stages: Sequence[Stage], head: Mlp) -> None:
        super().__init__()
        self.stages = nn.ModuleDict({stage.name: nn.Sequential(*stage.layers) for stage in stages})
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits  # [B, ...] -> [B, C]."""
        for stage in self.stages.values():
            x = stage(x)
        return self.head(x)  # type: ignore[no-any-return]

    def groups(self, factor: float) -> list[dict[str, Any]]:
        """Return groups of parameters: the head's, then each stage's, the last one first.

        Args:
            factor: each group's learning rate over that of the group behind it.
        """
        groups: list[dict[str, Any]] = [{"params": [*self.head.parameters()], "factor": 1.0}]
        for distance, stage in enumerate(reversed([*self.stages.values()]), start=1):
            parameters = [*stage.parameters()]
            if parameters:  # a stage of pooling alone has none
                groups.append({"params": parameters, "factor": factor**distance})
        return groups


class FullNetwork(TrainablePart):
    """A network from pixels to logits, as it is kept and used after a search.

    Shape: uint8 [B, 1 or 3, H, W], of any size that the preprocessing leaves large enough -> [B, C].
    """

    def __init__(self, preprocessing: Preprocessing, stages: Sequence[Stage], head: Mlp) -> None:
        super().__init__(stages, head)
        self._preprocessing = preprocessing
        self.normalise = Normalise(preprocessing)
        self.register_buffer("sizes", preprocessing.sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return super().forward(self.normalise(self._preprocessing.resized(x)))


def prepend_frozen(model: nn.Module, frozen: nn.Module) -> None:
    """Let what ``model`` is given pass through ``frozen`` first; it is no part of its state, nor of its parameters."""

    def pass_through(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        with torch.no_grad():
            return (frozen(inputs[0]),)

    model.register_forward_pre_hook(pass_through)


def full_state(
    preprocessing: Preprocessing, frozen: Sequence[Stage], trained: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return the state of a ``FullNetwork`` from a trial's frozen stages and the state of what it trained.

    Args:
        preprocessing: the preprocessing of the study's weights.
        frozen: the stages that did not train.
        trained: the state of a ``TrainablePart``; of its head alone where every stage is frozen.
    """
    normalise = Normalise(preprocessing)
    state = {f"normalise.{name}": tensor for name, tensor in normalise.state_dict().items()}
    state["sizes"] = preprocessing.sizes
    for stage in frozen:
        part = nn.Sequential(*stage.layers)
        state |= {f"stages.{stage.name}.{name}": tensor.cpu() for name, tensor in part.state_dict().items()}
    alone = not any(name.startswith("head.") for name in trained)
    return state | {f"head.{name}" if alone else name: tensor for name, tensor in trained.items()}
