import pytest
from hypothesis import given

from spaces.schedules import SPACE
from tests.spaces.drawn import drawn_points
from trainables.config import SCHEDULES, MlpConfig

OWN = {
    "none": set(),
    "step": {"step_size", "step_gamma"},
    "cosine": {"cosine_floor"},
    "plateau": {"plateau_factor", "plateau_patience"},
    "one_cycle": {"one_cycle_peak", "one_cycle_div", "one_cycle_final_div"},
    "warmup_cosine": {"warmup_epochs", "warmup_start", "cosine_floor"},
}


def test_the_baseline_is_a_constant_rate_and_no_patience():
    assert SPACE.baseline == {"learning_rate": 1e-3, "schedule": "none", "patience": 0}


def test_every_learning_rate_schedule_can_be_chosen_in_schedules():
    assert tuple(SPACE["schedule"].distribution.choices) == SCHEDULES


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_brings_its_own_parameters_and_no_others(schedule):
    everything = {p.name: p.baseline for p in SPACE} | {"schedule": schedule}
    assert set(SPACE.active(everything)) - set(SPACE.baseline) == OWN[schedule]


@pytest.mark.parametrize("patience", [0, 3, 5, 10])
def test_what_counts_as_a_gain_matters_only_with_patience(patience):
    everything = {p.name: p.baseline for p in SPACE} | {"patience": patience}
    assert ("min_delta" in SPACE.active(everything)) == (patience > 0)


@pytest.mark.parametrize("name", SPACE.names)
def test_without_a_say_of_the_space_a_setting_is_that_of_the_configuration(name):
    """What the space calls the baseline is what a trial has that does not search it."""
    assert getattr(MlpConfig(max_epochs=1), name) == SPACE[name].baseline or name == "min_delta"


@given(drawn_points(SPACE))
def test_every_point_of_schedules_is_a_valid_configuration(point):
    config = MlpConfig.from_params(SPACE.validate(point), max_epochs=30)
    assert (config.schedule, config.patience) == (point["schedule"], point["patience"])
    assert config.min_delta == (point["min_delta"] if point["patience"] else 0.0)
