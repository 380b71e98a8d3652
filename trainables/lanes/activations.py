"""The activation functions and their derivatives, written into given buffers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

_aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """One activation function.

    Attributes:
        forward: (x, out) writes f(x).
        backward: (gradient, x, y, out) writes gradient * f'(x), where y = f(x).
        keeps_input: whether ``backward`` reads x; otherwise y may overwrite it.
    """

    forward: Callable[[torch.Tensor, torch.Tensor], object]
    backward: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], object]
    keeps_input: bool


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(
        # NaN must stay NaN, as in nn.ReLU: clamp_min does that, and takes an output
        forward=lambda x, out: torch.clamp_min(x, 0, out=out),
        backward=lambda g, x, y, out: _aten.threshold_backward.grad_input(g, y, 0, grad_input=out),
        keeps_input=False,
    ),
    "tanh": Activation(
        forward=lambda x, out: torch.tanh(x, out=out),
        backward=lambda g, x, y, out: _aten.tanh_backward.grad_input(g, y, grad_input=out),
        keeps_input=False,
    ),
    "gelu": Activation(
        forward=lambda x, out: _aten.gelu.out(x, out=out),
        backward=lambda g, x, y, out: _aten.gelu_backward.grad_input(g, x, grad_input=out),
        keeps_input=True,
    ),
    "silu": Activation(
        forward=lambda x, out: _aten.silu.out(x, out=out),
        backward=lambda g, x, y, out: _aten.silu_backward.grad_input(g, x, grad_input=out),
        keeps_input=True,
    ),
}
"""By the name that a configuration has; a test holds them against ``models.ACTIVATION_LAYERS``."""
