"""Whether a trial that took a lane does there what its module does alone, told by its first batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from trainables.errors import CannotStackError
from trainables.lanes.modules.trial import ModuleTrial

TOLERANCE = 1e-3
"""Of the largest output: in single precision another order of sums moves deep models by up to 1e-5 of it; what is
used wrongly, a rate that is another lane's say, by more than this."""


class FirstBatches:
    """The trials of a stack whose lane was not compared with their own module yet.

    A check before a group is stacked sees its first trial and a few others. This sees every trial, for the price of
    one more forward of one batch.
    """

    def __init__(self) -> None:
        self._trials: dict[int, ModuleTrial] = {}

    def seat(self, lane: int, trial: ModuleTrial) -> None:
        """Take a trial into a lane; one that moves there from another stack may have been compared there."""
        if trial.plain is not None:
            self._trials[lane] = trial

    def leave(self, lane: int) -> None:
        """Forget a lane."""
        self._trials.pop(lane, None)

    @property
    def waiting(self) -> bool:
        """Whether there are such trials."""
        return bool(self._trials)

    def expected(self, x: torch.Tensor) -> dict[int, torch.Tensor]:
        """Return what the modules of these trials make of their batches alone, by lane  # [L, B, ...] -> [B, C] each.

        Asked before the stack's own step, whose random numbers are the same.
        """
        return {lane: trial.plain_outputs(x[lane]) for lane, trial in self._trials.items()}

    def compare(self, outputs: torch.Tensor, expected: Mapping[int, torch.Tensor]) -> None:
        """Compare the stack's outputs with them, and look no further at these trials  # [L, B, C].

        Raises:
            CannotStackError: a trial's are others.
        """
        for lane, alone in expected.items():
            trial = self._trials.pop(lane)
            trial.plain = None
            if not _alike(outputs[lane], alone):
                raise CannotStackError(f"the first batch of trial {trial.number} is not that of its own module alone")


def _alike(found: torch.Tensor, alone: torch.Tensor) -> bool:
    """Say whether outputs are the same within rounding; NaN and infinity are where they are alone  # [B, C] each."""
    finite = alone[alone.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return found.shape == alone.shape and torch.allclose(
        found, alone, 0.0, TOLERANCE * max(scale, 1e-3), equal_nan=True
    )
