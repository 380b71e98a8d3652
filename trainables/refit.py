"""A configuration trained once more, to compare it with others on equal terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from trainables.cpu_threads import torch_threads
from trainables.protocols import Trainable
from trainables.stage import each
from trainables.stepping import reports_of
from trainables.weights_snapshot import WeightsSnapshot, snapshot_weights


@dataclass(frozen=True)
class Refit:
    """A fit's outcome.

    Attributes:
        metrics: the metrics after the last epoch.
        seconds: how long training took, without the scoring where the run tells the two apart.
        epochs: how many were trained.
        weights: makes the state of the trained model, as a best model's file holds it.
    """

    metrics: Mapping[str, float]
    seconds: float
    epochs: int
    weights: WeightsSnapshot


def refit(
    trainable: Trainable,
    config: Any,
    data: Any,
    *,
    seed: int,
    epochs: int,
    stopping: Callable[[], bool] = lambda: False,
) -> Refit | None:
    """Train ``config`` for ``epochs``, or until it ends itself, on one core of this machine.

    The horizon of its schedule is the configuration's own: it is stopped after ``epochs``, where a search
    found it best, and scored there. No epoch is chosen by the examples that score it.

    Args:
        trainable: the trainable that made the configuration.
        config: the trial's configuration.
        data: what ``trainable.prepare`` returned, on the CPU.
        seed: the run's seed.
        epochs: how many epochs to train at most.
        stopping: says before each epoch whether to give up; the result is then None.
    """
    with torch_threads(1), threadpool_limits(limits=1):
        run = trainable.start(config, data, seed=seed, device=torch.device("cpu"))
        reports = reports_of(run, epochs=epochs)
        metrics, seconds, trained = dict[str, float](), 0.0, 0
        for _ in each(range(epochs), "training, epoch by epoch"):
            if stopping():
                return None
            report = next(reports, None)
            if report is None:
                break
            metrics, seconds, trained = report.values, seconds + report.seconds, report.epoch
    return Refit(metrics, getattr(run, "fit_seconds", seconds), trained, lambda: snapshot_weights(run)())
