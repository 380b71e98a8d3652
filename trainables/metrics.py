"""The metrics by name: which way each is better, which task it is for, and how it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from trainables.task import Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from trainables.data.splits import TargetScale

    Scores: TypeAlias = "NDArray[np.float64]"
    Labels: TypeAlias = "NDArray[np.int64]"


@dataclass(frozen=True)
class Metric:
    """A number that a report may hold.

    Attributes:
        mode: whether the smallest or the largest value is the best.
        task: the task that has the metric; None for both.
        extra: whether it is computed only for a study that names it, because it takes time or seldom matters.
        limit: the best value that it can have; None where it has none, or nobody asks.
        exact: whether it follows from the configuration alone, and not from examples or seeds.
    """

    mode: Literal["min", "max"]
    task: Task | None = None
    extra: bool = False
    limit: float | None = None
    exact: bool = False


METRICS = {
    "train_loss": Metric("min", limit=0.0),
    "val_loss": Metric("min", limit=0.0),
    "val_accuracy": Metric("max", Task.CLASSIFICATION, limit=1.0),
    "val_balanced_accuracy": Metric("max", Task.CLASSIFICATION, extra=True, limit=1.0),
    "val_macro_f1": Metric("max", Task.CLASSIFICATION, extra=True, limit=1.0),
    "val_roc_auc": Metric("max", Task.CLASSIFICATION, extra=True, limit=1.0),
    "val_rmse": Metric("min", Task.REGRESSION, limit=0.0),
    "val_mae": Metric("min", Task.REGRESSION, limit=0.0),
    "val_r2": Metric("max", Task.REGRESSION, limit=1.0),
    "parameters": Metric("min", extra=True, exact=True),
    "lr": Metric("min"),
}
"""Every metric of the networks here. ``parameters`` counts the trainable numbers of the model."""


TEST, VALIDATION = "test_", "val_"
"""How the names of the metrics of either part begin."""

TEST_ERROR = "test_error"
"""The standard error of the objective on the test part over its examples, where it is a mean of theirs."""


def is_exact(metric: str) -> bool:
    """Say whether a metric, which may be one of a user's own, follows from the configuration alone."""
    return metric in METRICS and METRICS[metric].exact


def shown_metric(metric: str) -> str:
    """Return what a metric of validation is called on the test part: ``val_loss`` is ``test_loss`` there."""
    return TEST + metric.removeprefix(VALIDATION)


def classification_metrics(names: Sequence[str], logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Return those of the metrics ``names`` that compare logits [N, C] with labels [N], by scikit-learn.

    NaN where a logit is not finite, or where the labels do not determine the metric (one class alone has no
    ROC curve).
    """
    wanted = [name for name in names if name in _FROM_LOGITS]
    if not wanted:
        return {}
    scores = logits.double().cpu()
    if not bool(scores.isfinite().all()):
        return dict.fromkeys(wanted, math.nan)
    return {name: _FROM_LOGITS[name](scores.softmax(1).numpy(), labels.cpu().numpy()) for name in wanted}


def regression_metrics(
    squares: float, distances: float, *, n: int, spread: float, scale: TargetScale
) -> dict[str, float]:
    """Return RMSE and MAE in the target's own units, and R2.

    Args:
        squares: sum of the squared errors of the standardised target.
        distances: sum of the absolute errors.
        n: how many examples the sums are over.
        spread: sum of the squared distances of the same targets from their mean.
        scale: how the target was standardised.
    """
    return {
        "val_rmse": scale.deviation * math.sqrt(squares / n),
        "val_mae": scale.deviation * distances / n,
        "val_r2": 1 - squares / spread if spread > 0 else math.nan,
    }


def _balanced_accuracy(scores: Scores, labels: Labels) -> float:
    from sklearn.metrics import recall_score

    return float(recall_score(labels, scores.argmax(1), average="macro", zero_division=0, labels=sorted(set(labels))))


def _macro_f1(scores: Scores, labels: Labels) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels, scores.argmax(1), average="macro", zero_division=0))


def _roc_auc(scores: Scores, labels: Labels) -> float:
    from sklearn.metrics import roc_auc_score

    present = sorted(set(labels.tolist()))
    if len(present) < 2:
        return math.nan
    if scores.shape[1] == 2:
        return float(roc_auc_score(labels, scores[:, 1]))
    areas = [roc_auc_score(labels == c, scores[:, c]) for c in present]  # one against the rest
    return float(sum(areas) / len(areas))


_FROM_LOGITS: dict[str, Callable[[Scores, Labels], float]] = {
    "val_balanced_accuracy": _balanced_accuracy,
    "val_macro_f1": _macro_f1,
    "val_roc_auc": _roc_auc,
}
