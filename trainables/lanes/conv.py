"""The stacked CNN: grouped convolutions, a group of channels for each lane, differentiated by torch.

Between the convolutions a lane's channels lie beside the others' in one tensor, [B, L * H, height, width];
in the linear layers the lanes are the leading axis, as in the stacked MLP.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from trainables.lanes.bank import Bank
from trainables.lanes.batch_norm import EPS, MOMENTUM
from trainables.lanes.blueprint import Blueprint
from trainables.lanes.buffers import LossBuffers
from trainables.lanes.feed import Batch
from trainables.lanes.losses import StackedLoss
from trainables.lanes.network import LaneNetwork, StepVariant
from trainables.models import ACTIVATION_LAYERS


class ConvNetwork(LaneNetwork):
    """Trains and evaluates the CNNs of a stack.

    Args:
        blueprint: of the group.
        bank: the stack's numbers.
        x: the training examples  # [N, channels, height, width].
        rounded: what the factors of products and convolutions are rounded to; None leaves them.
        loss: what is minimised.
    """

    autograd = True
    validation_rows = 128

    def __init__(
        self,
        blueprint: Blueprint,
        bank: Bank,
        x: torch.Tensor,
        *,
        rounded: torch.dtype | None,
        loss: StackedLoss,
    ) -> None:
        layout = blueprint.layout
        super().__init__(layout, bank, loss)
        self._classes = layout.widths[-1]
        self._x = x
        self._rounded = rounded
        self._lanes = len(bank.params)
        self._maps = blueprint.maps
        self._blocks = len(blueprint.maps) - 1
        self._global_pool = blueprint.key.global_pool
        self._activation = ACTIVATION_LAYERS[blueprint.key.activation]()
        slots = (layout.weights, layout.biases, layout.scales, layout.shifts)
        # leaves that share the bank's memory: what an optimiser writes there is what the next step reads
        self._weights, self._biases, self._scales, self._shifts = (
            [slot.of(bank.params).detach().requires_grad_() for slot in kind] for kind in slots
        )
        self._leaves = [*self._weights, *self._biases, *self._scales, *self._shifts]
        self._targets = [slot.of(self.grads) for kind in slots for slot in kind]
        self._bias_grads = [slot.of(self.grads) for slot in layout.biases[:-1]]  # [L, H]
        self._statistics = [slot.of(bank.statistics) for slot in layout.statistics]  # [L, 2, H]
        self._some: torch.Tensor | None = None
        self._buffers: dict[int, LossBuffers] = {}
        self._units = sum(blueprint.units)

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The buffers of the network, and for what autograd keeps of a batch something of about that size."""
        found = [t for buffers in self._buffers.values() for t in buffers.tensors]
        largest = max(self._buffers, default=0)
        return [*found, self.params.new_empty(1).expand(5 * self._lanes * largest * self._units)]

    def begin_epoch(self) -> None:
        """Forget the losses and the gradients, and find the lanes with batch norm."""
        super().begin_epoch()
        self._some = self._norm_on.flatten().nonzero().flatten()

    def gradients(self, batch: Batch, variant: StepVariant) -> None:
        """Write the gradients of one batch, by autograd; see ``LaneNetwork``."""
        lanes, size = self._lanes, batch.size
        if size not in self._buffers:
            self._buffers[size] = LossBuffers(lanes, size, self._classes, self.params)
        s = self._buffers[size]
        rows = batch.rows.view(lanes, size).T.reshape(-1)
        x = self._x.index_select(0, rows).view(size, -1, *self._x.shape[2:])  # [B, L * channels, height, width]
        with torch.enable_grad():
            logits = self._forward(x, batch.bits, variant, training=True)
        s.logits.copy_(logits)
        weights = batch.weights[0] if batch.weights else None
        self.loss.gradients(s, batch.labels, self.loss_sum, self._smoothing(variant), weights)
        found = torch.autograd.grad(logits, self._leaves, s.grad, allow_unused=True)
        for target, gradient in zip(self._targets, found, strict=True):
            if gradient is not None:
                target.copy_(gradient)
        if variant.batch_norm and variant.no_norm:  # a layer before batch norm has no bias
            for gradients in self._bias_grads:
                gradients.masked_fill_(self._norm_on, 0)
        if variant.l1:
            self._add_penalty()

    def validate(self, x: torch.Tensor, y: torch.Tensor, variant: StepVariant) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss's sums over some validation examples, and the outputs; see ``LaneNetwork``."""
        outputs = self._forward(x, (), variant, training=False)
        return self.loss.validate(outputs, y, scratch=torch.empty_like(outputs)), outputs

    def _forward(
        self, x: torch.Tensor, bits: Sequence[torch.Tensor], variant: StepVariant, *, training: bool
    ) -> torch.Tensor:
        """Return the outputs  # [B, L * channels, height, width], or [B, channels, ...] for all -> [L, C, B]."""
        a = x
        for i in range(self._blocks):
            a = self._convolution(i, a, variant)
            a = self._activation(self._norm(i, a, variant, training=training))
            if bits:
                a = self._drop(a.view(len(x), self._lanes, -1), bits[i].transpose(0, 1), axis=1).view_as(a)
            if self._maps[i + 1] != self._maps[i]:
                a = F.max_pool2d(a, 2)
        if self._global_pool:
            a = a.mean((2, 3))
        a = a.reshape(len(x), self._lanes, -1).transpose(0, 1)  # [L, B, D]
        for i in range(self._blocks, len(self._weights) - 1):
            a = self._affine(i, a, variant)
            flat = a.transpose(0, 1).reshape(len(x), -1)  # [B, L * H]
            flat = self._norm(i, flat, variant, training=training)
            a = self._activation(flat).view(len(x), self._lanes, -1).transpose(0, 1)
            if bits:
                a = self._drop(a, bits[i], axis=0)
        weight, bias = self._weights[-1], self._biases[-1].unsqueeze(2)
        return self._product(weight, a.transpose(1, 2), bias)

    def _convolution(self, i: int, a: torch.Tensor, variant: StepVariant) -> torch.Tensor:
        weight = self._weights[i].flatten(0, 1)  # [L * H, D, 3, 3]
        bias = self._biases[i].flatten() if variant.no_norm else None
        # the first block sees the same examples in every lane when it validates: then one group does
        groups = a.shape[1] // weight.shape[1]
        if self._rounded is None:
            return F.conv2d(a, weight, bias, padding=1, groups=groups)
        found = F.conv2d(a.to(self._rounded), weight.to(self._rounded), padding=1, groups=groups).to(weight.dtype)
        return found if bias is None else found + bias.view(-1, 1, 1)

    def _affine(self, i: int, a: torch.Tensor, variant: StepVariant) -> torch.Tensor:
        bias = self._biases[i].unsqueeze(1) if variant.no_norm else None
        return self._product(a, self._weights[i].transpose(1, 2), bias)

    def _product(self, a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Return ``a @ b + bias``  # [L, M, K], [L, K, N] -> [L, M, N]."""
        if self._rounded is not None:
            found = torch.bmm(a.to(self._rounded), b.to(self._rounded)).to(self.params.dtype)
            return found if bias is None else found + bias
        return torch.bmm(a, b) if bias is None else torch.baddbmm(bias, a, b)

    def _drop(self, a: torch.Tensor, bits: torch.Tensor, *, axis: int) -> torch.Tensor:
        """Drop units; ``axis`` is that of the lanes."""
        shape = (1, -1, 1) if axis else (-1, 1, 1)
        keep = bits >= self.settings.threshold.view(shape)
        return a * (keep * self.settings.keep_scale.view(shape))

    def _norm(self, i: int, a: torch.Tensor, variant: StepVariant, *, training: bool) -> torch.Tensor:
        """Apply batch norm to the lanes that have it  # [B, L * H, ...] -> same shape.

        The others' numbers are not touched, not even multiplied by 0: nothing of a lane reaches another.
        """
        if not variant.batch_norm:
            return a
        numbers = (self._scales[i], self._shifts[i], self._statistics[i])
        if not variant.no_norm:
            return _batch_norm(a, *numbers, training=training)
        assert self._some is not None, "begin_epoch first"
        lanes = a.view(len(a), self._lanes, -1, *a.shape[2:])
        part = lanes.index_select(1, self._some)
        some = [t.index_select(0, self._some) for t in numbers]
        normed = _batch_norm(part.flatten(1, 2), *some, training=training)
        if training:
            self._statistics[i].index_copy_(0, self._some, some[2])
        return lanes.index_copy(1, self._some, normed.view_as(part)).view_as(a)


def _batch_norm(
    a: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, statistics: torch.Tensor, *, training: bool
) -> torch.Tensor:
    """Return batch norm of every channel; moves the running statistics in training.

    Shapes: [B, L * H, ...], [L, H], [L, H], [L, 2, H] -> as ``a``.
    """
    mean, variance = (statistics[:, k].clone().flatten() for k in (0, 1))
    found = F.batch_norm(a, mean, variance, scale.flatten(), shift.flatten(), training, MOMENTUM, EPS)
    if training:
        statistics[:, 0] = mean.view(scale.shape)
        statistics[:, 1] = variance.view(scale.shape)
    return found
