"""Patience inside one trial."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class EarlyStopping:
    """Ends a trial after ``patience`` epochs without an improvement of at least ``min_delta``.

    An epoch improves when its loss is below the best so far minus ``min_delta``. ``patience`` 0 never
    ends a trial.
    """

    patience: int
    min_delta: float = 0.0
    best: float = math.inf
    waited: int = 0

    def update(self, val_loss: float) -> None:
        """Count one more epoch."""
        if val_loss < self.best - self.min_delta:
            self.best = val_loss
            self.waited = 0
        else:
            self.waited += 1

    @property
    def exhausted(self) -> bool:
        """Whether the patience is used up."""
        return 0 < self.patience <= self.waited

    def state_dict(self) -> dict[str, Any]:
        """Return what a resume needs."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.patience, self.min_delta = state["patience"], state["min_delta"]
        self.best, self.waited = state["best"], state["waited"]
