import pytest
from hypothesis import given
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from spaces.regularization import SPACE
from tests.spaces.drawn import drawn_points
from trainables.config import MlpConfig

RANGES = {
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.6),
    "weight_decay": FloatDistribution(1e-6, 1e-1, log=True),
    "l1": CategoricalDistribution(("off", "on")),
    "l1_penalty": FloatDistribution(1e-7, 1e-3, log=True),
    "batch_norm": CategoricalDistribution((False, True)),
    "schedule": CategoricalDistribution(("none", "step", "cosine", "plateau")),
}

OWN = {
    "none": set(),
    "step": {"step_size", "step_gamma"},
    "cosine": {"cosine_floor"},
    "plateau": {"plateau_factor", "plateau_patience"},
}


@pytest.mark.parametrize("name", RANGES)
def test_regularization_is_searched_over_these_ranges(name):
    assert SPACE[name].distribution == RANGES[name]


def test_the_baseline_of_regularization_is_the_untuned_model():
    assert SPACE.baseline == {
        "learning_rate": 1e-3,
        "dropout": 0.0,
        "weight_decay": 0.0,
        "l1": "off",
        "batch_norm": False,
        "schedule": "none",
    }


@pytest.mark.parametrize("schedule", OWN)
def test_a_schedule_brings_its_own_parameters_and_no_others(schedule):
    everything = {p.name: p.baseline for p in SPACE} | {"schedule": schedule, "l1": "off"}
    assert set(SPACE.active(everything)) - set(SPACE.baseline) == OWN[schedule]


def test_the_l1_penalty_is_a_parameter_only_where_l1_is_on():
    everything = {p.name: p.baseline for p in SPACE}
    assert "l1_penalty" not in SPACE.active(everything)
    assert SPACE.active({**everything, "l1": "on"})["l1_penalty"] == 1e-5


def test_conditional_numbers_of_schedules_are_counted_in_epochs():
    assert SPACE["step_size"].distribution == IntDistribution(2, 10)
    assert SPACE["plateau_patience"].distribution == IntDistribution(1, 5)


@given(drawn_points(SPACE))
def test_every_point_of_regularization_is_a_valid_configuration(point):
    active = SPACE.validate(point)
    config = MlpConfig.from_params(active, max_epochs=30)
    assert config.schedule == point["schedule"]
    assert config.l1_penalty == (point["l1_penalty"] if point["l1"] == "on" else 0.0)
    assert config.dropout == point["dropout"]
