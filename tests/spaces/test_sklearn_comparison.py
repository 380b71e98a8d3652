import pytest
from hypothesis import given

from spaces.sklearn_comparison import SPACE
from tests.spaces.drawn import drawn_points
from trainables.baselines import MODELS, EstimatorConfig

OWN = {
    "linear": {"linear_c"},
    "forest": {"forest_trees", "forest_depth", "forest_features", "forest_min_leaf"},
    "boosting": {"boosting_rounds", "boosting_rate", "boosting_leaves", "boosting_min_leaf", "boosting_l2"},
    "svm": {"svm_c", "svm_gamma"},
    "knn": {"knn_neighbours", "knn_weights", "knn_power"},
    "sklearn_mlp": {"hidden", "learning_rate", "mlp_alpha"},
    "torch_mlp": {"hidden", "learning_rate", "dropout", "weight_decay"},
}


def test_the_baseline_of_sklearn_comparison_is_an_untuned_linear_model():
    assert SPACE.baseline == {"model": "linear", "linear_c": 1.0}


def test_every_estimator_can_be_chosen_in_sklearn_comparison():
    assert tuple(SPACE["model"].distribution.choices) == MODELS


@pytest.mark.parametrize("model", MODELS)
def test_a_model_brings_its_own_parameters_and_no_others(model):
    everything = {p.name: p.baseline for p in SPACE} | {"model": model}
    assert set(SPACE.active(everything)) == {"model", *OWN[model]}


@given(drawn_points(SPACE))
def test_every_point_of_sklearn_comparison_is_a_valid_configuration(point):
    active = SPACE.validate(point)
    config = EstimatorConfig.from_params(active, max_epochs=30)
    assert config.model == point["model"]
    for name in set(active) & {"linear_c", "forest_depth", "svm_gamma", "knn_neighbours", "mlp_alpha"}:
        assert getattr(config, name) == active[name]
