"""A trainable that costs nothing: what is left of a search is the driver."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainables.report import EpochReport, stop_reason


@dataclass(frozen=True)
class TrivialConfig:
    """One trial's configuration: how long it lasts."""

    max_epochs: int


class Trivial:
    """Reports losses drawn from the trial's seed; named ``benchmarks.trivial:Trivial`` in a study."""

    stacks = True  # it can neither hang nor exit, so its lanes are in the driver's process
    loops = True
    metrics = ("train_loss", "val_loss", "val_accuracy", "lr")

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> TrivialConfig:
        """Return the configuration; the parameters change nothing."""
        return TrivialConfig(max_epochs)

    def prepare(self, splits: Any, device: Any) -> None:
        """Need no data."""

    def start(self, config: TrivialConfig, data: None, *, seed: int, device: Any) -> TrivialRun:
        """Return a trial at epoch 0."""
        return TrivialRun(config, seed)


class TrivialRun:
    """One trial: its state is its epoch, for the losses are a function of seed and epoch."""

    def __init__(self, config: TrivialConfig, seed: int) -> None:
        self._config, self._seed, self._epoch = config, seed, 0

    def step(self) -> EpochReport:
        """Draw an epoch's losses."""
        self._epoch += 1
        rng = random.Random(self._seed + self._epoch)
        stop = stop_reason(epoch=self._epoch, max_epochs=self._config.max_epochs, finite=True, out_of_patience=False)
        metrics = {"train_loss": rng.random(), "val_loss": rng.random(), "val_accuracy": rng.random(), "lr": 0.1}
        return EpochReport(self._epoch, metrics, 0.0, stop)

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch."""
        return {"epoch": self._epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from an epoch."""
        self._epoch = state["epoch"]
