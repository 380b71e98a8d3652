"""Learning rate over epochs, through torch's own schedulers.

Every one of them moves after an epoch; within an epoch the rate is constant. OneCycleLR, which its paper
(Smith 2018, arXiv:1803.09820) moves after every batch, moves as the others do.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from trainables.config import MlpConfig


class Schedule(Protocol):
    """Sets the optimiser's learning rate after each epoch."""

    def step(self, val_loss: float) -> None:
        """Move to the next epoch, given the validation loss of the one that ended."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resume needs."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""


class Constant:
    """The rate stays."""

    def step(self, val_loss: float) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept the empty state."""


class Timed:
    """A torch scheduler that looks at the epoch alone."""

    def __init__(self, inner: LRScheduler) -> None:
        self._inner = inner

    def step(self, val_loss: float) -> None:
        """Move to the next epoch."""
        self._inner.step()

    def state_dict(self) -> dict[str, Any]:
        """Return torch's state."""
        return self._inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore torch's state."""
        self._inner.load_state_dict(state)


class Plateau:
    """ReduceLROnPlateau on the validation loss."""

    def __init__(self, inner: ReduceLROnPlateau) -> None:
        self._inner = inner

    def step(self, val_loss: float) -> None:
        """Move to the next epoch."""
        self._inner.step(val_loss)

    def state_dict(self) -> dict[str, Any]:
        """Return torch's state."""
        return self._inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore torch's state."""
        self._inner.load_state_dict(state)


def build_schedule(optimizer: Optimizer, config: MlpConfig) -> Schedule:
    """Return the schedule that ``config`` names, attached to ``optimizer``."""
    if config.schedule == "none":
        return Constant()
    if config.schedule == "step":
        return Timed(StepLR(optimizer, step_size=config.step_size, gamma=config.step_gamma))
    if config.schedule == "cosine":
        return Timed(_cosine(optimizer, config, epochs=config.max_epochs))
    if config.schedule == "one_cycle":
        return Timed(_one_cycle(optimizer, config))
    if config.schedule == "warmup_cosine":
        return Timed(_warmup_cosine(optimizer, config))
    return Plateau(ReduceLROnPlateau(optimizer, factor=config.plateau_factor, patience=config.plateau_patience))


def _cosine(optimizer: Optimizer, config: MlpConfig, *, epochs: int) -> CosineAnnealingLR:
    return CosineAnnealingLR(optimizer, T_max=epochs, eta_min=config.learning_rate * config.cosine_floor)


def _one_cycle(optimizer: Optimizer, config: MlpConfig) -> OneCycleLR:
    peak = float(config.one_cycle_peak)
    if peak * config.max_epochs == 1:
        peak -= 1e-9  # a rise of no length: torch divides by it. Just below, the first epoch is the highest.
    return OneCycleLR(
        optimizer,
        max_lr=config.learning_rate,
        total_steps=config.max_epochs,
        pct_start=peak,
        div_factor=config.one_cycle_div,
        final_div_factor=config.one_cycle_final_div,
        cycle_momentum=False,  # momentum and betas are settings of their own, and lanes share them
    )


def _warmup_cosine(optimizer: Optimizer, config: MlpConfig) -> SequentialLR:
    warmup = min(config.warmup_epochs, config.max_epochs)
    rise = LinearLR(optimizer, start_factor=config.warmup_start, total_iters=warmup)
    fall = _cosine(optimizer, config, epochs=max(1, config.max_epochs - warmup))
    return SequentialLR(optimizer, [rise, fall], milestones=[warmup])
