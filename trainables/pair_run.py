"""A configuration trained on a pair, and its model scored on examples that chose nothing about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.datasets import Pair
from trainables.data.splits import Arrays
from trainables.data.streamed import Streamed
from trainables.direction import Direction
from trainables.losses import Loss, build_loss
from trainables.metrics import METRICS, TEST_ERROR, shown_metric
from trainables.protocols import CanRebuild, Trainable
from trainables.report import DIVERGED, EpochReport
from trainables.scores import outputs_of, scores
from trainables.weights_snapshot import WeightsSnapshot

SMALLEST_LOG = math.log(1e-7)
"""What the logarithm of a probability of 0 counts as; networks do not come near, estimators say 0."""


@dataclass
class BestEpoch:
    """The best epoch of a run so far, as a search keeps its model: by what the run watches.

    Args:
        metric, mode: the objective.

    Attributes:
        epoch: 0 while no value was finite.
        metrics: all metrics of that epoch.
        seconds: of all epochs so far.
        weights: makes the state of the model of that epoch.
    """

    metric: str
    mode: str
    epoch: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    weights: WeightsSnapshot | None = None

    def observe(self, report: EpochReport, weights: Callable[[], WeightsSnapshot]) -> None:
        """Take an epoch's report; ``weights`` is called where it is the best."""
        self.seconds += report.seconds
        value = report.values.get(self.metric, math.nan)
        if report.stop == DIVERGED or not math.isfinite(value):
            return
        if not self.epoch or Direction(self.mode).better(value, self.metrics[self.metric]):
            self.epoch, self.metrics, self.weights = report.epoch, report.values, weights()


@dataclass(frozen=True)
class Scored:
    """How a model does on the examples of a pair.

    Attributes:
        metrics: those of the best epoch, those of validation in their place on the pair's scored part, and those of
            the test part under names with ``test_``, where it was opened.
        predictions: of each scored example the target, what was predicted and its loss, by name  # [N] each; those of
            test examples under names with ``test_``. Empty for a trainable that cannot rebuild a model, whose own
            validation then scores it.
    """

    metrics: Mapping[str, float]
    predictions: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def score(trainable: Trainable, config: Any, best: BestEpoch, pair: Pair, *, test: bool) -> Scored:
    """Score the model of a run's best epoch.

    Args:
        trainable: what trained it.
        config: the configuration.
        best: of a run that had a finite value.
        pair: what it was trained on.
        test: whether to open the test part too.
    """
    if not isinstance(trainable, CanRebuild) or best.weights is None:
        return Scored(dict(best.metrics))
    splits = pair.splits
    network = trainable.rebuild(config, best.weights(), shape=splits.shape, outputs=splits.outputs)
    # configurations that hold one for the loop among other things say its loss there
    loss = build_loss(getattr(getattr(config, "training", config), "loss", "auto"), splits.task)
    metrics, outputs = _scores(network, pair.scored, loss, pair)
    found = {**best.metrics, **metrics}
    kept = _predictions(outputs, pair.scored, loss)
    if test and len(pair.test):
        tested, test_outputs = _scores(network, pair.test, loss, pair)
        found |= {shown_metric(name): value for name, value in tested.items()}
        on_test = _predictions(test_outputs, pair.test, loss)
        found |= _test_error(best.metric, on_test, pair)
        kept |= {f"test_{name}": values for name, values in on_test.items()}
    return Scored(found, kept)


def _test_error(metric: str, predictions: Mapping[str, NDArray[Any]], pair: Pair) -> dict[str, float]:
    """Return the standard error of the objective over the test examples; nothing where it is no mean of theirs."""
    target, predicted, scale = predictions["target"], predictions["predicted"], pair.splits.scale
    if metric == "val_loss":
        each = predictions["loss"].astype(np.float64)
    elif metric == "val_accuracy":
        each = (target == predicted).astype(np.float64)
    elif metric == "val_mae" and scale is not None:
        each = np.abs(target - predicted).astype(np.float64) * scale.deviation
    else:
        return {}
    return {TEST_ERROR: float(each.std(ddof=1)) / math.sqrt(len(each))} if len(each) > 1 else {}


def _scores(network: torch.nn.Module, part: Arrays, loss: Loss, pair: Pair) -> tuple[dict[str, float], torch.Tensor]:
    """Return the metrics of a part, and the outputs for it  # [N, C]."""
    splits = pair.splits
    x = part.x if isinstance(part.x, Streamed) else torch.from_numpy(np.ascontiguousarray(part.x))
    outputs = outputs_of(network, x)
    outputs = torch.nan_to_num(outputs, nan=math.nan, posinf=math.inf, neginf=SMALLEST_LOG)
    y = torch.from_numpy(part.y)
    numbers = y.double()
    spread = float((numbers - numbers.mean()).square().sum())
    extra = [name for name in splits.extra_metrics if METRICS[name].extra]
    return scores(outputs, y, loss=loss, scale=splits.scale, spread=spread, extra_metrics=extra), outputs


def _predictions(outputs: torch.Tensor, part: Arrays, loss: Loss) -> dict[str, NDArray[Any]]:
    y = torch.from_numpy(part.y)
    predicted = outputs.squeeze(1) if outputs.shape[1] == 1 else outputs.argmax(1)
    losses = loss(outputs, y.to(outputs.dtype) if y.is_floating_point() else y, reduction="none")
    return {"target": part.y, "predicted": predicted.numpy(), "loss": losses.float().numpy()}
