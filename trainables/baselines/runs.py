"""Trials of estimators: a fit is one epoch; torch's MLP trains its own."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from trainables.baselines.config import EstimatorConfig
from trainables.baselines.estimators import build_estimator, probabilities, weights_of_fit
from trainables.baselines.kept import pack_estimator
from trainables.data import Splits
from trainables.device_data import DeviceData
from trainables.loop import TrainingRun
from trainables.metrics import classification_metrics, regression_metrics
from trainables.report import EpochReport, all_finite, stop_reason
from trainables.task import Task
from trainables.weights_snapshot import WeightsSnapshot

SMALLEST_PROBABILITY = 1e-7
"""What a probability of 0 counts as: one mistake made with certainty costs 16, and not infinity."""


@dataclass(frozen=True)
class EstimatorData:
    """A data set as both kinds of model read it.

    Attributes:
        splits: the examples as arrays.
        x_train, x_val: flattened  # [N, D].
        device: the examples as tensors.
    """

    splits: Splits
    x_train: NDArray[np.float32]
    x_val: NDArray[np.float32]
    device: DeviceData

    @classmethod
    def of(cls, splits: Splits, device: torch.device) -> EstimatorData:
        """Flatten the arrays of ``splits``, and copy them to ``device``."""
        train, val = (part.held.reshape(len(part), -1) for part in (splits.train, splits.val))
        return cls(splits, train, val, DeviceData.of(splits, device))


class FitRun:
    """One fit of one of scikit-learn's estimators, on one core whatever the machine has.

    A fit is atomic: a run that was interrupted begins again. Its state says no more than that it is done.

    Attributes:
        fit_seconds: how long the fit took, without the scoring.
    """

    def __init__(self, config: EstimatorConfig, data: EstimatorData, *, seed: int) -> None:
        self.config = config
        self.data = data
        self.epoch = 0
        self.fit_seconds = 0.0
        self._seed = seed % 2**32
        self._estimator: Any = None

    def step(self) -> EpochReport:
        """Fit, and score the training and the validation examples."""
        started = time.perf_counter()
        splits = self.data.splits
        # Threads of a fit this small wait for each other: two took seven times as long as one.
        with threadpool_limits(limits=1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the horizon is part of the configuration
            estimator = build_estimator(
                self.config, self.data.x_train, splits.train.y, task=splits.task, seed=self._seed
            )
            fit_started = time.perf_counter()
            estimator.fit(self.data.x_train, splits.train.y, **weights_of_fit(estimator, splits.train.weights))
            self.fit_seconds = time.perf_counter() - fit_started
            self._estimator = estimator
            train_loss, metrics = self._scores(estimator)
        self.epoch += 1
        finite = all_finite(train_loss, metrics["val_loss"])
        return EpochReport(
            epoch=self.epoch,
            metrics={"train_loss": train_loss, **metrics},
            seconds=time.perf_counter() - started,
            stop=stop_reason(epoch=1, max_epochs=1, finite=finite, out_of_patience=False),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return whether the fit is done."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state."""
        self.epoch = state["epoch"]

    def full_weights(self) -> WeightsSnapshot:
        """Return what makes the estimator a state that can be kept."""
        return partial(pack_estimator, self._estimator)

    def _scores(self, estimator: Any) -> tuple[float, dict[str, float]]:
        """Return the training loss, and the metrics of the validation examples."""
        x_train, x_val, splits = self.data.x_train, self.data.x_val, self.data.splits
        if splits.task is Task.CLASSIFICATION:
            train, val = (probabilities(estimator, x, classes=splits.classes) for x in (x_train, x_val))
            return _log_loss(train, splits.train.y, splits.train.weights), _class_scores(val, splits)
        train, val = (np.asarray(estimator.predict(x), np.float64).reshape(-1) for x in (x_train, x_val))
        squares = np.square(train - splits.train.y)
        return float(np.average(squares, weights=splits.train.weights)), _number_scores(val, splits)


class NetworkRun(TrainingRun):
    """The plain loop of an MLP, with a clock; its reports hold what an estimator's do.

    Attributes:
        fit_seconds: how long training took so far, without the validation.
    """

    def __init__(self, config: EstimatorConfig, data: EstimatorData, *, seed: int, device: torch.device) -> None:
        super().__init__(config.network, data.device, seed=seed, device=device)
        self.fit_seconds = 0.0

    def step(self) -> EpochReport:
        """Train one epoch, as the plain loop does."""
        report = super().step()
        return replace(report, metrics={name: value for name, value in report.metrics.items() if name != "lr"})

    def train_epoch(self) -> float:
        """Train, and note the time."""
        started = time.perf_counter()
        loss = super().train_epoch()
        self.fit_seconds += time.perf_counter() - started
        return loss


def _log_loss(p: NDArray[np.float64], y: NDArray[np.int64], weights: NDArray[np.float32] | None = None) -> float:
    losses = -np.log(np.maximum(p[np.arange(len(y)), y], SMALLEST_PROBABILITY))
    return float(losses.mean() if weights is None else np.average(losses, weights=weights))


def _class_scores(p: NDArray[np.float64], splits: Splits) -> dict[str, float]:
    y = splits.val.y
    scores = {"val_loss": _log_loss(p, y), "val_accuracy": float((p.argmax(1) == y).mean())}
    logits = torch.from_numpy(np.log(np.maximum(p, SMALLEST_PROBABILITY)))
    return scores | classification_metrics(splits.extra_metrics, logits, torch.from_numpy(y))


def _number_scores(predicted: NDArray[np.float64], splits: Splits) -> dict[str, float]:
    y = splits.val.y.astype(np.float64)
    error = predicted - y
    assert splits.scale is not None, "a number has a scale"
    squares, distances, n = float(np.square(error).sum()), float(np.abs(error).sum()), len(y)
    spread = float(np.square(y - y.mean()).sum())
    found = {"val_loss": squares / n}
    return found | regression_metrics(squares, distances, n=n, spread=spread, scale=splits.scale)
