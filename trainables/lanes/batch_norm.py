"""Batch norm over a stack: every lane has its own statistics, and may have none at all."""

from __future__ import annotations

import torch

from trainables.lanes.bank import Bank
from trainables.lanes.layout import Layout

MOMENTUM = 0.1
EPS = 1e-5


class LaneBatchNorm:
    """One ``nn.BatchNorm1d`` a lane; where ``on`` is false the lane passes through unchanged.

    A lane that is off gets mean 0, scale 1 and shift 0 selected into its small [L, 1, H] tensors. The
    large ones then need no selection, and nothing of the batch statistics can reach that lane: the
    selection replaces numbers, it does not multiply them by 0.

    Args:
        layout: of a lane's numbers.
        number: which hidden layer.
        bank: the stack's numbers.
        grads: of the parameters  # [L, P].
    """

    def __init__(self, layout: Layout, number: int, bank: Bank, grads: torch.Tensor) -> None:
        scale, shift = layout.scales[number], layout.shifts[number]
        self._gamma = scale.of(bank.params).unsqueeze(1)  # [L, 1, H]
        self._beta = shift.of(bank.params).unsqueeze(1)
        self._gamma_grad = scale.of(grads).unsqueeze(1)
        self._beta_grad = shift.of(grads).unsqueeze(1)
        self._running = layout.statistics[number].of(bank.statistics)  # [L, 2, H]
        self._batch = torch.empty_like(self._running)
        self._mean, self._var = self._batch[:, :1], self._batch[:, 1:]  # [L, 1, H]
        self._unbias: dict[int, torch.Tensor] = {}
        self._scratch = torch.empty_like(self._running)
        self._inverse = torch.empty_like(self._mean)
        self._scale = torch.empty_like(self._mean)
        self._sum = torch.empty_like(self._mean)
        self._dot = torch.empty_like(self._mean)

    def forward(self, x: torch.Tensor, out: torch.Tensor, *, squares: torch.Tensor, off: torch.Tensor | None) -> None:
        """Normalise by the batch and move the running statistics.

        Args:
            x: [L, B, H]; centred in place, as ``backward`` needs it.
            out: [L, B, H].
            squares: scratch, [L, B, H].
            off: true where a lane has no batch norm  # [L, 1, 1]; None where all have it.
        """
        batch = x.shape[1]
        torch.mean(x, 1, keepdim=True, out=self._mean)
        if off is None:
            mean = self._mean
        else:
            mean = self._mean.masked_fill(off, 0)
        x.sub_(mean)
        torch.mul(x, x, out=squares)
        torch.mean(squares, 1, keepdim=True, out=self._var)
        self._move_running(batch)
        torch.add(self._var, EPS, out=self._inverse)
        self._inverse.rsqrt_()
        torch.mul(self._inverse, self._gamma, out=self._scale)
        beta = self._beta
        if off is not None:
            self._scale.masked_fill_(off, 1)
            beta = beta.masked_fill(off, 0)
        torch.addcmul(beta, x, self._scale, out=out)

    def backward(
        self, grad: torch.Tensor, x: torch.Tensor, *, products: torch.Tensor, off: torch.Tensor | None
    ) -> None:
        """Turn the gradient of the output into that of the input, in place.

        With x centred, s = 1 / sqrt(var + eps) and d the output's gradient, the input's is
        gamma * s * (d - mean(d) - x * s**2 * mean(d * x))  (Ioffe and Szegedy, 2015).

        Args:
            grad: [L, B, H].
            x: what ``forward`` left there, [L, B, H].
            products: scratch, [L, B, H].
            off: as in ``forward``.
        """
        share = -1 / x.shape[1]
        torch.sum(grad, 1, keepdim=True, out=self._beta_grad)
        torch.mul(grad, x, out=products)
        torch.sum(products, 1, keepdim=True, out=self._dot)
        torch.mul(self._dot, self._inverse, out=self._gamma_grad)
        torch.mul(self._gamma_grad, self._inverse, out=self._dot)
        torch.mul(self._beta_grad, self._scale, out=self._sum)
        self._sum.mul_(share)
        if off is not None:
            self._dot.masked_fill_(off, 0)
            self._sum.masked_fill_(off, 0)
        torch.addcmul(grad, x, self._dot, value=share, out=grad)
        torch.addcmul(self._sum, grad, self._scale, out=grad)

    def evaluation(self, off: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale and shift by the running statistics, as [L, 1, H] each."""
        mean, var = self._running[:, :1], self._running[:, 1:]
        scale = (var + EPS).rsqrt().mul_(self._gamma)
        shift = torch.addcmul(self._beta, mean, scale, value=-1)
        if off is not None:
            scale.masked_fill_(off, 1)
            shift.masked_fill_(off, 0)
        return scale, shift

    def _move_running(self, batch: int) -> None:
        # torch keeps the unbiased variance; one lerp moves both rows
        if batch not in self._unbias:
            self._unbias[batch] = self._batch.new_tensor([1.0, batch / (batch - 1)]).view(2, 1)
        torch.mul(self._batch, self._unbias[batch], out=self._scratch)
        self._running.lerp_(self._scratch, MOMENTUM)
