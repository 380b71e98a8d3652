"""Learning rate over epochs, through torch's own schedulers."""

from __future__ import annotations

from typing import Any, Protocol

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau, StepLR

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

    def __init__(self, inner: StepLR | CosineAnnealingLR) -> None:
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
        floor = config.learning_rate * config.cosine_floor
        return Timed(CosineAnnealingLR(optimizer, T_max=config.max_epochs, eta_min=floor))
    return Plateau(ReduceLROnPlateau(optimizer, factor=config.plateau_factor, patience=config.plateau_patience))
