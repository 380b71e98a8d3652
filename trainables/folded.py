"""A trial of a cross-validation: one run a fold, all with the trial's configuration and seed, and the means of theirs.

What judges a trial judges the mean: its objective, its patience, its divergence. The model that is kept of it is that
of the first fold, beside that fold's preprocessing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.early_stopping import EarlyStopping
from trainables.errors import CheckpointError
from trainables.notice import Notice
from trainables.protocols import Closes, IsToldItsTrial, Run, TellsNotices, Trainable
from trainables.report import DIVERGED, PATIENCE, EpochReport
from trainables.weights_snapshot import WeightsSnapshot, snapshot_weights

if TYPE_CHECKING:
    import torch

    from trainables.data import Splits

VALIDATION = "val_"
"""Begins the names of the metrics whose spread over the folds is reported too."""

SPREAD = "_sd"
"""Ends the name of a metric's standard deviation over the folds (of a sample: divided by K - 1)."""


@dataclass(frozen=True)
class FoldedConfig:
    """The configuration of a trial of a cross-validation.

    Attributes:
        of_a_fold: that of each run, which has no patience of its own.
        patience: epochs without a better mean validation loss after which the trial ends itself; 0 for no end.
        min_delta: by how much it must be better.
    """

    of_a_fold: Any
    patience: int
    min_delta: float


class FoldMean:
    """What the runs of a trial, one a fold, come to together, epoch by epoch.

    Args:
        config: the trial's.
    """

    def __init__(self, config: FoldedConfig) -> None:
        self._early_stopping = EarlyStopping(config.patience, config.min_delta)
        self._epoch = 0

    def report(self, reports: Sequence[EpochReport]) -> EpochReport:
        """Return the report of the trial, given those of its folds: the means, and the spread of what validates.

        The trial has diverged where one of its folds has. It ends with the first fold that ends itself.
        """
        self._epoch = reports[0].epoch
        values = {name: [report.metrics[name] for report in reports] for name in reports[0].metrics}
        means = {name: statistics.fmean(found) for name, found in values.items()}
        spreads = {f"{name}{SPREAD}": _deviation(v) for name, v in values.items() if name.startswith(VALIDATION)}
        self._early_stopping.update(means.get("val_loss", math.nan))
        stops = [report.stop for report in reports if report.stop is not None]
        stop = DIVERGED if DIVERGED in stops else next(iter(stops), None)
        if stop is None and self._early_stopping.exhausted:
            stop = PATIENCE
        return EpochReport(self._epoch, {**means, **spreads}, sum(report.seconds for report in reports), stop)

    def state_dict(self, folds: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return everything a bitwise resume of the trial needs, given the states of its runs."""
        return {"epoch": self._epoch, "early_stopping": self._early_stopping.state_dict(), "folds": list(folds)}

    def load_state_dict(self, state: Mapping[str, Any], *, folds: int) -> list[dict[str, Any]]:
        """Continue where ``state_dict`` was taken; return the states from which the runs are to.

        Raises:
            CheckpointError: it is of a trial without folds, or with another number of them.
        """
        found = state.get("folds")
        if not isinstance(found, list) or len(found) != folds:
            what = f"{len(found)} folds" if isinstance(found, list) else "a trial without folds"
            raise CheckpointError(f"state/folds does not fit: expected {folds} folds, found {what}")
        self._epoch = state["epoch"]
        self._early_stopping.load_state_dict(state["early_stopping"])
        return found


class FoldedRun:
    """One trial in training whose runs, one a fold, train in turn.

    Args:
        config: the trial's configuration.
        runs: at epoch 0, in the order of the folds.
    """

    def __init__(self, config: FoldedConfig, runs: Sequence[Run]) -> None:
        self._runs = tuple(runs)
        self._mean = FoldMean(config)

    def step(self) -> EpochReport:
        """Train and validate one epoch of every fold."""
        return self._mean.report([run.step() for run in self._runs])

    def state_dict(self) -> dict[str, Any]:
        """Return everything a bitwise resume needs."""
        return self._mean.state_dict([run.state_dict() for run in self._runs])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken.

        Raises:
            CheckpointError: it is the state of another trial.
        """
        for run, saved in zip(self._runs, self._mean.load_state_dict(state, folds=len(self._runs)), strict=True):
            run.load_state_dict(saved)

    def full_weights(self) -> WeightsSnapshot:
        """Return what makes the state of the model of the first fold as it is now."""
        return snapshot_weights(self._runs[0])

    def identify(self, number: int, folder: Path) -> None:
        """Tell every run which trial it is of."""
        for run in self._runs:
            if isinstance(run, IsToldItsTrial):
                run.identify(number, folder)

    def take_notices(self) -> list[Notice]:
        """Return, once, what the runs have to say beside their reports; what several say alike, once."""
        told = (notice for run in self._runs if isinstance(run, TellsNotices) for notice in run.take_notices())
        return list(dict.fromkeys(told))

    def close(self) -> None:
        """End what the runs have to end."""
        for run in self._runs:
            if isinstance(run, Closes):
                run.close()


class FoldedTrainable:
    """A trainable each of whose trials is one run a fold.

    Args:
        of_a_fold: the trainable of each run.
    """

    def __init__(self, of_a_fold: Trainable) -> None:
        self.of_a_fold = of_a_fold
        self.stacks = of_a_fold.stacks
        self.loops = of_a_fold.loops

    @property
    def metrics(self) -> tuple[str, ...] | None:
        """The names that a report of one fold may hold."""
        return self.of_a_fold.metrics

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> FoldedConfig:
        """Return the validated configuration of a trial: its patience is the mean's, and no run has one of its own.

        Raises:
            ConfigError: as that of the runs.
        """
        config = self.of_a_fold.configure(params, max_epochs=max_epochs)
        patience = params.get("patience", 0)
        if patience:
            config = self.of_a_fold.configure({**params, "patience": 0}, max_epochs=max_epochs)
        return FoldedConfig(config, patience, params.get("min_delta", 0.0))

    def prepare(self, splits: Splits, device: torch.device) -> tuple[Any, ...]:
        """Return the examples of every fold on ``device``."""
        return tuple(self.of_a_fold.prepare(fold, device) for fold in splits.of_a_trial)

    def start(self, config: FoldedConfig, data: Sequence[Any], *, seed: int, device: torch.device) -> Run:
        """Return a trial at epoch 0."""
        runs = [self.of_a_fold.start(config.of_a_fold, fold, seed=seed, device=device) for fold in data]
        return FoldedRun(config, runs)


def with_folds(trainable: Trainable, splits: Splits) -> Trainable:
    """Return what trains a trial on ``splits``: one run a fold where there are any, else the trainable itself."""
    return FoldedTrainable(trainable) if splits.folds else trainable


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan
