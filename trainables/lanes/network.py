"""The stacked MLP: forward and backward written out, without autograd, into buffers that stay.

Autograd would record and allocate for every operation of every batch; here an epoch allocates nothing of
size, and each operation runs over all lanes of the stack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trainables.config import MlpConfig
from trainables.lanes.activations import Activation
from trainables.lanes.bank import Bank
from trainables.lanes.batch_norm import LaneBatchNorm
from trainables.lanes.layout import Layout
from trainables.lanes.losses import StackedLoss
from trainables.lanes.products import Products
from trainables.seeding import keep_scale, threshold

PADDING = 64
"""Numbers: a multiple of a cache line, and of what torch's vector code takes at a time on any CPU."""


@dataclass(frozen=True, slots=True)
class Features:
    """What at least one trial of the stack needs; the rest is left out of the step.

    Attributes:
        dropout: some lane drops units.
        batch_norm: some lane has batch norm.
        no_norm: some lane has none.
        l1: some lane has an L1 penalty.
    """

    dropout: bool = False
    batch_norm: bool = False
    no_norm: bool = False
    l1: bool = False


class Knobs:
    """The settings that differ from lane to lane, as tensors that an operation can broadcast."""

    def __init__(self, lanes: int, device: torch.device) -> None:
        self.threshold = torch.full((lanes, 1, 1), threshold(0.0), dtype=torch.int16, device=device)
        self.keep_scale = torch.ones(lanes, 1, 1, device=device)
        self.norm_off = torch.ones(lanes, 1, 1, dtype=torch.bool, device=device)
        self.l1 = torch.zeros(lanes, 1, device=device)

    def set_lane(self, lane: int, config: MlpConfig) -> None:
        """Take a trial's settings."""
        self.threshold[lane] = threshold(config.dropout)
        self.keep_scale[lane] = keep_scale(config.dropout)
        self.norm_off[lane] = not config.batch_norm
        self.l1[lane] = config.l1_penalty


class _Padded:
    """Zeros [L, *shape] whose lanes start ``PADDING`` numbers apart, or a multiple of that.

    A library may round differently where a matrix starts off a cache line, or in the last few numbers of
    a tensor. Lanes that all start alike make that the same for each, however many there are.

    Attributes:
        tensor: [L, *shape].
        flat: the same and what lies between, in one piece.
    """

    def __init__(self, like: torch.Tensor, lanes: int, *shape: int) -> None:
        used = math.prod(shape)
        self.flat = like.new_zeros(lanes, math.ceil(used / PADDING) * PADDING)
        self.tensor = self.flat[:, :used].view(lanes, *shape)


class _Activated:
    """A hidden layer's numbers before and after its activation; each [L, B, H].

    The activation reads and writes the flat tensors: torch may use another library for those in one piece.
    """

    def __init__(self, like: torch.Tensor, *shape: int, keeps_input: bool) -> None:
        before = _Padded(like, *shape)
        after = _Padded(like, *shape) if keeps_input else before
        self.flat_input, self.flat_output = before.flat, after.flat
        self.input, self.output = before.tensor, after.tensor
        self.tensors = [self.flat_input, self.flat_output] if keeps_input else [self.flat_input]


class _Trained(_Activated):
    """What else it keeps between forward and backward."""

    def __init__(self, like: torch.Tensor, *shape: int, keeps_input: bool) -> None:
        super().__init__(like, *shape, keeps_input=keeps_input)
        grad = _Padded(like, *shape)
        self.flat_grad, self.grad = grad.flat, grad.tensor
        self.product, self.keep, self.dropped = (_Padded(like, *shape).tensor for _ in range(3))
        self.tensors += [self.flat_grad, self.product, self.keep, self.dropped]


