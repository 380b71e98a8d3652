"""The optimisers over a stack: every lane has its own rate, decay, momentum and count of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from trainables.lanes.bank import Bank
from trainables.lanes.layout import Sizes
from trainables.lanes.trial import LaneTrial

BETAS = (0.9, 0.999)
EPS = 1e-8


class Update(Protocol):
    """Moves the parameters of the seated lanes along their gradients."""

    def prepare(self, trials: Sequence[LaneTrial | None]) -> None:
        """Take the rates of the epoch to come; ``trials[l]`` sits in lane l."""

    def step(self) -> None:
        """Apply the gradients once."""

    @property
    def counters(self) -> tuple[torch.Tensor, ...]:
        """What ``step`` changes beside the stack's numbers."""

    @property
    def scratch(self) -> torch.Tensor:
        """The largest buffer of the optimiser  # [L, P]."""


def build_update(layout: Sizes, bank: Bank, grads: torch.Tensor, *, optimizer: str) -> Update:
    """Return the optimiser that suits the device."""
    if optimizer == "adamw" and bank.params.device.type == "cpu":
        return FusedAdamW(layout, bank, grads)
    return stacked_update(bank, grads, optimizer=optimizer)


def stacked_update(bank: Bank, grads: torch.Tensor, *, optimizer: str) -> Update:
    """Return the optimiser made of a few operations over all lanes, which a graph can capture."""
    return StackedAdamW(bank, grads) if optimizer == "adamw" else StackedSgd(bank, grads)


class FusedAdamW:
    """AdamW by torch's fused CPU kernel, which reads and writes the gradient and the moments once.

    The kernel knows one rate for all its tensors. It therefore moves a zero instead of the parameters, at
    rate 1: what comes out is each lane's direction, which the lane's own rate then scales.

    Args:
        layout: of a lane's numbers; a lane without batch norm leaves its scales and shifts alone.
        bank: the stack's numbers.
        grads: [L, P].
    """

    def __init__(self, layout: Sizes, bank: Bank, grads: torch.Tensor) -> None:
        self._layout = layout
        self._bank = bank
        self._grads = grads
        self.scratch = torch.zeros_like(grads)
        self._steps = torch.zeros(len(grads), dtype=torch.float32)  # what the kernel reads, always
        self._rate = torch.zeros(len(grads), 1)
        self._decay = torch.ones(len(grads), 1)
        self._decays = False
        self._parts: tuple[list[torch.Tensor], ...] = ()

    def prepare(self, trials: Sequence[LaneTrial | None]) -> None:
        """Take the rates, and views of the lanes that are seated; an empty lane stays as it is."""
        self._decays = any(t is not None and t.config.weight_decay > 0 for t in trials)
        _fill(self._rate, [0.0 if t is None else t.learning_rate for t in trials])
        _fill(self._decay, _decays(trials))
        self.scratch.zero_()
        lanes = []
        for lane, trial in enumerate(trials):
            if trial is not None:
                self._steps[lane] = trial.steps
                used = self._layout.size if trial.config.batch_norm else self._layout.linear
                row = self._bank.lane(lane)
                numbers = (self.scratch[lane], self._grads[lane], row.first, row.second)
                lanes.append([*(t[:used] for t in numbers), self._steps[lane]])
        directions, grads, first, second, steps = (list(column) for column in zip(*lanes, strict=True))
        self._parts = (directions, grads, first, second, [], steps)

    def step(self) -> None:
        """Apply the gradients once."""
        self._steps.add_(1)
        # rate 1 and decay 1 let the kernel itself forget the directions of the step before
        torch._fused_adamw_(
            *self._parts,
            lr=1.0,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=1.0,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )
        if self._decays:
            self._bank.params.mul_(self._decay)
        self._bank.params.addcmul_(self.scratch, self._rate)

    @property
    def counters(self) -> tuple[torch.Tensor, ...]:
        """The steps, for bias correction."""
        return (self._steps,)


class StackedAdamW:
    """AdamW (Loshchilov and Hutter, 2019) as a few operations over all lanes at once  # [L, P]."""

    def __init__(self, bank: Bank, grads: torch.Tensor) -> None:
        lanes, device = len(grads), grads.device
        self._bank = bank
        self._grads = grads
        # double: 1 - 0.999**t would lose half of single precision's digits at t = 1
        self._step = torch.zeros(lanes, 1, dtype=torch.float64, device=device)
        self._rate = torch.zeros_like(self._step)
        self._decay = torch.ones(lanes, 1, device=device)
        self.scratch = torch.empty_like(grads)

    def prepare(self, trials: Sequence[LaneTrial | None]) -> None:
        """Take the rates; an empty lane's is zero."""
        rates = [0.0 if t is None else t.learning_rate for t in trials]
        steps = [0 if t is None else t.steps for t in trials]
        _fill(self._rate, rates)
        _fill(self._decay, _decays(trials))
        _fill(self._step, steps)

    def step(self) -> None:
        """Apply the gradients once."""
        params, first, second = self._bank.params, self._bank.first, self._bank.second
        self._step.add_(1)
        params.mul_(self._decay)
        first.lerp_(self._grads, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(self._grads, self._grads, value=1 - BETAS[1])
        torch.sqrt(second, out=self.scratch)
        # rate * (m / c1) / (sqrt(v / c2) + eps) = m / (sqrt(v) * a + b), a lane's a and b small tensors
        first_correction = (1 - BETAS[0] ** self._step) / self._rate
        second_correction = (1 - BETAS[1] ** self._step).sqrt_()
        self.scratch.mul_((first_correction / second_correction).float())
        self.scratch.add_((first_correction * EPS).float())
        params.addcdiv_(first, self.scratch, value=-1)

    @property
    def counters(self) -> tuple[torch.Tensor, ...]:
        """The steps, for bias correction."""
        return (self._step,)


class StackedSgd:
    """SGD with momentum over all lanes at once  # [L, P]."""

    def __init__(self, bank: Bank, grads: torch.Tensor) -> None:
        self._bank = bank
        self._grads = grads
        lanes, device = len(grads), grads.device
        self.scratch = grads
        self._rate, self._decay, self._momentum = (torch.zeros(lanes, 1, device=device) for _ in range(3))

    def prepare(self, trials: Sequence[LaneTrial | None]) -> None:
        """Take the rates; an empty lane's is zero."""
        _fill(self._rate, [0.0 if t is None else -t.learning_rate for t in trials])
        _fill(self._decay, [0.0 if t is None else t.config.weight_decay for t in trials])
        _fill(self._momentum, [0.0 if t is None else t.config.momentum for t in trials])

    def step(self) -> None:
        """Apply the gradients once."""
        params, first = self._bank.params, self._bank.first
        self._grads.addcmul_(params, self._decay)
        first.mul_(self._momentum).add_(self._grads)
        params.addcmul_(first, self._rate)

    @property
    def counters(self) -> tuple[torch.Tensor, ...]:
        """Nothing: SGD counts no steps."""
        return ()


def _decays(trials: Sequence[LaneTrial | None]) -> list[float]:
    """Return what each lane's parameters are multiplied by before a step of AdamW."""
    return [1.0 if t is None else 1 - t.learning_rate * t.config.weight_decay for t in trials]


def _fill(column: torch.Tensor, values: Sequence[float]) -> None:
    column.copy_(torch.tensor(values, dtype=torch.float64).unsqueeze(1))
