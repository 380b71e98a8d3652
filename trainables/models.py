"""Models built from a configuration, with weights from the trial's own stream."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from trainables.config import MlpConfig
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

    A linear layer before batch norm has no bias.

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
        layers: list[nn.Module] = []
        width = features
        for i, hidden in enumerate(config.hidden):
            # batch norm subtracts a bias again; its gradient would be rounding noise, which AdamW scales up
            layers.append(nn.Linear(width, hidden, bias=not config.batch_norm))
            if config.batch_norm:
                layers.append(nn.BatchNorm1d(hidden))
            layers.append(ACTIVATION_LAYERS[config.activation]())
            layers.append(Dropout(config.dropout, stream=BitStream(derive(seed, "dropout", i), device)))
            width = hidden
        layers.append(nn.Linear(width, outputs))
        self.layers = nn.Sequential(*layers)
        initialise(self, generator(seed, "weights"))
        self.to(device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits  # [B, ...] -> [B, C]."""
        return self.layers(x.flatten(1))  # type: ignore[no-any-return]


def rebuilt(config: MlpConfig, state: Mapping[str, torch.Tensor]) -> Mlp:
    """Return the model of ``config`` with the weights ``state``, on CPU; their shapes say D and C."""
    matrices = [tensor for tensor in state.values() if tensor.ndim == 2]
    model = Mlp(config, matrices[0].shape[1], len(matrices[-1]), seed=0, device=torch.device("cpu"))
    model.load_state_dict(dict(state))
    return model


def initialise(model: nn.Module, rng: torch.Generator) -> None:
    """Draw the weights of every linear layer as ``nn.Linear`` does, from ``rng``.

    Uniform in +-1/sqrt(fan_in), weights then bias, layers in order.
    """
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                bound = 1 / math.sqrt(layer.in_features)
                layer.weight.uniform_(-bound, bound, generator=rng)
                if layer.bias is not None:
                    layer.bias.uniform_(-bound, bound, generator=rng)


def penalised_weights(model: nn.Module) -> list[torch.Tensor]:
    """Return the matrices that the L1 penalty sums over: weights of linear layers."""
    return [layer.weight for layer in model.modules() if isinstance(layer, nn.Linear)]


def dropout_streams(model: nn.Module) -> list[BitStream]:
    """Return the dropout streams in layer order."""
    return [layer.stream for layer in model.modules() if isinstance(layer, Dropout)]
