"""Whether a stack of modules trains as the plain loop does: two steps of some trials both ways, in double precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from trainables.derive import derive
from trainables.device_data import DeviceData
from trainables.errors import CannotStackError, first_line, is_out_of_memory
from trainables.lanes.bank import Bank
from trainables.lanes.feed import Batch
from trainables.lanes.losses import build_stacked_loss
from trainables.lanes.modules.blueprint import ModuleBlueprint, why_not_stacked
from trainables.lanes.modules.form import form_of
from trainables.lanes.modules.functorch import UNAVAILABLE
from trainables.lanes.modules.key import ModuleKey
from trainables.lanes.modules.network import ModuleNetwork
from trainables.lanes.modules.source import BuiltModule
from trainables.lanes.modules.trial import ModuleTrial
from trainables.lanes.network import StepVariant
from trainables.lanes.threads import one_core
from trainables.losses import build_loss
from trainables.protocols import BuildsModules
from trainables.torch_stream import TorchStream
from trainables.user_code import place_in_user_code

SIZES = (8, 5)
"""Examples of the batches: two sizes, so that what depends on them shows."""

LARGE = 1_000_000
"""Parameters from which on a model is compared at two configurations alone: more would take seconds."""

TOLERANCE = 1e-9
"""Of the largest number of a tensor: double precision loses 1e-12 to another order of sums in deep models."""

IN_WORDS = {
    "data-dependent control flow": "a branch of its forward depends on the data",
    "calling .item()": "its forward makes a Python number of a tensor (.item(), float(), int())",
    "dynamic shape": "the shape of something in its forward depends on the data (indexing by a mask, nonzero)",
    "doesn't have storage": "its forward hands a tensor to NumPy",
    "autograd.Function with functorch": "it has an autograd.Function without a rule for torch.func's vmap",
    "requires_grad_()": "its forward takes gradients itself",
}
"""What torch says of what it cannot batch, by a part of its message."""

RATE = 0.01
CPU = torch.device("cpu")
LONGEST = 110


def why_looped(modules: BuildsModules, configs: Sequence[Any], data: DeviceData) -> str:
    """Return why trials of ``configs``, which are of one group, cannot be lanes of a stack; empty if they can.

    Compared are losses, gradients, buffers, outputs in evaluation, where the random generators are afterwards, and
    whether the module's attributes are what they were. Whatever is raised on the way is a reason.
    """
    if UNAVAILABLE:
        return UNAVAILABLE
    try:
        model = modules.module_of(configs[0], data, seed=0, device=CPU)
        if reason := why_not_stacked(model):
            return reason
        # several cores gain nothing on so few examples, and wait for each other where the machine is busy
        with _doubles(), one_core():
            _Check(modules, configs, _in_double(data)).run()
    except Exception as error:  # of the model's own code, or of torch where it cannot batch an operation
        return _in_words(error)
    return ""


def _in_words(error: Exception) -> str:
    """Return what was raised on the way, with the line of the user's that led to it."""
    if is_out_of_memory(error):
        return "there is no memory for two lanes of it"
    if isinstance(error, CannotStackError):
        text = str(error)
    else:
        known = (words for sign, words in IN_WORDS.items() if sign in str(error))
        text = next(known, f"stacked it raises {type(error).__name__}: {first_line(error, most=LONGEST)}")
    where = place_in_user_code(error)
    return f"{text} ({where})" if where else text


