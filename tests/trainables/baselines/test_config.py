import dataclasses
import math

import pytest

from trainables.baselines import MODELS, EstimatorConfig, EstimatorTrainable
from trainables.config import MlpConfig
from trainables.errors import ConfigError

NETWORK = MlpConfig(max_epochs=5)

BAD = [
    ("model", "tree", f"model must be one of {', '.join(MODELS)}, got 'tree'"),
    ("linear_c", 0, "linear_c must satisfy 1e-12 <= linear_c, got 0"),
    ("forest_trees", 0, "forest_trees must be a whole number >= 1, got 0"),
    ("forest_depth", 2.5, "forest_depth must be a whole number >= 1, got 2.5"),
    ("forest_features", 1.5, "forest_features must satisfy 1e-12 <= forest_features <= 1, got 1.5"),
    ("forest_min_leaf", True, "forest_min_leaf must be a whole number >= 1, got true"),
    ("boosting_rounds", 0, "boosting_rounds must be a whole number >= 1, got 0"),
    ("boosting_rate", math.nan, "boosting_rate must satisfy 1e-12 <= boosting_rate, got nan"),
    ("boosting_leaves", 1, "boosting_leaves must be a whole number >= 2, got 1"),
    ("boosting_min_leaf", 0, "boosting_min_leaf must be a whole number >= 1, got 0"),
    ("boosting_l2", -1, "boosting_l2 must satisfy 0 <= boosting_l2, got -1"),
    ("svm_c", "big", "svm_c must satisfy 1e-12 <= svm_c, got 'big'"),
    ("svm_gamma", math.inf, "svm_gamma must satisfy 1e-12 <= svm_gamma, got inf"),
    ("knn_neighbours", 0, "knn_neighbours must be a whole number >= 1, got 0"),
    ("knn_weights", "near", "knn_weights must be one of uniform, distance, got 'near'"),
    ("knn_power", 0, "knn_power must be a whole number >= 1, got 0"),
    ("mlp_alpha", -1, "mlp_alpha must satisfy 0 <= mlp_alpha, got -1"),
]


@pytest.mark.parametrize(("name", "value", "line"), BAD, ids=[n for n, _, _ in BAD])
def test_a_value_out_of_range_gets_its_one_line(name, value, line):
    with pytest.raises(ConfigError) as caught:
        EstimatorConfig(NETWORK, **{name: value})
    assert caught.value.errors == (line,)


def test_every_field_of_an_estimator_configuration_can_be_refused():
    assert {name for name, _, _ in BAD} == {f.name for f in dataclasses.fields(EstimatorConfig)} - {"network"}


def test_params_become_the_fields_of_the_same_name_and_the_rest_is_the_networks():
    params = {"model": "svm", "svm_c": 3.0, "hidden": "8-4", "dropout": 0.5, "batch_size": 7}
    config = EstimatorTrainable().configure(params, max_epochs=9)
    network = MlpConfig(max_epochs=9, hidden=(8, 4), dropout=0.5, batch_size=7)
    assert config == EstimatorConfig(network, model="svm", svm_c=3.0)


def test_every_mistake_of_an_estimator_configuration_is_named_at_once():
    params = {"modle": "svm", "svm_c": 0, "hidden": "8-", "batch_size": 0}
    with pytest.raises(ConfigError) as caught:
        EstimatorConfig.from_params(params, max_epochs=1)
    assert [e.partition(";")[0] for e in caught.value.errors] == [
        "unknown setting 'modle'",
        "hidden must be widths such as 128-64, got '8-'",
        "batch_size must be a whole number >= 1, got 0",
        "svm_c must satisfy 1e-12 <= svm_c, got 0",
    ]
    assert "activation" in caught.value.errors[0]
    assert "knn_power" in caught.value.errors[0]


def test_scikit_learns_mlp_has_fewer_activations():
    params = {"model": "sklearn_mlp", "activation": "gelu"}
    with pytest.raises(ConfigError, match="activation must be one of relu, tanh for sklearn_mlp, got 'gelu'"):
        EstimatorConfig.from_params(params, max_epochs=1)
    assert EstimatorConfig.from_params({**params, "model": "torch_mlp"}, max_epochs=1).network.activation == "gelu"


def test_max_epochs_cannot_be_set_as_a_parameter():
    with pytest.raises(ConfigError, match="unknown setting 'max_epochs'"):
        EstimatorConfig.from_params({"max_epochs": 3}, max_epochs=1)
