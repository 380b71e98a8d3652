"""Models as users write them, for the benchmarks of modules in lanes; each a function of (params, shape, outputs)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

WIDTH = 64


class ResidualBlock(nn.Module):
    """LayerNorm, two linear layers with dropout, and what came in added."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)
        self.dropout = dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum  # [B, H] -> [B, H]."""
        h = F.dropout(F.relu(self.wide(self.norm(x))), self.dropout, self.training)
        return x + F.dropout(self.narrow(h), self.dropout, self.training)


def residual_mlp(
    params: Mapping[str, Any], shape: tuple[int, ...], outputs: int, *, width: int = WIDTH // 2
) -> nn.Module:
    """Return three residual blocks between two linear layers."""
    blocks = [ResidualBlock(width, params["dropout"]) for _ in range(3)]
    stem = [nn.Flatten(), nn.Linear(math.prod(shape), width)]
    return nn.Sequential(*stem, *blocks, nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, outputs))


def wide_residual_mlp(params: Mapping[str, Any], shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return the same twice as wide, whose products leave less to gain."""
    return residual_mlp(params, shape, outputs, width=WIDTH)


def norm_mlp(params: Mapping[str, Any], shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return an MLP of two hidden layers with LayerNorm."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in (math.prod(shape), WIDTH):
        layers += [nn.Linear(width, WIDTH), nn.LayerNorm(WIDTH), nn.GELU(), nn.Dropout(params["dropout"])]
    return nn.Sequential(*layers, nn.Linear(WIDTH, outputs))


def cnn(params: Mapping[str, Any], shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return two blocks of convolution, batch norm and pooling, and a linear layer."""
    channels, height, width = shape
    blocks: list[nn.Module] = []
    for inputs, maps in ((channels, 16), (16, 32)):
        blocks += [nn.Conv2d(inputs, maps, 3, padding=1), nn.BatchNorm2d(maps), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    head = nn.Linear(32 * (height // 4) * (width // 4), outputs)
    return nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(params["dropout"]), head)


def cnn_28x28(params: Mapping[str, Any], shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return the same over images enlarged to 28x28 pixels."""
    enlarged = cnn(params, (shape[0], 28, 28), outputs)
    return nn.Sequential(nn.Upsample((28, 28)), enlarged)


def plain_mlp(params: Mapping[str, Any], shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return what ``models.Mlp`` is with two hidden layers of 64."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in (math.prod(shape), WIDTH):
        layers += [nn.Linear(width, WIDTH), nn.ReLU(), nn.Dropout(params["dropout"])]
    return nn.Sequential(*layers, nn.Linear(WIDTH, outputs))


def plain_cnn(params: Mapping[str, Any], shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return what ``models.Cnn`` is with 16 and 32 channels, batch norm and no hidden layer."""
    layers: list[nn.Module] = []
    for inputs, maps in ((shape[0], 16), (16, 32)):
        layers += [nn.Conv2d(inputs, maps, 3, padding=1, bias=False), nn.BatchNorm2d(maps), nn.ReLU()]
        layers += [nn.Dropout(params["dropout"]), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * (shape[1] // 4) * (shape[2] // 4), outputs))


class Lstm(nn.Module):
    """Two layers of an LSTM over the rows of an image, and a linear layer."""

    def __init__(self, params: Mapping[str, Any], shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(shape[-1], 32, num_layers=2, batch_first=True, dropout=params["dropout"])
        self.head = nn.Linear(32, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits  # [B, 1, height, width] -> [B, C]."""
        return self.head(self.rnn(x.squeeze(1))[0][:, -1])  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Two encoder layers over the rows of an image, and a linear layer."""

    def __init__(self, params: Mapping[str, Any], shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.embed = nn.Linear(shape[-1], 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=params["dropout"], batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits  # [B, 1, height, width] -> [B, C]."""
        return self.head(self.encoder(self.embed(x.squeeze(1))).mean(1))  # type: ignore[no-any-return]