class EvaluationScratch:
    """The buffers to evaluate examples with."""

    def __init__(self, lanes: int, batch: int, layout: Layout, like: torch.Tensor, *, keeps_input: bool) -> None:
        _, *hidden, classes = layout.widths
        self.hidden = [_Activated(like, lanes, batch, h, keeps_input=keeps_input) for h in hidden]
        self.logits = like.new_empty(lanes, classes, batch)
        self.log_p = like.new_empty(lanes, classes, batch)
        self.tensors = [self.logits, self.log_p, *(t for h in self.hidden for t in h.tensors)]


class Scratch:
    """The buffers to train batches of one size with."""

    def __init__(self, lanes: int, batch: int, layout: Layout, like: torch.Tensor, *, keeps_input: bool) -> None:
        features, *hidden, classes = layout.widths
        self.batch = batch
        self.x = _Padded(like, lanes, batch, features).tensor
        self._x_rows = like.new_empty(0, features)
        if self.x.is_contiguous():
            self._x_rows = self.x.view(lanes * batch, features)
        self.hidden = [_Trained(like, lanes, batch, h, keeps_input=keeps_input) for h in hidden]
        self.logits = like.new_empty(lanes, classes, batch)
        self.log_p = like.new_empty(lanes, classes, batch)
        self.p = like.new_empty(lanes, classes, batch)
        self.grad = _Padded(like, lanes, classes, batch).tensor
        self.picked = like.new_empty(lanes, 1, batch)
        self.minus_one = like.new_full((lanes, 1, batch), -1.0)
        own = [self.x, self.logits, self.log_p, self.p, self.grad]
        self.tensors = [*own, *(t for h in self.hidden for t in h.tensors)]

    def load(self, x: torch.Tensor, rows: torch.Tensor) -> None:
        """Gather the examples of a batch  # [N, D], [L * B] -> ``self.x``."""
        torch.index_select(x, 0, rows, out=self._x_rows)
        if not self.x.is_contiguous():
            self.x.copy_(self._x_rows.view(self.x.shape))


