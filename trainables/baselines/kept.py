"""One of scikit-learn's estimators as bytes that load without unpickling, and as a module."""

from __future__ import annotations

from typing import Any

import numpy as np
import skops.io
import torch
from torch import nn

from trainables.baselines.config import ESTIMATOR
from trainables.baselines.estimators import probabilities
from trainables.errors import CheckpointError

TRUSTED = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
)
"""Types that a file may build besides those that skops trusts: parts of the estimators that are tried here."""


def pack_estimator(estimator: Any) -> dict[str, torch.Tensor]:
    """Return a fitted estimator as a state: the bytes that skops makes of it, as one tensor."""
    return {ESTIMATOR: torch.frombuffer(bytearray(skops.io.dumps(estimator)), dtype=torch.uint8)}


def unpack_estimator(state: Any) -> Any:
    """Return the estimator in a state.

    Raises:
        CheckpointError: there is none, or it would build a type that is not among ``TRUSTED``.
    """
    if ESTIMATOR not in state:
        raise CheckpointError(
            "the estimator was not kept: an older version of Lanewise wrote this file; a search of the same study and "
            "seed fits it again"
        )
    try:
        return skops.io.loads(state[ESTIMATOR].numpy().tobytes(), trusted=TRUSTED)
    except Exception as error:  # whatever foreign bytes lead skops to
        cause = str(error).splitlines()
        raise CheckpointError(f"the estimator cannot be loaded: {cause[0] if cause else repr(error)}") from None


class EstimatorModule(nn.Module):
    """A fitted estimator as a module: [N, ...] -> [N, C] log probabilities; [N, 1] where the target is a number.

    Args:
        estimator: fitted on flattened inputs.
        classes: C; 0 where the target is a number.
    """

    def __init__(self, estimator: Any, *, classes: int) -> None:
        super().__init__()
        self.estimator = estimator
        self._classes = classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the estimator says of each example, in float64."""
        rows = x.detach().cpu().numpy().reshape(len(x), -1)
        if not self._classes:
            return torch.from_numpy(np.asarray(self.estimator.predict(rows), np.float64).reshape(-1, 1))
        with np.errstate(divide="ignore"):  # the logarithm of 0
            return torch.from_numpy(np.log(probabilities(self.estimator, rows, classes=self._classes)))
