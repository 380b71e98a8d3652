"""The stacked MLP: forward and backward written out, without autograd, into buffers that stay.

Autograd would record and allocate for every operation of every batch; here an epoch allocates nothing of
size, and each operation runs over all lanes of the stack.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trainables.lanes.activations import Activation
from trainables.lanes.bank import Bank
from trainables.lanes.batch_norm import LaneBatchNorm
from trainables.lanes.buffers import LossBuffers, Padded
from trainables.lanes.feed import Batch
from trainables.lanes.layout import Layout
from trainables.lanes.losses import StackedLoss
from trainables.lanes.network import LaneNetwork, LaneSettings, StepVariant
from trainables.lanes.products import Products


class _LayerBuffers:
    """A hidden layer's numbers before and after its activation; each [L, B, H].

    The activation reads and writes the flat tensors: torch may use another library for those in one piece.
    """

    def __init__(self, like: torch.Tensor, *shape: int, keeps_input: bool) -> None:
        before = Padded(like, *shape)
        after = Padded(like, *shape) if keeps_input else before
        self.flat_input, self.flat_output = before.flat, after.flat
        self.input, self.output = before.tensor, after.tensor
        self.tensors = [self.flat_input, self.flat_output] if keeps_input else [self.flat_input]


class _TrainingLayerBuffers(_LayerBuffers):
    """A hidden layer's numbers in training: what it keeps between forward and backward too."""

    def __init__(self, like: torch.Tensor, *shape: int, keeps_input: bool) -> None:
        super().__init__(like, *shape, keeps_input=keeps_input)
        grad = Padded(like, *shape)
        self.flat_grad, self.grad = grad.flat, grad.tensor
        self.product, self.keep, self.dropped = (Padded(like, *shape).tensor for _ in range(3))
        self.tensors += [self.flat_grad, self.product, self.keep, self.dropped]


class EvaluationBuffers:
    """The buffers to evaluate examples with."""

    def __init__(self, lanes: int, batch: int, layout: Layout, like: torch.Tensor, *, keeps_input: bool) -> None:
        _, *hidden, classes = layout.widths
        self.hidden = [_LayerBuffers(like, lanes, batch, h, keeps_input=keeps_input) for h in hidden]
        self.logits = like.new_empty(lanes, classes, batch)
        self.log_p = like.new_empty(lanes, classes, batch)
        self.tensors = [self.logits, self.log_p, *(t for h in self.hidden for t in h.tensors)]


class TrainingBuffers(LossBuffers):
    """The buffers to train batches of one size with."""

    def __init__(self, lanes: int, batch: int, layout: Layout, like: torch.Tensor, *, keeps_input: bool) -> None:
        inputs, *hidden, classes = layout.widths
        super().__init__(lanes, batch, classes, like)
        self.x = Padded(like, lanes, batch, inputs).tensor
        self.keep: torch.Tensor | None = None
        self._x_rows = like.new_empty(0, inputs)
        if self.x.is_contiguous():
            self._x_rows = self.x.view(lanes * batch, inputs)
        self.hidden = [_TrainingLayerBuffers(like, lanes, batch, h, keeps_input=keeps_input) for h in hidden]
        self.tensors += [self.x, *(t for h in self.hidden for t in h.tensors)]

    def load(self, x: torch.Tensor, rows: torch.Tensor) -> None:
        """Gather the examples of a batch  # [N, D], [L * B] -> ``self.x``."""
        torch.index_select(x, 0, rows, out=self._x_rows)
        if not self.x.is_contiguous():
            self.x.copy_(self._x_rows.view(self.x.shape))

    def drop_inputs(self, bits: torch.Tensor, settings: LaneSettings) -> None:
        """Drop inputs in place; a lane that drops none keeps its numbers bit for bit  # [L, B, D]."""
        if self.keep is None:
            self.keep = torch.empty_like(self.x)
            self.tensors.append(self.keep)
        torch.ge(bits, settings.input_threshold, out=self.keep)
        self.x.mul_(self.keep.mul_(settings.input_scale))


