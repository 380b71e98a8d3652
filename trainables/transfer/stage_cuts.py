"""Where each family of torchvision's classification models is cut into stages.

The layers are the model's own. What lies between the last convolution and the head (pooling, flattening) belongs to
the last stage, whose output is [B, D].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import nn


class GlobalMean(nn.Module):
    """Mean over height and width  # [B, C, H, W] -> [B, C]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the means."""
        return x.mean((2, 3))


class ForwardStep(nn.Module):
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


Cut: TypeAlias = list[tuple[str, list[nn.Module]]]
"""The stages of a model, input side first: the name and the layers of each."""


def _resnet(m: Any) -> Cut:
    return [
        ("stem", [m.conv1, m.bn1, m.relu, m.maxpool]),
        *((f"layer{i}", [getattr(m, f"layer{i}")]) for i in (1, 2, 3)),
        ("layer4", [m.layer4, m.avgpool, nn.Flatten()]),
    ]


def _one_block_each(blocks: Sequence[nn.Module], *, first: str, last: str, name: str = "block") -> Cut:
    """Name a row of layers: the first, the numbered ones between, the last."""
    inner = [(f"{name}{i}", [block]) for i, block in enumerate(blocks[1:-1], start=1)]
    return [(first, [blocks[0]]), *inner, (last, [blocks[-1]])]


def _with_tail(stages: Cut, *tail: nn.Module) -> Cut:
    """Add layers to the last stage."""
    name, layers = stages[-1]
    return [*stages[:-1], (name, [*layers, *tail])]


def _efficientnet(m: Any) -> Cut:
    return _with_tail(_one_block_each([*m.features], first="stem", last="conv", name="stage"), m.avgpool, nn.Flatten())


def _mobilenet_v2(m: Any) -> Cut:
    return _with_tail(_one_block_each([*m.features], first="stem", last="conv"), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _mobilenet_v3(m: Any) -> Cut:
    stages = _with_tail(_one_block_each([*m.features], first="stem", last="conv"), m.avgpool, nn.Flatten())
    return [*stages, ("classifier", [m.classifier[0], m.classifier[1]])]


def _stem_and_four_stages(m: Any) -> Cut:
    """Cut ConvNeXt or Swin: a stem, then stages of which all but the first begin with a layer that shrinks."""
    f = m.features
    return [("stem", [f[0]]), ("stage1", [f[1]]), *((f"stage{i // 2 + 1}", [f[i], f[i + 1]]) for i in (2, 4, 6))]


def _convnext(m: Any) -> Cut:
    return _with_tail(_stem_and_four_stages(m), m.avgpool, m.classifier[0], m.classifier[1])


def _swin(m: Any) -> Cut:
    return _with_tail(_stem_and_four_stages(m), m.norm, m.permute, m.avgpool, m.flatten)


def _densenet(m: Any) -> Cut:
    f = m.features
    return [
        ("stem", [f.conv0, f.norm0, f.relu0, f.pool0]),
        *((f"denseblock{i}", [getattr(f, f"denseblock{i}"), getattr(f, f"transition{i}")]) for i in (1, 2, 3)),
        ("denseblock4", [f.denseblock4, f.norm5, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]),
    ]


def _cut_behind_pooling(layers: Sequence[nn.Module]) -> Cut:
    """Cut a row of layers behind each maximum."""
    stages: Cut = [("block1", [])]
    for layer in layers:
        stages[-1][1].append(layer)
        if isinstance(layer, nn.MaxPool2d):
            stages.append((f"block{len(stages) + 1}", []))
    return stages if stages[-1][1] else stages[:-1]


def _vgg(m: Any) -> Cut:
    stages = _with_tail(_cut_behind_pooling([*m.features]), m.avgpool, nn.Flatten())
    return [*stages, ("classifier", [*m.classifier[:-1]])]


def _squeezenet(m: Any) -> Cut:
    return _with_tail(_cut_behind_pooling([*m.features]), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _mnasnet(m: Any) -> Cut:
    rows = [*m.layers]
    inner = [(f"stage{i - 7}", [rows[i]]) for i in range(8, 14)]
    return [("stem", rows[:8]), *inner, ("conv", [*rows[14:], GlobalMean()])]


def _regnet(m: Any) -> Cut:
    blocks = [(name, [block]) for name, block in m.trunk_output.named_children()]
    return _with_tail([("stem", [m.stem]), *blocks], m.avgpool, nn.Flatten())


def _shufflenet(m: Any) -> Cut:
    stages = [(f"stage{i}", [getattr(m, f"stage{i}")]) for i in (2, 3, 4)]
    return [("stem", [m.conv1, m.maxpool]), *stages, ("conv", [m.conv5, GlobalMean()])]


def _maxvit(m: Any) -> Cut:
    blocks = [(f"block{i}", [block]) for i, block in enumerate(m.blocks, start=1)]
    return _with_tail([("stem", [m.stem]), *blocks], *m.classifier[:-1])


def _vit(m: Any) -> Cut:
    def embed(x: torch.Tensor) -> torch.Tensor:
        patches: torch.Tensor = m._process_input(x)
        position: torch.Tensor = m.encoder.pos_embedding
        return torch.cat([m.class_token.expand(len(x), -1, -1), patches], 1) + position

    tokens = ForwardStep(embed, m.conv_proj, class_token=m.class_token, pos_embedding=m.encoder.pos_embedding)
    layers = [*m.encoder.layers]
    stages: Cut = [("embedding", [tokens, m.encoder.dropout])]
    stages += [(f"layer{i}", [layer]) for i, layer in enumerate(layers, start=1)]
    return _with_tail(stages, m.encoder.ln, ForwardStep(lambda x: x[:, 0]))


def _googlenet(m: Any) -> Cut:
    inner = {"inception4": "abcde", "inception5": "ab"}
    stages: Cut = [
        ("stem", [ForwardStep(m._transform_input), m.conv1, m.maxpool1, m.conv2, m.conv3, m.maxpool2]),
        ("inception3", [m.inception3a, m.inception3b, m.maxpool3]),
        *((name, [getattr(m, f"{name}{letter}") for letter in letters]) for name, letters in inner.items()),
    ]
    stages[2][1].append(m.maxpool4)
    return _with_tail(stages, m.avgpool, nn.Flatten())


def _inception(m: Any) -> Cut:
    convs = [m.Conv2d_1a_3x3, m.Conv2d_2a_3x3, m.Conv2d_2b_3x3, m.maxpool1]
    inner = {"Mixed_5": "bcd", "Mixed_6": "abcde", "Mixed_7": "abc"}
    stages: Cut = [
        ("stem", [ForwardStep(m._transform_input), *convs, m.Conv2d_3b_1x1, m.Conv2d_4a_3x3, m.maxpool2]),
        *((name, [getattr(m, f"{name}{letter}") for letter in letters]) for name, letters in inner.items()),
    ]
    return _with_tail(stages, m.avgpool, nn.Flatten())


FAMILIES: dict[str, tuple[Callable[[Any], Cut], Callable[[Any], int]]] = {
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
"""By the class of the model: a function that cuts it, and one that returns how many features its head sees."""