class _Check:
    def __init__(self, modules: BuildsModules, configs: Sequence[Any], data: DeviceData) -> None:
        self._data = data
        self._training = [modules.training_of(config) for config in configs]

        def built(lane: int) -> nn.Module:
            return modules.module_of(configs[lane], data, seed=lane, device=CPU).double()

        self._plain = [built(lane) for lane in range(len(configs))]
        self._streams = [TorchStream(derive(lane, "model"), CPU) for lane in range(len(configs))]
        self._forms = [form_of(model) for model in self._plain]
        key = ModuleKey.of(self._forms[0], self._training[0])
        blueprint = ModuleBlueprint(key, lambda: built(0), data.shape, data.outputs)
        self._bank = Bank.empty(blueprint.layout, len(configs), optimizer=key.optimizer, device=CPU)
        loss = build_stacked_loss(key.loss, data.task)
        self._network = ModuleNetwork(blueprint, self._bank, data.x_train, loss=loss)
        self._slots = blueprint.names(batch_norm=False).parameters
        self._trials = []
        for lane, training in enumerate(self._training):
            module = BuiltModule(self._plain[lane], self._forms[lane], training, key)
            trial = ModuleTrial(lane, training, blueprint, built=module, batches=1, seed=lane, device=CPU)
            trial.plain = None  # all of it is compared here
            self._bank.lane(lane).copy_(trial.bank)
            self._network.seat(lane, trial)
            self._trials.append(trial)

    def run(self) -> None:
        for step, size in enumerate(SIZES):
            begins = range(step, step + len(self._plain))
            rows = [torch.arange(begin, begin + size) % self._data.examples for begin in begins]
            self._train(size, rows)
            self._evaluate(size)
        for model, before in zip(self._plain, self._forms, strict=True):
            after = form_of(model)
            if (after.digest, after.floats) != (before.digest, before.floats):
                raise CannotStackError("its forward changes its attributes")

    def _train(self, size: int, rows: Sequence[torch.Tensor]) -> None:
        """Make a step of gradient descent both ways."""
        labels = torch.stack([self._data.y_train[r] for r in rows]).unsqueeze(1)
        self._network.begin_epoch()
        self._network.gradients(Batch(size, torch.cat(list(rows)), labels), StepVariant.of(self._training))
        for lane, model in enumerate(self._plain):
            training, stream, trial = self._training[lane], self._streams[lane], self._trials[lane]
            model.train()
            with stream.as_global_rng():
                outputs = model(self._data.x_train[rows[lane]])
            found = build_loss(training.loss, self._data.task, label_smoothing=training.label_smoothing)(
                outputs, self._data.y_train[rows[lane]]
            )
            _compare(self._network.loss_sum[lane] / size, found.detach(), "the loss")
            names = dict(model.named_parameters())
            gradients = torch.autograd.grad(found, list(names.values()))
            for (name, weight), gradient in zip(names.items(), gradients, strict=True):
                if training.l1_penalty and self._slots[name].start < self._network.layout.penalised:
                    gradient = gradient + training.l1_penalty * weight.detach().sign()
                _compare(self._slots[name].of(self._network.grads[lane]), gradient, f"the gradient of {name}")
                weight.data.sub_(gradient, alpha=RATE)
            for name, buffer in model.named_buffers():
                _compare(trial.rest[name], buffer, f"the buffer {name}")
            if not torch.equal(trial.generator.get_state(), stream.state_dict()["cpu"]):
                raise CannotStackError("stacked it draws other random numbers than the plain loop")
        with torch.no_grad():
            self._bank.params.sub_(self._network.grads, alpha=RATE)

    @torch.no_grad()
    def _evaluate(self, size: int) -> None:
        """Compare outputs in evaluation, and those of the first examples with what comes of them alone."""
        x = self._data.x_val[:size]
        found = self._network.evaluate(x.expand(len(self._plain), *x.shape))
        for lane, model in enumerate(self._plain):
            model.eval()
            with self._streams[lane].as_global_rng():
                before = torch.get_rng_state()
                whole = model(x)
                first = whole[:0] if lane else model(x[: len(x) // 2])
                drew = not torch.equal(before, torch.get_rng_state())
            if drew:
                raise CannotStackError("it draws random numbers in evaluation")
            if len(first) and not torch.allclose(first, whole[: len(first)], rtol=1e-6, atol=1e-9):
                raise CannotStackError("in evaluation an output depends on the other examples of a batch")
            _compare(found[lane], whole, "the output in evaluation")


def _compare(found: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    if found.shape != expected.shape:
        raise CannotStackError(f"stacked, {what} has another shape than in the plain loop")
    if not found.numel():
        return
    found, expected = found.double(), expected.double()
    off = float((found - expected).abs().max())
    largest = float(expected.abs().max())
    if not off <= TOLERANCE * max(largest, 1e-3):
        raise CannotStackError(f"stacked, {what} is not that of the plain loop (off by {off:.1e} of {largest:.1e})")


@contextmanager
def _doubles() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.random.fork_rng([]):
            yield
    finally:
        torch.set_default_dtype(before)


def _in_double(data: DeviceData) -> DeviceData:
    def double(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.double() if tensor.is_floating_point() else tensor

    rows = min(data.examples, 32)
    return replace(
        data,
        x_train=double(data.x_train[:rows]),
        y_train=double(data.y_train[:rows]),
        x_val=double(data.x_val[:rows]),
        y_val=double(data.y_val[:rows]),
        views=1,
        weights=None,
        extra_metrics=(),
    )
