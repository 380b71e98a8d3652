"""Backbones: torchvision's classification models, and a narrow ResNet, cut into stages.

A model of torchvision is a row of stages and a head. Its stages are named in order from the input; what lies between
the last convolution and the head (pooling, flattening) belongs to the last stage, whose output is [B, D]. The layers
are the model's own: composed, the stages compute what its ``forward`` computes before the last linear layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, ResNet

from trainables.errors import ConfigError, nearest

NARROW = "narrow_resnet"
"""The backbone that is learned here where no weights are at hand: small enough for a CPU."""

NARROW_WIDTHS = (16, 32, 64, 128)
"""Channels of its four stages; torchvision's ResNet-18 has 64 to 512."""

RGB = 3


@dataclass(frozen=True)
class Stage:
    """A part of a backbone.

    Attributes:
        name: such as ``layer1``.
        layers: applied in order.
    """

    name: str
    layers: tuple[nn.Module, ...]


@dataclass(frozen=True)
class Backbone:
    """A model cut into stages.

    Attributes:
        name: as torchvision registers it.
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
        """Input side first."""
        return tuple(stage.name for stage in self.stages)

    @property
    def head_keys(self) -> set[str]:
        """The names in the model's state that belong to no stage: its own head, and what only helped to train it."""
        ours = {id(t) for s in self.stages for layer in s.layers for t in (*layer.parameters(), *layer.buffers())}
        state = self.model.state_dict(keep_vars=True)
        return {name for name, tensor in state.items() if id(tensor) not in ours}