class Network:
    """Trains and evaluates the MLPs of a stack.

    Args:
        layout: of a lane's numbers.
        bank: the stack's numbers.
        activation: of the hidden layers.
        products: the matrix products.
        loss: what is minimised.
    """

    def __init__(
        self, layout: Layout, bank: Bank, activation: Activation, products: Products, loss: StackedLoss
    ) -> None:
        lanes, device = bank.params.shape[0], bank.params.device
        self.layout = layout
        self.params = bank.params
        self.grads = torch.zeros_like(bank.params)
        self.knobs = Knobs(lanes, device)
        self.loss_sum = torch.zeros(lanes, device=device)
        self._activation = activation
        self._products = products
        weights = [slot.of(bank.params) for slot in layout.weights]
        self._weights = weights  # [L, H, D] each
        self._weights_t = [w.transpose(1, 2) for w in weights]
        self._weight_grads = [slot.of(self.grads) for slot in layout.weights]
        biases = [slot.of(bank.params) for slot in layout.biases]
        self._biases = [b.unsqueeze(1) for b in biases[:-1]]  # [L, 1, H]
        self._last_bias = biases[-1].unsqueeze(2)  # [L, C, 1]
        bias_grads = [slot.of(self.grads) for slot in layout.biases]
        self._bias_grads = bias_grads  # [L, H]
        self._norms = [LaneBatchNorm(layout, i, bank, self.grads) for i in range(len(layout.widths) - 2)]
        self._penalised = bank.params[:, : layout.penalised]
        self._penalised_grads = self.grads[:, : layout.penalised]
        self._signs = torch.empty_like(self._penalised)
        self._loss = loss
        self._norm_on = torch.zeros(lanes, 1, dtype=torch.bool, device=device)

    def begin_epoch(self) -> None:
        """Forget the losses, and the gradients of what the epoch will leave alone."""
        self.loss_sum.zero_()
        self.grads.zero_()
        torch.logical_not(self.knobs.norm_off.squeeze(2), out=self._norm_on)

    def scratch(self, batch: int) -> Scratch:
        """Return buffers to train batches of ``batch`` examples."""
        keeps_input = self._activation.keeps_input
        return Scratch(len(self.params), batch, self.layout, self.params, keeps_input=keeps_input)

    def evaluation_scratch(self, batch: int) -> EvaluationScratch:
        """Return buffers to evaluate ``batch`` examples."""
        keeps_input = self._activation.keeps_input
        return EvaluationScratch(len(self.params), batch, self.layout, self.params, keeps_input=keeps_input)

    def gradients(self, s: Scratch, labels: torch.Tensor, bits: Sequence[torch.Tensor], features: Features) -> None:
        """Write the gradients of one batch and add its losses, without penalty, to ``loss_sum``.

        Args:
            s: its ``x`` holds the examples  # [L, B, D].
            labels: class numbers, or the standardised target  # [L, 1, B].
            bits: random int16 numbers for each hidden layer  # [L, B, H]; empty without dropout.
            features: what the step needs.
        """
        self._forward(s, bits, features)
        self._loss.gradients(s, labels, self.loss_sum)
        self._backward(s, features)
        if features.l1:
            torch.sign(self._penalised, out=self._signs)
            self._penalised_grads.addcmul_(self._signs, self.knobs.l1)

    def _forward(self, s: Scratch, bits: Sequence[torch.Tensor], features: Features) -> None:
        off = self.knobs.norm_off if features.no_norm else None
        a = s.x
        for i, h in enumerate(s.hidden):
            first = h.product if features.batch_norm else h.input
            self._products.affine(self._biases[i], a, self._weights_t[i], first)
            if features.batch_norm:
                self._norms[i].forward(h.product, h.input, squares=h.grad, off=off)
            self._activation.forward(h.flat_input, h.flat_output)
            a = h.output
            if features.dropout:
                torch.ge(bits[i], self.knobs.threshold, out=h.keep)
                h.keep.mul_(self.knobs.keep_scale)
                torch.mul(h.output, h.keep, out=h.dropped)
                a = h.dropped
        self._products.affine(self._last_bias, self._weights[-1], a.transpose(1, 2), s.logits)

    def _backward(self, s: Scratch, features: Features) -> None:
        off = self.knobs.norm_off if features.no_norm else None
        inputs = [s.x, *(h.dropped if features.dropout else h.output for h in s.hidden)]
        self._products.product(s.grad, inputs[-1], self._weight_grads[-1])
        torch.sum(s.grad, 2, out=self._bias_grads[-1])
        upper = s.grad.transpose(1, 2)  # [L, B, C]
        for i in range(len(s.hidden) - 1, -1, -1):
            h = s.hidden[i]
            self._products.product(upper, self._weights[i + 1], h.grad)
            if features.dropout:
                h.grad.mul_(h.keep)
            self._activation.backward(h.flat_grad, h.flat_input, h.flat_output, h.flat_grad)
            if features.batch_norm:
                self._norms[i].backward(h.grad, h.product, products=h.dropped, off=off)
            self._products.product(h.grad.transpose(1, 2), inputs[i], self._weight_grads[i])
            if features.no_norm:
                torch.sum(h.grad, 1, out=self._bias_grads[i])
                if features.batch_norm:  # a layer before batch norm has no bias
                    self._bias_grads[i].masked_fill_(self._norm_on, 0)
            upper = h.grad

    def logits(self, s: EvaluationScratch, x: torch.Tensor, features: Features) -> torch.Tensor:
        """Return the logits in evaluation mode  # [B, D], the same for all lanes -> [L, C, B]."""
        off = self.knobs.norm_off if features.no_norm else None
        a = x.expand(len(self.params), *x.shape)
        for i, h in enumerate(s.hidden):
            self._products.affine(self._biases[i], a, self._weights_t[i], h.input)
            if features.batch_norm:
                scale, shift = self._norms[i].evaluation(off)
                torch.addcmul(shift, h.input, scale, out=h.input)
            self._activation.forward(h.flat_input, h.flat_output)
            a = h.output
        self._products.affine(self._last_bias, self._weights[-1], a.transpose(1, 2), s.logits)
        return s.logits