class MlpNetwork(LaneNetwork):
    """Trains and evaluates the MLPs of a stack.

    Args:
        layout: of a lane's numbers.
        bank: the stack's numbers.
        x: the training examples  # [N, ...].
        activation: of the hidden layers.
        products: the matrix products.
        loss: what is minimised.
    """

    def __init__(
        self,
        layout: Layout,
        bank: Bank,
        x: torch.Tensor,
        *,
        activation: Activation,
        products: Products,
        loss: StackedLoss,
    ) -> None:
        super().__init__(layout, bank, loss)
        self._layout = layout
        self._x = x.flatten(1)
        self._activation = activation
        self._products = products
        weights = [slot.of(bank.params) for slot in layout.weights]
        self._weights = weights  # [L, H, D] each
        self._weights_t = [w.transpose(1, 2) for w in weights]
        self._weight_grads = [slot.of(self.grads) for slot in layout.weights]
        biases = [slot.of(bank.params) for slot in layout.biases]
        self._biases = [b.unsqueeze(1) for b in biases[:-1]]  # [L, 1, H]
        self._last_bias = biases[-1].unsqueeze(2)  # [L, C, 1]
        self._bias_grads = [slot.of(self.grads) for slot in layout.biases]  # [L, H]
        self._norms = [LaneBatchNorm(layout, i, bank, self.grads) for i in range(len(layout.widths) - 2)]
        self._scratch: dict[int, TrainingBuffers] = {}
        self._evaluation: dict[int, EvaluationBuffers] = {}

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The buffers of the network, the stack's numbers left out."""
        training = [t for buffers in self._scratch.values() for t in buffers.tensors]
        return training + [t for buffers in self._evaluation.values() for t in buffers.tensors]

    def gradients(self, batch: Batch, variant: StepVariant) -> None:
        """Write the gradients of one batch, by hand; see ``LaneNetwork``."""
        s = self._buffers(batch.size)
        s.load(self._x, batch.rows)
        if variant.input_dropout:
            s.drop_inputs(batch.input_bits[0], self.settings)
        self._forward(s, batch.bits, variant)
        weights = batch.weights[0] if batch.weights else None
        self.loss.gradients(s, batch.labels, self.loss_sum, self._smoothing(variant), weights)
        self._backward(s, variant)
        if variant.l1:
            self._add_penalty()

    def validate(self, x: torch.Tensor, y: torch.Tensor, variant: StepVariant) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss's sums over some validation examples, and the outputs; see ``LaneNetwork``."""
        s = self._evaluation_buffers(len(x))
        outputs = self._logits(s, x.flatten(1), variant)
        return self.loss.validate(outputs, y, scratch=s.log_p), outputs

    def _buffers(self, size: int) -> TrainingBuffers:
        if size not in self._scratch:
            keeps_input = self._activation.keeps_input
            self._scratch[size] = TrainingBuffers(
                len(self.params), size, self._layout, self.params, keeps_input=keeps_input
            )
        return self._scratch[size]

    def _evaluation_buffers(self, size: int) -> EvaluationBuffers:
        if size not in self._evaluation:
            self._evaluation[size] = EvaluationBuffers(
                len(self.params), size, self._layout, self.params, keeps_input=self._activation.keeps_input
            )
        return self._evaluation[size]

    def _forward(self, s: TrainingBuffers, bits: Sequence[torch.Tensor], variant: StepVariant) -> None:
        off = self.settings.norm_off if variant.no_norm else None
        a = s.x
        for i, h in enumerate(s.hidden):
            first = h.product if variant.batch_norm else h.input
            self._products.affine(self._biases[i], a, self._weights_t[i], first)
            if variant.batch_norm:
                self._norms[i].forward(h.product, h.input, squares=h.grad, off=off)
            self._activation.forward(h.flat_input, h.flat_output)
            a = h.output
            if variant.dropout:
                torch.ge(bits[i], self.settings.threshold, out=h.keep)
                h.keep.mul_(self.settings.keep_scale)
                torch.mul(h.output, h.keep, out=h.dropped)
                a = h.dropped
        self._products.affine(self._last_bias, self._weights[-1], a.transpose(1, 2), s.logits)

    def _backward(self, s: TrainingBuffers, variant: StepVariant) -> None:
        off = self.settings.norm_off if variant.no_norm else None
        inputs = [s.x, *(h.dropped if variant.dropout else h.output for h in s.hidden)]
        self._products.product(s.grad, inputs[-1], self._weight_grads[-1])
        torch.sum(s.grad, 2, out=self._bias_grads[-1])
        upper = s.grad.transpose(1, 2)  # [L, B, C]
        for i in range(len(s.hidden) - 1, -1, -1):
            h = s.hidden[i]
            self._products.product(upper, self._weights[i + 1], h.grad)
            if variant.dropout:
                h.grad.mul_(h.keep)
            self._activation.backward(h.flat_grad, h.flat_input, h.flat_output, h.flat_grad)
            if variant.batch_norm:
                self._norms[i].backward(h.grad, h.product, products=h.dropped, off=off)
            self._products.product(h.grad.transpose(1, 2), inputs[i], self._weight_grads[i])
            if variant.no_norm:
                torch.sum(h.grad, 1, out=self._bias_grads[i])
                if variant.batch_norm:  # a layer before batch norm has no bias
                    self._bias_grads[i].masked_fill_(self._norm_on, 0)
            upper = h.grad

    def _logits(self, s: EvaluationBuffers, x: torch.Tensor, variant: StepVariant) -> torch.Tensor:
        """Return the logits in evaluation mode  # [B, D], the same for all lanes -> [L, C, B]."""
        off = self.settings.norm_off if variant.no_norm else None
        a = x.expand(len(self.params), *x.shape)
        for i, h in enumerate(s.hidden):
            self._products.affine(self._biases[i], a, self._weights_t[i], h.input)
            if variant.batch_norm:
                scale, shift = self._norms[i].evaluation(off)
                torch.addcmul(shift, h.input, scale, out=h.input)
            self._activation.forward(h.flat_input, h.flat_output)
            a = h.output
        self._products.affine(self._last_bias, self._weights[-1], a.transpose(1, 2), s.logits)
        return s.logits
