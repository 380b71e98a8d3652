"""What a trial says after each epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EPOCH = "epoch"
SECONDS = "epoch_seconds"
STOP = "stop"
METRICS = "metrics"
"""The names of a report's own fields where it travels as a flat mapping."""

MAX_EPOCHS = "max_epochs"
PATIENCE = "patience"
DIVERGED = "diverged"
RETURNED = "returned"


class RunEnded(Exception):
    """Raised by a run's ``step`` where there is no further epoch: the last report was the last.

    Attributes:
        stop: why, such as ``returned``.
    """

    def __init__(self, stop: str) -> None:
        super().__init__(f"there is no further epoch: {stop}")
        self.stop = stop


@dataclass(frozen=True, slots=True)
class EpochReport:
    """The metrics after one epoch.

    Attributes:
        epoch: the number of the epoch, counted from 1.
        metrics: the values by name: ``train_loss`` and ``val_loss`` always, others as the task and the model have them.
        seconds: wall time of the epoch, training and validation.
        stop: why the trial ends itself after this epoch (``max_epochs``, ``patience``, ``diverged``), or None.
    """

    epoch: int
    metrics: Mapping[str, float]
    seconds: float
    stop: str | None = None

    @property
    def values(self) -> dict[str, float]:
        """Everything that an objective may name: the metrics and the seconds, as ``epoch_seconds``."""
        return with_seconds(self.metrics, self.seconds)


def stop_reason(*, epoch: int, max_epochs: int, finite: bool, out_of_patience: bool) -> str | None:
    """Return why a trial ends itself after ``epoch``, or None; divergence first, then the horizon."""
    if not finite:
        return DIVERGED
    if epoch >= max_epochs:
        return MAX_EPOCHS
    return PATIENCE if out_of_patience else None


def all_finite(*losses: float) -> bool:
    """Say whether no loss is NaN or infinite."""
    return all(math.isfinite(loss) for loss in losses)


def with_seconds(metrics: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Return all that an objective may name: the metrics, and the seconds of the epoch as ``epoch_seconds``."""
    return {**metrics, SECONDS: seconds}


def to_result(report: EpochReport) -> dict[str, Any]:
    """Return the report as the flat mapping that schedulers and samplers read, the metrics by name.

    ``metrics`` holds the trial's own metrics once more, apart from what an executor adds beside them.
    """
    own = dict(report.metrics)
    return {**own, METRICS: own, EPOCH: report.epoch, SECONDS: report.seconds, STOP: report.stop}


def from_result(result: Mapping[str, Any]) -> EpochReport:
    """Return the report that ``to_result`` made a mapping of."""
    return EpochReport(result[EPOCH], dict(result[METRICS]), result[SECONDS], result[STOP])
