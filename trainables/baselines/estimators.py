"""scikit-learn's estimators, built from a configuration, and what one says of some examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.baselines.config import EstimatorConfig
from trainables.task import Task

MOST_FOLDS = 5
"""Folds in which an SVM's scores are turned into probabilities, at most."""

MOST_ITERATIONS = 2000
"""Iterations of logistic regression, at most; on standardised columns it needs tens."""


def build_estimator(config: EstimatorConfig, x: NDArray[np.float32], y: NDArray[Any], *, task: Task, seed: int) -> Any:
    """Return the estimator that ``config`` names, not fitted yet, to run on one core.

    Args:
        config: the trial's configuration, of any model but ``torch_mlp``.
        x: [N, D], the training examples.
        y: [N].
        task: what is learned.
        seed: seeds the estimators that draw random numbers; below 2**32.
    """
    builder = _CLASSIFIERS if task is Task.CLASSIFICATION else _REGRESSORS
    return builder[config.model](config, x, y, seed)


def weights_of_fit(estimator: Any, weights: NDArray[np.float32] | None) -> dict[str, Any]:
    """Return what an estimator's ``fit`` is given of the examples' weights; nothing where it takes none."""
    return {} if weights is None or not takes_weights(estimator) else {"sample_weight": weights}


def takes_weights(estimator: Any) -> bool:
    """Say whether an estimator can weigh examples."""
    from sklearn.utils.validation import has_fit_parameter

    return bool(has_fit_parameter(estimator, "sample_weight"))


def probabilities(estimator: Any, x: NDArray[np.float32], *, classes: int) -> NDArray[np.float64]:
    """Return the probability of each class, 0 for one that the estimator never saw  # [N, D] -> [N, C]."""
    known = estimator.predict_proba(x)
    out = np.zeros((len(x), classes))
    out[:, estimator.classes_] = known
    return out


def smallest_class(y: NDArray[np.int64]) -> int:
    """Return how many examples the rarest class has."""
    return int(np.unique(y, return_counts=True)[1].min())


def _logistic(config: EstimatorConfig, x: NDArray[np.float32], y: NDArray[Any], seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=config.linear_c, max_iter=MOST_ITERATIONS)


def _ridge(config: EstimatorConfig, x: NDArray[np.float32], y: NDArray[Any], seed: int) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=1 / config.linear_c)


def _forest(name: str) -> Any:
    def build(config: EstimatorConfig, x: NDArray[np.float32], y: NDArray[Any], seed: int) -> Any:
        from sklearn import ensemble

        return getattr(ensemble, name)(
            n_estimators=config.forest_trees,
            max_depth=config.forest_depth,
            max_features=config.forest_features,
            min_samples_leaf=config.forest_min_leaf,
            random_state=seed,
        )

    return build


def _boosting(name: str) -> Any:
    def build(config: EstimatorConfig, x: NDArray[np.float32], y: NDArray[Any], seed: int) -> Any:
        from sklearn import ensemble

        return getattr(ensemble, name)(
            max_iter=config.boosting_rounds,
            learning_rate=config.boosting_rate,
            max_leaf_nodes=config.boosting_leaves,
            min_samples_leaf=config.boosting_min_leaf,
            l2_regularization=config.boosting_l2,
            early_stopping=False,  # it would hold back examples that the others train on
            random_state=seed,
        )

    return build


def _svm(config: EstimatorConfig, x: NDArray[np.float32], y: NDArray[Any], seed: int) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    # as scikit-learn advises: an SVC has no probabilities of its own
    svc = SVC(C=config.svm_c, gamma=config.svm_gamma / x.shape[1])
    return CalibratedClassifierCV(svc, ensemble=False, cv=min(MOST_FOLDS, smallest_class(y)))


def _svr(config: EstimatorConfig, x: NDArray[np.float32], y: NDArray[Any], seed: int) -> Any:
    from sklearn.svm import SVR

    return SVR(C=config.svm_c, gamma=config.svm_gamma / x.shape[1])


def _knn(name: str) -> Any:
    def build(config: EstimatorConfig, x: NDArray[np.float32], y: NDArray[Any], seed: int) -> Any:
        from sklearn import neighbors

        return getattr(neighbors, name)(
            n_neighbors=min(config.knn_neighbours, len(x)), weights=config.knn_weights, p=config.knn_power
        )

    return build


def _mlp(name: str) -> Any:
    def build(config: EstimatorConfig, x: NDArray[np.float32], y: NDArray[Any], seed: int) -> Any:
        from sklearn import neural_network

        net = config.network
        return getattr(neural_network, name)(
            hidden_layer_sizes=net.hidden,
            activation=net.activation,
            alpha=config.mlp_alpha,
            learning_rate_init=net.learning_rate,
            batch_size=min(net.batch_size, len(x)),
            max_iter=net.max_epochs,
            random_state=seed,
        )

    return build


_CLASSIFIERS: dict[str, Any] = {
    "linear": _logistic,
    "forest": _forest("RandomForestClassifier"),
    "boosting": _boosting("HistGradientBoostingClassifier"),
    "svm": _svm,
    "knn": _knn("KNeighborsClassifier"),
    "sklearn_mlp": _mlp("MLPClassifier"),
}
_REGRESSORS: dict[str, Any] = {
    "linear": _ridge,
    "forest": _forest("RandomForestRegressor"),
    "boosting": _boosting("HistGradientBoostingRegressor"),
    "svm": _svr,
    "knn": _knn("KNeighborsRegressor"),
    "sklearn_mlp": _mlp("MLPRegressor"),
}
