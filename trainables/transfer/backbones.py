"""Backbones: torchvision's classification models, and a narrow ResNet, cut into stages.

A model is a row of stages and a head. Composed, the stages compute what the model's ``forward`` computes before its
last linear layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torchvision import models

from trainables.errors import ConfigError
from trainables.mistake import nearest
from trainables.transfer.config import NARROW
from trainables.transfer.narrow_resnet import NarrowResNet
from trainables.transfer.stage_cuts import FAMILIES

EXTRA_ARGUMENTS: dict[str, dict[str, Any]] = {
    # as torchvision builds them for its own weights, whose images it normalises anew
    name: {"aux_logits": True, "init_weights": True, "transform_input": True}
    for name in ("googlenet", "inception_v3")
}
"""What torchvision is given to build a model, by its name."""


@dataclass(frozen=True)
class Stage:
    """A part of a backbone.

    Attributes:
        name: the stage's name, such as ``layer1``.
        layers: its layers, in the order in which they are applied.
    """

    name: str
    layers: tuple[nn.Module, ...]


@dataclass(frozen=True)
class Backbone:
    """A model cut into stages.

    Attributes:
        name: the name that torchvision registers, or that of the narrow ResNet.
        model: whole, its own head included; the stages' layers are parts of it.
        stages: input side first; the last returns [B, ``features``].
        features: D, what the head sees.
    """

    name: str
    model: nn.Module
    stages: tuple[Stage, ...]
    features: int

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The names of the stages, input side first."""
        return tuple(stage.name for stage in self.stages)

    @property
    def head_keys(self) -> set[str]:
        """The names in the model's state that belong to no stage: its own head, and what only helped to train it."""
        ours = {id(t) for s in self.stages for layer in s.layers for t in (*layer.parameters(), *layer.buffers())}
        state = self.model.state_dict(keep_vars=True)
        return {name for name, tensor in state.items() if id(tensor) not in ours}


@cache
def backbone_names() -> tuple[str, ...]:
    """Return every backbone's name: the narrow ResNet first, then torchvision's in alphabetical order."""
    return (NARROW, *models.list_models(module=models))


def check_name(name: str) -> None:
    """Refuse an unknown backbone.

    Raises:
        ConfigError: it is unknown; the nearest name is suggested.
    """
    known = backbone_names()
    if name not in known:
        examples = f"{NARROW}, resnet18, mobilenet_v3_small, efficientnet_b0, convnext_tiny"
        raise ConfigError(
            f"unknown backbone {name!r}.{nearest(name, known)} Known: {examples} ... "
            f"({len(known)} in all: torchvision's classification models)"
        )


def build_backbone(name: str) -> Backbone:
    """Return a backbone on CPU with weights drawn from torch's global generator.

    Raises:
        ConfigError: an unknown name.
    """
    check_name(name)
    model = NarrowResNet() if name == NARROW else models.get_model(name, weights=None, **EXTRA_ARGUMENTS.get(name, {}))
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # cached features are read by many trials: nothing may write into its input
    cut, features = FAMILIES[type(model).__name__]
    stages = tuple(Stage(stage, tuple(layers)) for stage, layers in cut(model))
    return Backbone(name, model, stages, features(model))


@cache
def stage_names(name: str) -> tuple[str, ...]:
    """Return the names of a backbone's stages, input side first."""
    with torch.random.fork_rng([]):
        return build_backbone(name).stage_names


@cache
def draws_random_numbers(name: str) -> bool:
    """Say whether layers of the stages draw random numbers while they train: those that drop units, or whole blocks."""
    with torch.random.fork_rng([]):
        stages = build_backbone(name).stages
    layers = [module for stage in stages for layer in stage.layers for module in layer.modules()]
    dropping = any(float(getattr(layer, "p", 0) or 0) > 0 for layer in layers)  # Dropout, StochasticDepth
    return dropping or any(getattr(layer, "drop_rate", 0) or getattr(layer, "dropout", 0) for layer in layers)


def smallest_image(name: str) -> int:
    """Return the least height and width of an image, in pixels, as torchvision states it."""
    if name == NARROW:
        return 8  # it is halved three times
    return int(max(models.get_model_weights(name)["DEFAULT"].meta["min_size"]))


def fixed_image(name: str) -> int | None:
    """Return the only height and width that a backbone takes, or None where it takes any from the smallest on."""
    return 224 if name.startswith(("vit_", "maxvit_")) else None
