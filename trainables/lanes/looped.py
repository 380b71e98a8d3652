"""Looped lanes: one model after another in turn, in one process, with the data held once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from trainables.lanes.event import LaneEvent, raised
from trainables.loop import TrainingRun
from trainables.registry import Run

Start = Callable[..., Run]
"""(config, data, *, seed, device) -> a trial at epoch 0."""


class LoopedLanes:
    """Trials that train one after another.

    Args:
        data: whatever ``start`` takes as such.
        device: where the trials train.
        precision: ``bf16`` runs each step under torch's autocast.
        start: what makes a run of a configuration; the plain loop by default.
    """

    def __init__(self, data: Any, *, device: torch.device, precision: str = "fp32", start: Start | None = None) -> None:
        self._data = data
        self._device = device
        self._precision = precision
        self._start: Start = start or TrainingRun
        self._runs: dict[int, Run] = {}

    def seat(self, ticket: int, config: Any, *, seed: int) -> Run:
        """Start a trial."""
        self._runs[ticket] = run = self._start(config, self._data, seed=seed, device=self._device)
        return run

    def retire(self, ticket: int) -> None:
        """Let the trial go."""
        del self._runs[ticket]

    def trial(self, ticket: int) -> Run:
        """Return a seated trial."""
        return self._runs[ticket]

    def advance(self) -> dict[int, LaneEvent]:
        """Train one epoch of every seated trial; what one raises is its own event."""
        return {ticket: self._advance(run) for ticket, run in self._runs.items()}

    def compact(self) -> None:
        """Do nothing: a trial that is not there costs nothing."""

    def close(self) -> None:
        """Do nothing."""

    def _advance(self, run: Run) -> LaneEvent:
        try:
            with self._casting():
                return LaneEvent(run.step())
        except Exception as error:
            return raised(error)

    def _casting(self) -> AbstractContextManager[Any]:
        if self._precision == "bf16":
            # its cache would keep the weights as the first batch of the step found them
            return torch.autocast(self._device.type, torch.bfloat16, cache_enabled=False)
        return nullcontext()
