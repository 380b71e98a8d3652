"""The validated configuration of one trial of an estimator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from trainables.checks import between, one_of, whole
from trainables.config import MlpConfig
from trainables.errors import ConfigError
from trainables.mistake import Mistake, about

MODELS = ("linear", "forest", "boosting", "svm", "knn", "sklearn_mlp", "torch_mlp")
SKLEARN_ACTIVATIONS = ("relu", "tanh")
ESTIMATOR = "skops"
"""The name under which the kept state of one of scikit-learn's holds its bytes."""
SMALLEST_POSITIVE = 1e-12
"""The smallest value accepted where a value must be above zero."""


@dataclass(frozen=True, slots=True)
class EstimatorConfig:
    """One trial's configuration. What belongs to another model than ``model`` has no effect.

    Attributes:
        network: the widths, rate, batch size and horizon of both MLPs, and the dropout and decay of torch's.
        model: ``linear`` (logistic regression; ridge for a number), ``forest``, ``boosting`` (by histograms),
            ``svm`` (radial kernel), ``knn``, ``sklearn_mlp`` or ``torch_mlp``.
        linear_c: inverse strength of the L2 penalty.
        forest_depth: most splits above a leaf.
        forest_features: share of the columns that a split looks at.
        forest_min_leaf, boosting_min_leaf: fewest examples of a leaf.
        boosting_leaves: most leaves of a tree.
        svm_c: inverse strength of regularization.
        svm_gamma: the kernel's gamma, times the number of columns: 1 suits standardised columns.
        knn_neighbours: how many vote, at most all training examples.
        knn_weights: ``uniform``, or ``distance``: a near one counts more.
        knn_power: 1 for sums of absolute differences, 2 for Euclid's distance.
        mlp_alpha: L2 penalty of scikit-learn's MLP.
    """

    network: MlpConfig
    model: str = "linear"
    linear_c: float = 1.0
    forest_trees: int = 100
    forest_depth: int = 16
    forest_features: float = 0.5
    forest_min_leaf: int = 1
    boosting_rounds: int = 100
    boosting_rate: float = 0.1
    boosting_leaves: int = 31
    boosting_min_leaf: int = 20
    boosting_l2: float = 0.0
    svm_c: float = 1.0
    svm_gamma: float = 1.0
    knn_neighbours: int = 5
    knn_weights: str = "uniform"
    knn_power: int = 2
    mlp_alpha: float = 1e-4

    def __post_init__(self) -> None:
        positive = ("linear_c", "boosting_rate", "svm_c", "svm_gamma")
        counts = ("forest_trees", "forest_depth", "forest_min_leaf", "boosting_rounds", "boosting_min_leaf")
        errors = [
            *one_of("model", self.model, MODELS),
            *one_of("knn_weights", self.knn_weights, ("uniform", "distance")),
            *whole(self, *counts, "knn_neighbours", "knn_power", low=1),
            *whole(self, "boosting_leaves", low=2),
            *(line for name in positive for line in between(self, name, SMALLEST_POSITIVE, math.inf)),
            *between(self, "forest_features", SMALLEST_POSITIVE, 1),
            *between(self, "boosting_l2", 0, math.inf),
            *between(self, "mlp_alpha", 0, math.inf),
        ]
        if self.model == "sklearn_mlp" and self.network.activation not in SKLEARN_ACTIVATIONS:
            allowed = ", ".join(SKLEARN_ACTIVATIONS)
            rule = f"must be one of {allowed} for sklearn_mlp"
            errors.append(Mistake(("activation",), rule, self.network.activation))
        if errors:
            raise ConfigError(errors)

    @classmethod
    def from_params(cls, params: Mapping[str, Any], *, max_epochs: int) -> EstimatorConfig:
        """Build the configuration from a trial's active parameters and the study's settings.

        Raises:
            ConfigError: unknown names and every value out of its range.
        """
        own = {f.name for f in fields(cls)} - {"network"}
        shared = {f.name for f in fields(MlpConfig)} - {"max_epochs"}
        errors = [
            about(f"unknown setting {name!r}; known: {', '.join(sorted(own | shared))}", name)
            for name in sorted(set(params) - own - shared)
        ]
        network = MlpConfig(max_epochs=1)
        try:
            network = MlpConfig.from_params({n: v for n, v in params.items() if n in shared}, max_epochs=max_epochs)
        except ConfigError as error:
            errors += error.mistakes
        try:
            config = cls(network, **{n: v for n, v in params.items() if n in own})
        except ConfigError as error:
            errors += error.mistakes
        if errors:
            raise ConfigError(errors)
        return config
