"""Models built from a configuration, with weights from the trial's own stream."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from trainables.config import CnnConfig, MlpConfig
from trainables.derive import derive
from trainables.seeding import BitStream, generator, keep_scale, threshold

ACTIVATION_LAYERS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class Dropout(nn.Module):
    """``nn.Dropout`` with a random stream of its own.

    Shape: any; drops units with probability ``rate`` (resolved to 1/65536) in training mode and scales
    the rest by 1 / (1 - rate).
    """

    def __init__(self, rate: float, *, stream: BitStream) -> None:
        super().__init__()
        self.rate = rate
        self.stream = stream
        self._threshold = threshold(rate)
        self._scale = keep_scale(rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` with units dropped  # same shape."""
        if not self.training or self.rate == 0:
            return x
        keep = self.stream.draw(x.numel()).view(x.shape) >= self._threshold
        return x * (keep * self._scale)


class Mlp(nn.Module):
    """Multilayer perceptron: for each hidden layer Linear, BatchNorm1d (if on), activation, Dropout.

    A linear layer before batch norm has no bias. Before all layers inputs are dropped, at ``input_dropout``.

    Args:
        config: widths, activation, dropout, batch norm.
        features: D, the number of inputs after flattening.
        outputs: C, the number of logits.
        seed: the trial's seed; weights and dropout take their streams from it.
        device: where the dropout streams live; weights are drawn on CPU, so that a seed gives the
            same weights on every device.
    """

    def __init__(self, config: MlpConfig, features: int, outputs: int, *, seed: int, device: torch.device) -> None:
        super().__init__()
        # a stream only where it is used: a checkpoint of a model that drops no inputs has none
        self.drop_inputs: nn.Module = nn.Identity()
        if config.input_dropout > 0:
            self.drop_inputs = Dropout(config.input_dropout, stream=BitStream(derive(seed, "input_dropout"), device))
        self.layers = nn.Sequential(*_linear_layers(config, features, outputs, seed=seed, device=device))
        initialise(self, generator(seed, "weights"))
        self.to(device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits  # [B, ...] -> [B, C]."""
        return self.layers(self.drop_inputs(x.flatten(1)))  # type: ignore[no-any-return]


def rebuild_model(config: MlpConfig, state: Mapping[str, torch.Tensor], shape: tuple[int, ...]) -> nn.Module:
    """Return the model of ``config`` with the weights ``state``, on CPU; the last matrix says C."""
    outputs = len([tensor for tensor in state.values() if tensor.ndim == 2][-1])
    model = build_model(config, shape, outputs, seed=0, device=torch.device("cpu"))
    model.load_state_dict(dict(state))
    return model


class Cnn(nn.Module):
    """Blocks of a 3x3 convolution, then the layers of an MLP.

    A block is Conv2d, BatchNorm2d (if on), activation, Dropout, and a maximum over 2x2 pixels while there
    are as many. A convolution before batch norm has no bias.

    Args:
        config: channels, head, activation, dropout, batch norm.
        shape: the shape of an image, [channels, height, width].
        outputs: C, the number of logits.
        seed: the trial's seed; weights and dropout take their streams from it.
        device: where the dropout streams live; weights are drawn on CPU.
    """

    def __init__(
        self, config: CnnConfig, shape: tuple[int, ...], outputs: int, *, seed: int, device: torch.device
    ) -> None:
        super().__init__()
        channels, sizes = shape[0], feature_maps(shape[1:], len(config.channels))
        layers: list[nn.Module] = []
        for i, width in enumerate(config.channels):
            layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=not config.batch_norm))
            if config.batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers += _activated(config, i, seed=seed, device=device)
            if sizes[i + 1] != sizes[i]:
                layers.append(nn.MaxPool2d(2))
            channels = width
        self.blocks = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1) if config.global_pool else nn.Identity()
        features = channels if config.global_pool else channels * math.prod(sizes[-1])
        first = len(config.channels)
        self.head = nn.Sequential(*_linear_layers(config, features, outputs, first=first, seed=seed, device=device))
        initialise(self, generator(seed, "weights"))
        self.to(device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits  # [B, channels, height, width] -> [B, C]."""
        return self.head(self.pool(self.blocks(x)).flatten(1))  # type: ignore[no-any-return]


def build_model(
    config: MlpConfig, shape: tuple[int, ...], outputs: int, *, seed: int, device: torch.device
) -> nn.Module:
    """Return the model that ``config`` describes, for examples of ``shape``; see ``Mlp`` and ``Cnn``."""
    if isinstance(config, CnnConfig):
        return Cnn(config, shape, outputs, seed=seed, device=device)
    return Mlp(config, math.prod(shape), outputs, seed=seed, device=device)


def feature_maps(size: tuple[int, ...], blocks: int) -> list[tuple[int, ...]]:
    """Return height and width of what each block of a CNN sees, and last of what its head sees."""
    sizes = [size]
    for _ in range(blocks):
        sizes.append(tuple(side // 2 for side in sizes[-1]) if min(sizes[-1]) >= 2 else sizes[-1])
    return sizes


def _linear_layers(
    config: MlpConfig, features: int, outputs: int, *, first: int = 0, seed: int, device: torch.device
) -> list[nn.Module]:
    """Return the layers of an MLP; the model has ``first`` layers that drop units before them."""
    layers: list[nn.Module] = []
    width = features
    for i, hidden in enumerate(config.hidden):
        # batch norm subtracts a bias again; its gradient would be rounding noise, which AdamW scales up
        layers.append(nn.Linear(width, hidden, bias=not config.batch_norm))
        if config.batch_norm:
            layers.append(nn.BatchNorm1d(hidden))
        layers += _activated(config, first + i, seed=seed, device=device)
        width = hidden
    return [*layers, nn.Linear(width, outputs)]


def _activated(config: MlpConfig, number: int, *, seed: int, device: torch.device) -> list[nn.Module]:
    stream = BitStream(derive(seed, "dropout", number), device)
    return [ACTIVATION_LAYERS[config.activation](), Dropout(config.dropout, stream=stream)]


def initialise(model: nn.Module, rng: torch.Generator) -> None:
    """Draw the weights of every linear layer and convolution as torch does by default, from ``rng``.

    Uniform in +-1/sqrt(fan_in), weights then bias, layers in order.
    """
    with torch.no_grad():
        for layer in weighted_layers(model):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            layer.weight.uniform_(-bound, bound, generator=rng)
            if layer.bias is not None:
                layer.bias.uniform_(-bound, bound, generator=rng)


def weighted_layers(model: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """Return the linear layers and convolutions, input side first."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


def penalised_weights(model: nn.Module) -> list[torch.Tensor]:
    """Return what the L1 penalty sums over: weights of linear layers and convolutions."""
    return [layer.weight for layer in weighted_layers(model)]


def l1_norm(model: nn.Module) -> torch.Tensor:
    """Return the sum of the absolute weights of the linear layers and convolutions."""
    return torch.stack([w.abs().sum() for w in penalised_weights(model)]).sum()


def dropout_streams(model: nn.Module) -> list[BitStream]:
    """Return the dropout streams, input side first."""
    return [layer.stream for layer in model.modules() if isinstance(layer, Dropout)]