class NarrowResNet(ResNet):  # type: ignore[misc]
    """torchvision's ResNet with one block a stage, narrower stages, and a first convolution that shrinks nothing.

    For images of 8 to 64 pixels: a 3x3 convolution stands where torchvision has one of 7x7 with stride 2 and a
    maximum (He et al. 2015, arXiv:1512.03385, section 4.2).
    """

    def __init__(self, widths: Sequence[int] = NARROW_WIDTHS) -> None:
        nn.Module.__init__(self)  # the parent's would build the wide stages
        self._norm_layer = nn.BatchNorm2d
        self.inplanes = widths[0]
        self.dilation, self.groups, self.base_width = 1, 1, 64
        self.conv1 = nn.Conv2d(RGB, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity()
        for number, width in enumerate(widths, start=1):
            layer = self._make_layer(BasicBlock, width, blocks=1, stride=1 if number == 1 else 2)
            setattr(self, f"layer{number}", layer)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[-1], 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


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
    model = NarrowResNet() if name == NARROW else models.get_model(name, weights=None, **_EXTRA.get(name, {}))
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # cached features are read by many trials: nothing may write into its input
    cut, features = _FAMILIES[type(model).__name__]
    stages = tuple(Stage(stage, tuple(layers)) for stage, layers in cut(model))
    return Backbone(name, model, stages, features(model))


@cache
def stage_names(name: str) -> tuple[str, ...]:
    """Return the names of a backbone's stages, input side first."""
    with torch.random.fork_rng([]):
        return build_backbone(name).stage_names


@cache
def draws_numbers(name: str) -> bool:
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


class GlobalMean(nn.Module):
    """Mean over height and width  # [B, C, H, W] -> [B, C]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the means."""
        return x.mean((2, 3))


class Method(nn.Module):
    """A step of a model that is code of its ``forward`` and no layer; its parameters stay the model's.

    Args:
        parts: the layers that ``step`` uses, so that they freeze and move with the stage.
        tensors: parameters of the model itself that it uses.
        step: what is done.
    """

    def __init__(
        self, step: Callable[[torch.Tensor], torch.Tensor], *parts: nn.Module, **tensors: nn.Parameter
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        for name, tensor in tensors.items():
            self.register_parameter(name, tensor)
        self._step = step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Do the step."""
        return self._step(x)


Cut = list[tuple[str, list[nn.Module]]]


def _resnet(m: Any) -> Cut:
    return [
        ("stem", [m.conv1, m.bn1, m.relu, m.maxpool]),
        *((f"layer{i}", [getattr(m, f"layer{i}")]) for i in (1, 2, 3)),
        ("layer4", [m.layer4, m.avgpool, nn.Flatten()]),
    ]


def _numbered(blocks: Sequence[nn.Module], *, first: str, last: str, name: str = "block") -> Cut:
    """Name a row of layers: the first, the numbered ones between, the last."""
    inner = [(f"{name}{i}", [block]) for i, block in enumerate(blocks[1:-1], start=1)]
    return [(first, [blocks[0]]), *inner, (last, [blocks[-1]])]


def _ended(stages: Cut, *tail: nn.Module) -> Cut:
    name, layers = stages[-1]
    return [*stages[:-1], (name, [*layers, *tail])]


def _efficientnet(m: Any) -> Cut:
    return _ended(_numbered([*m.features], first="stem", last="conv", name="stage"), m.avgpool, nn.Flatten())


def _mobilenet_v2(m: Any) -> Cut:
    return _ended(_numbered([*m.features], first="stem", last="conv"), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _mobilenet_v3(m: Any) -> Cut:
    stages = _ended(_numbered([*m.features], first="stem", last="conv"), m.avgpool, nn.Flatten())
    return [*stages, ("classifier", [m.classifier[0], m.classifier[1]])]


def _in_pairs(m: Any) -> Cut:
    """ConvNeXt and Swin: a stem, then stages of which all but the first begin with a layer that shrinks."""
    f = m.features
    return [("stem", [f[0]]), ("stage1", [f[1]]), *((f"stage{i // 2 + 1}", [f[i], f[i + 1]]) for i in (2, 4, 6))]


def _convnext(m: Any) -> Cut:
    return _ended(_in_pairs(m), m.avgpool, m.classifier[0], m.classifier[1])


def _swin(m: Any) -> Cut:
    return _ended(_in_pairs(m), m.norm, m.permute, m.avgpool, m.flatten)


def _densenet(m: Any) -> Cut:
    f = m.features
    return [
        ("stem", [f.conv0, f.norm0, f.relu0, f.pool0]),
        *((f"denseblock{i}", [getattr(f, f"denseblock{i}"), getattr(f, f"transition{i}")]) for i in (1, 2, 3)),
        ("denseblock4", [f.denseblock4, f.norm5, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]),
    ]


def _pooled(layers: Sequence[nn.Module]) -> Cut:
    """Cut a row of layers behind each maximum."""
    stages: Cut = [("block1", [])]
    for layer in layers:
        stages[-1][1].append(layer)
        if isinstance(layer, nn.MaxPool2d):
            stages.append((f"block{len(stages) + 1}", []))
    return stages if stages[-1][1] else stages[:-1]


def _vgg(m: Any) -> Cut:
    stages = _ended(_pooled([*m.features]), m.avgpool, nn.Flatten())
    return [*stages, ("classifier", [*m.classifier[:-1]])]


def _squeezenet(m: Any) -> Cut:
    return _ended(_pooled([*m.features]), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _mnasnet(m: Any) -> Cut:
    rows = [*m.layers]
    inner = [(f"stage{i - 7}", [rows[i]]) for i in range(8, 14)]
    return [("stem", rows[:8]), *inner, ("conv", [*rows[14:], GlobalMean()])]


def _regnet(m: Any) -> Cut:
    blocks = [(name, [block]) for name, block in m.trunk_output.named_children()]
    return _ended([("stem", [m.stem]), *blocks], m.avgpool, nn.Flatten())


def _shufflenet(m: Any) -> Cut:
    stages = [(f"stage{i}", [getattr(m, f"stage{i}")]) for i in (2, 3, 4)]
    return [("stem", [m.conv1, m.maxpool]), *stages, ("conv", [m.conv5, GlobalMean()])]


def _maxvit(m: Any) -> Cut:
    blocks = [(f"block{i}", [block]) for i, block in enumerate(m.blocks, start=1)]
    return _ended([("stem", [m.stem]), *blocks], *m.classifier[:-1])


def _vit(m: Any) -> Cut:
    def embed(x: torch.Tensor) -> torch.Tensor:
        patches: torch.Tensor = m._process_input(x)
        position: torch.Tensor = m.encoder.pos_embedding
        return torch.cat([m.class_token.expand(len(x), -1, -1), patches], 1) + position

    tokens = Method(embed, m.conv_proj, class_token=m.class_token, pos_embedding=m.encoder.pos_embedding)
    layers = [*m.encoder.layers]
    stages: Cut = [("embedding", [tokens, m.encoder.dropout])]
    stages += [(f"layer{i}", [layer]) for i, layer in enumerate(layers, start=1)]
    return _ended(stages, m.encoder.ln, Method(lambda x: x[:, 0]))


def _googlenet(m: Any) -> Cut:
    inner = {"inception4": "abcde", "inception5": "ab"}
    stages: Cut = [
        ("stem", [Method(m._transform_input), m.conv1, m.maxpool1, m.conv2, m.conv3, m.maxpool2]),
        ("inception3", [m.inception3a, m.inception3b, m.maxpool3]),
        *((name, [getattr(m, f"{name}{letter}") for letter in letters]) for name, letters in inner.items()),
    ]
    stages[2][1].append(m.maxpool4)
    return _ended(stages, m.avgpool, nn.Flatten())


def _inception(m: Any) -> Cut:
    convs = [m.Conv2d_1a_3x3, m.Conv2d_2a_3x3, m.Conv2d_2b_3x3, m.maxpool1]
    inner = {"Mixed_5": "bcd", "Mixed_6": "abcde", "Mixed_7": "abc"}
    stages: Cut = [
        ("stem", [Method(m._transform_input), *convs, m.Conv2d_3b_1x1, m.Conv2d_4a_3x3, m.maxpool2]),
        *((name, [getattr(m, f"{name}{letter}") for letter in letters]) for name, letters in inner.items()),
    ]
    return _ended(stages, m.avgpool, nn.Flatten())


_EXTRA: dict[str, dict[str, Any]] = {
    # as torchvision builds them for its own weights, whose images it normalises anew
    name: {"aux_logits": True, "init_weights": True, "transform_input": True}
    for name in ("googlenet", "inception_v3")
}

_FAMILIES: dict[str, tuple[Callable[[Any], Cut], Callable[[Any], int]]] = {
    "NarrowResNet": (_resnet, lambda m: m.fc.in_features),
    "ResNet": (_resnet, lambda m: m.fc.in_features),
    "EfficientNet": (_efficientnet, lambda m: m.classifier[-1].in_features),
    "MobileNetV2": (_mobilenet_v2, lambda m: m.classifier[-1].in_features),
    "MobileNetV3": (_mobilenet_v3, lambda m: m.classifier[-1].in_features),
    "ConvNeXt": (_convnext, lambda m: m.classifier[-1].in_features),
    "SwinTransformer": (_swin, lambda m: m.head.in_features),
    "DenseNet": (_densenet, lambda m: m.classifier.in_features),
    "VGG": (_vgg, lambda m: m.classifier[-1].in_features),
    "AlexNet": (_vgg, lambda m: m.classifier[-1].in_features),
    "SqueezeNet": (_squeezenet, lambda m: m.classifier[1].in_channels),
    "MNASNet": (_mnasnet, lambda m: m.classifier[-1].in_features),
    "RegNet": (_regnet, lambda m: m.fc.in_features),
    "ShuffleNetV2": (_shufflenet, lambda m: m.fc.in_features),
    "MaxVit": (_maxvit, lambda m: m.classifier[-1].in_features),
    "VisionTransformer": (_vit, lambda m: m.heads[-1].in_features),
    "GoogLeNet": (_googlenet, lambda m: m.fc.in_features),
    "Inception3": (_inception, lambda m: m.fc.in_features),
}
"""By the class of the model: how it is cut, and what its head sees."""
