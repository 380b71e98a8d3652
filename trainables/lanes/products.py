"""The stack's matrix products, in the precision that was asked for."""

from __future__ import annotations

from typing import Protocol

import torch

from trainables.machine import Machine

PRECISIONS = ("fp32", "bf16")


class Products(Protocol):
    """Batched products: lane l of the result is the product of lanes l.

    Attributes:
        rounded: what factors are rounded to; None where they stay as they are.
    """

    rounded: torch.dtype | None

    def affine(self, bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        """Write ``bias + a @ b``  # [L, 1 or M, N], [L, M, K], [L, K, N] -> [L, M, N]."""

    def product(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        """Write ``a @ b``  # [L, M, K], [L, K, N] -> [L, M, N]."""


class Fp32Products:
    """Single precision throughout."""

    rounded: torch.dtype | None = None

    def affine(self, bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        """Write ``bias + a @ b``."""
        torch.baddbmm(bias, a, b, out=out)

    def product(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        """Write ``a @ b``."""
        torch.bmm(a, b, out=out)


class Bf16Products:
    """Factors rounded to bfloat16, results kept in single precision; weights and moments never rounded.

    What torch's autocast does to linear layers, except that everything between them is single precision.
    """

    rounded: torch.dtype | None = torch.bfloat16

    def affine(self, bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        """Write ``bias + a @ b``."""
        torch.add(torch.bmm(a.bfloat16(), b.bfloat16()), bias, out=out)

    def product(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        """Write ``a @ b``."""
        out.copy_(torch.bmm(a.bfloat16(), b.bfloat16()))


def products_for(precision: str) -> Products:
    """Return the products for ``precision``, one of ``PRECISIONS``."""
    return Fp32Products() if precision == "fp32" else Bf16Products()


def check_precision(precision: str, device: torch.device, machine: Machine) -> None:
    """Refuse a precision that lanes on ``device`` cannot train in.

    Raises:
        ValueError: it is unknown, or the device lacks it.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "bf16" and not machine.multiplies_bf16(device):
        raise ValueError(f"precision bf16 is not offered by this {device.type} device; use fp32")
