"""Any module over the lanes of a stack: its forward runs once for all, and torch differentiates that of all lanes."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from trainables.errors import CannotStackError
from trainables.lanes.bank import Bank
from trainables.lanes.buffers import LossBuffers
from trainables.lanes.feed import Batch
from trainables.lanes.losses import StackedLoss
from trainables.lanes.modules.blueprint import ModuleBlueprint
from trainables.lanes.modules.first_batch import FirstBatches
from trainables.lanes.modules.form import Place, form_of
from trainables.lanes.modules.functorch import is_wrapped, over_lanes, unwrapped, wrapped
from trainables.lanes.modules.lifted import Lifted, with_floats
from trainables.lanes.modules.mode import LaneMode
from trainables.lanes.modules.replay import Replays
from trainables.lanes.modules.trial import ModuleTrial
from trainables.lanes.network import LaneNetwork, StepVariant
from trainables.lanes.trial import LaneTrial


class _WithGradient(torch.autograd.Function):
    """A number of which the gradient by some outputs is given.

    ``torch.autograd.grad`` takes such a gradient too, but imports sympy to look at its shape.
    """

    @staticmethod
    def forward(ctx: Any, outputs: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return 0."""
        ctx.save_for_backward(gradient)
        return outputs.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the gradient that was given."""
        return ctx.saved_tensors[0], None


class ModuleNetwork(LaneNetwork):
    """Trains and evaluates the modules of a stack.

    One module, the template, runs with the lanes' weights and buffers in the place of its own.

    Args:
        blueprint: of the group.
        bank: the stack's numbers.
        x: the training examples  # [N, ...].
        loss: what is minimised.
    """

    autograd = True

    def __init__(self, blueprint: ModuleBlueprint, bank: Bank, x: torch.Tensor, *, loss: StackedLoss) -> None:
        super().__init__(blueprint.layout, bank, loss)
        self._x = x
        self._lanes = len(bank.params)
        self._outputs = blueprint.outputs
        self._template = blueprint.build()
        slots = blueprint.names(batch_norm=False).parameters
        # leaves that share the bank's memory, as in ``ConvNetwork``
        self._weights = {name: slot.of(bank.params).detach().requires_grad_() for name, slot in slots.items()}
        self._targets = [slot.of(self.grads) for slot in slots.values()]
        buffers = dict(self._template.named_buffers())
        self.rest = {name: buffers[name].new_zeros(self._lanes, *buffers[name].shape) for name in blueprint.rest}
        self._places = _places(self._template)
        self._recurrent = [m for m in self._template.modules() if isinstance(m, nn.RNNBase)]
        self._mode = LaneMode(self._lanes)
        self._floats: list[dict[Place, float] | None] = [None] * self._lanes
        self._modules = list(self._template.modules())
        self._attributes: dict[tuple[int, str], object] = {}
        for number, module in enumerate(self._modules):
            self._attributes |= {(number, name): value for name, value in vars(module).items()}
        self._buffers: dict[int, LossBuffers] = {}
        self._first = FirstBatches()
        changed = [self.grads, self.loss_sum, *self.rest.values()]
        self._replays = Replays(self._template, changed, lambda: self._mode.drawing)

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The buffers of the network."""
        return [*self.rest.values(), *(t for buffers in self._buffers.values() for t in buffers.tensors)]

    @property
    def changing(self) -> list[torch.Tensor]:
        """The modules' buffers: code of the user's own may raise in an epoch, which is then done in the loop."""
        return list(self.rest.values())

    def seat(self, lane: int, trial: LaneTrial) -> None:
        """Take a trial's settings, its buffers, its random numbers and its floats."""
        super().seat(lane, trial)
        assert isinstance(trial, ModuleTrial), "a stack of modules takes trials of modules"
        for name, stacked in self.rest.items():
            stacked[lane].copy_(trial.rest[name])
        trial.rest = {name: stacked[lane] for name, stacked in self.rest.items()}
        self._mode.generators[lane] = trial.generator
        self._floats[lane] = dict(trial.floats)
        self._lift()
        self._first.seat(lane, trial)
        self._replays.forget(self._mode.drawn_from)

    def leave(self, lane: int) -> None:
        """Free a lane."""
        self._mode.generators[lane] = None
        self._floats[lane] = None
        self._first.leave(lane)
        self._replays.forget(self._mode.drawn_from)
        for stacked in self.rest.values():
            stacked[lane].zero_()

    def gradients(self, batch: Batch, variant: StepVariant) -> None:
        """Write the gradients of one batch; see ``LaneNetwork``.

        Raises:
            CannotStackError: a weight had no part in the losses: the plain loop would leave it as it is. Or a trial
                that is new here gives other outputs than its module alone. Or the module keeps something of batches
                of this size beside its buffers.
        """
        size = batch.size
        step, inputs = partial(self._step, size, variant), (batch.rows, batch.labels, *batch.weights)
        if size not in self._buffers:
            self._buffers[size] = LossBuffers(self._lanes, size, self._outputs, self.params)
            self._template.train()
            before = form_of(self._template)
            step(*inputs)
            if form_of(self._template) != before:  # not seen on the small batches of the check
                raise CannotStackError("its forward changes its attributes")
        elif self._first.waiting:
            step(*inputs)
        else:
            self._replays.do((size, variant), step, inputs, scratch=[*self._buffers[size].tensors, self._signs])

    def _step(
        self,
        size: int,
        variant: StepVariant,
        rows: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor | None = None,
    ) -> None:
        s = self._buffers[size]
        x = self._x.index_select(0, rows).view(self._lanes, size, *self._x.shape[1:])
        alone = self._first.expected(x)
        with torch.enable_grad():
            outputs = self._forward(x, training=True)
        self._first.compare(outputs.detach(), alone)
        s.logits.copy_(outputs.detach().transpose(1, 2))
        self.loss.gradients(s, labels, self.loss_sum, self._smoothing(variant), weights)
        with torch.enable_grad():
            known = _WithGradient.apply(outputs, s.grad.transpose(1, 2))
        found = torch.autograd.grad(known, list(self._weights.values()), allow_unused=True)
        if any(gradient is None for gradient in found):
            name = next(n for n, g in zip(self._weights, found, strict=True) if g is None)
            raise CannotStackError(f"its parameter {name} has no part in the loss of a batch")
        torch._foreach_copy_(self._targets, [g for g in found if g is not None])
        if variant.l1:
            self._add_penalty()

    def validate(self, x: torch.Tensor, y: torch.Tensor, variant: StepVariant) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss's sums over some validation examples, and the outputs; see ``LaneNetwork``."""
        # the same examples in every lane, and not shared: a lane's product must not depend on how many lanes there are
        outputs = self.evaluate(x.expand(self._lanes, *x.shape)).transpose(1, 2).contiguous()
        return self.loss.validate(outputs, y, scratch=torch.empty_like(outputs)), outputs

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs of examples that differ from lane to lane  # [L, B, ...] -> [L, B, C]."""
        return self._forward(x, training=False)

    def _forward(self, x: torch.Tensor, *, training: bool) -> torch.Tensor:
        if self._template.training is not training:
            self._template.train(training)
        with over_lanes(self._lanes) as level:
            self._mode.level = level
            inside = {name: wrapped(t, level) for name, t in (*self._weights.items(), *self.rest.items())}
            self._put(inside)
            try:
                with self._mode:
                    found = self._template(wrapped(x, level))
                self._take_new_buffers(inside)
            finally:
                self._put(None)
            if not is_wrapped(found):
                raise CannotStackError("its outputs do not depend on its weights")
            return unwrapped(found)

    def _put(self, inside: dict[str, torch.Tensor] | None) -> None:
        """Put the lanes' tensors where the template has its own, or its own back."""
        for store, key, name, own in self._places:
            store[key] = own if inside is None else inside[name]
        for module in self._recurrent:
            module.__dict__["_flat_weights"] = [module._parameters[n] for n in module._flat_weights_names]

    def _take_new_buffers(self, inside: dict[str, torch.Tensor]) -> None:
        """Keep the buffers that the forward replaced by others."""
        for store, key, name, _ in self._places:
            new = store[key]
            if new is inside[name]:
                continue
            if name not in self.rest or new is None or new.shape != inside[name].shape:
                raise CannotStackError(f"its forward replaces {name}")
            self.rest[name].copy_(unwrapped(new).detach())

    def _lift(self) -> None:
        """Give the template the floats of the lanes: those that differ as one of each."""
        seated = [floats for floats in self._floats if floats is not None]
        by_attribute: dict[tuple[int, str], dict[tuple[object, ...], float]] = {}
        self._mode.lifts = False
        for number, name, path in seated[0]:
            place = (number, name, path)
            values = [(seated[0] if floats is None else floats)[place] for floats in self._floats]
            differ = any(value != values[0] and value == value for value in values)
            self._mode.lifts |= differ
            by_attribute.setdefault((number, name), {})[path] = Lifted(values) if differ else values[0]
        for (number, name), floats in by_attribute.items():
            vars(self._modules[number])[name] = with_floats(self._attributes[number, name], floats)


def _places(model: nn.Module) -> list[tuple[dict[str, torch.Tensor | None], str, str, torch.Tensor]]:
    """Return where each weight and buffer is: the dictionary, the key, the name under which it comes first, itself."""
    found, names = [], dict[int, str]()
    for prefix, module in model.named_modules():
        for store in (module._parameters, module._buffers):
            for key, tensor in store.items():
                if tensor is not None:
                    name = names.setdefault(id(tensor), f"{prefix}.{key}" if prefix else key)
                    found.append((store, key, name, tensor))
    return found
