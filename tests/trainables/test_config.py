import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.config import ACTIVATIONS, OPTIMIZERS, SCHEDULES, CnnConfig, MlpConfig, loss_name, parse_widths
from trainables.errors import ConfigError
from trainables.task import Task


def errors_of(**values):
    with pytest.raises(ConfigError) as caught:
        MlpConfig(**{"max_epochs": 5, **values})
    return caught.value.errors


BAD = [
    ("max_epochs", 0, "max_epochs must be a whole number >= 1, got 0"),
    ("loss", "l2", "loss must be one of auto, cross_entropy, mse, mae, huber, got 'l2'"),
    ("batch_size", 0, "batch_size must be a whole number >= 1, got 0"),
    ("batch_size", 32.0, "batch_size must be a whole number >= 1, got 32.0"),
    ("step_size", True, "step_size must be a whole number >= 1, got true"),
    ("plateau_patience", -1, "plateau_patience must be a whole number >= 0, got -1"),
    ("patience", "3", "patience must be a whole number >= 0, got '3'"),
    ("activation", "rleu", "activation must be one of relu, tanh, gelu, silu, got 'rleu'"),
    ("optimizer", "adam", "optimizer must be one of adamw, sgd, got 'adam'"),
    ("schedule", "cosin", "schedule must be one of none, step, cosine, plateau, one_cycle, warmup_cosine, got 'cosin'"),
    ("dropout", 1.0, "dropout must satisfy 0 <= dropout < 1, got 1.0"),
    ("dropout", -0.1, "dropout must satisfy 0 <= dropout < 1, got -0.1"),
    ("dropout", math.nan, "dropout must satisfy 0 <= dropout < 1, got nan"),
    ("dropout", True, "dropout must satisfy 0 <= dropout < 1, got true"),
    ("input_dropout", 1.0, "input_dropout must satisfy 0 <= input_dropout < 1, got 1.0"),
    ("label_smoothing", 1, "label_smoothing must satisfy 0 <= label_smoothing < 1, got 1"),
    ("momentum", 1, "momentum must satisfy 0 <= momentum < 1, got 1"),
    ("step_gamma", 1.5, "step_gamma must satisfy 0 <= step_gamma <= 1, got 1.5"),
    ("plateau_factor", 1.0, "plateau_factor must satisfy 0 <= plateau_factor < 1, got 1.0"),
    ("cosine_floor", 2, "cosine_floor must satisfy 0 <= cosine_floor <= 1, got 2"),
    ("one_cycle_peak", 1.0, "one_cycle_peak must satisfy 0 <= one_cycle_peak < 1, got 1.0"),
    ("one_cycle_div", 0.5, "one_cycle_div must satisfy 1 <= one_cycle_div, got 0.5"),
    ("one_cycle_final_div", math.inf, "one_cycle_final_div must satisfy 1 <= one_cycle_final_div, got inf"),
    ("warmup_epochs", 0, "warmup_epochs must be a whole number >= 1, got 0"),
    ("warmup_start", 0, "warmup_start must satisfy 1e-06 <= warmup_start <= 1, got 0"),
    ("learning_rate", -1e-3, "learning_rate must satisfy 0 <= learning_rate, got -0.001"),
    ("learning_rate", math.inf, "learning_rate must satisfy 0 <= learning_rate, got inf"),
    ("learning_rate", "fast", "learning_rate must satisfy 0 <= learning_rate, got 'fast'"),
    ("weight_decay", -1, "weight_decay must satisfy 0 <= weight_decay, got -1"),
    ("l1_penalty", -1, "l1_penalty must satisfy 0 <= l1_penalty, got -1"),
    ("min_delta", -1, "min_delta must satisfy 0 <= min_delta, got -1"),
    ("hidden", (64, 0), "hidden must be widths >= 1, got (64, 0)"),
    ("batch_norm", "yes", "batch_norm must be true or false, got 'yes'"),
]


@pytest.mark.parametrize(("name", "value", "line"), BAD, ids=[f"{n}={v!r}" for n, v, _ in BAD])
def test_a_value_out_of_range_gets_its_one_line(name, value, line):
    assert errors_of(**{name: value}) == (line,)


def test_every_field_of_a_network_configuration_can_be_refused():
    assert {name for name, _, _ in BAD} == {f.name for f in dataclasses.fields(MlpConfig)}


def test_every_wrong_value_of_a_configuration_is_named_at_once():
    last = {name: (value, line) for name, value, line in BAD}
    errors = errors_of(**{name: value for name, (value, _) in last.items()})
    assert sorted(errors) == sorted(line for _, line in last.values())


def test_params_with_several_kinds_of_error_name_them_all():
    with pytest.raises(ConfigError) as caught:
        MlpConfig.from_params({"hiden": "64", "drop": 1, "hidden": "64-", "batch_size": 0}, max_epochs=0)
    assert [e.partition(";")[0] for e in caught.value.errors] == [
        "unknown setting 'drop'",
        "unknown setting 'hiden'",
        "hidden must be widths such as 128-64, got '64-'",
        "max_epochs must be a whole number >= 1, got 0",
        "batch_size must be a whole number >= 1, got 0",
    ]
    assert "known: activation, batch_norm, batch_size" in caught.value.errors[0]


def test_the_ends_of_the_ranges_of_a_configuration_are_allowed():
    config = MlpConfig(
        max_epochs=1,
        dropout=0.0,
        momentum=0.0,
        step_gamma=1.0,
        cosine_floor=1.0,
        learning_rate=0.0,
        batch_size=1,
        hidden=(),
        patience=0,
    )
    assert config.hidden == ()


@given(
    st.sampled_from(ACTIVATIONS),
    st.sampled_from(OPTIMIZERS),
    st.sampled_from(SCHEDULES),
    st.lists(st.integers(1, 999), min_size=1, max_size=4),
    st.floats(0, 1, exclude_max=True),
)
def test_params_become_the_fields_of_the_same_name(activation, optimizer, schedule, widths, dropout):
    params = {
        "activation": activation,
        "optimizer": optimizer,
        "schedule": schedule,
        "hidden": "-".join(map(str, widths)),
        "dropout": dropout,
    }
    config = MlpConfig.from_params(params, max_epochs=7)
    assert config == MlpConfig(
        max_epochs=7,
        activation=activation,
        optimizer=optimizer,
        schedule=schedule,
        hidden=tuple(widths),
        dropout=dropout,
    )


def test_l1_off_switches_the_penalty_off_and_on_keeps_it():
    assert MlpConfig.from_params({"l1": "off", "l1_penalty": 0.5}, max_epochs=1).l1_penalty == 0.0
    assert MlpConfig.from_params({"l1": "on", "l1_penalty": 0.5}, max_epochs=1).l1_penalty == 0.5
    assert MlpConfig.from_params({"l1_penalty": 0.5}, max_epochs=1).l1_penalty == 0.5


def test_reading_params_leaves_them_as_they_were():
    params = {"l1": "off", "hidden": "8-4"}
    MlpConfig.from_params(params, max_epochs=1)
    assert params == {"l1": "off", "hidden": "8-4"}


@pytest.mark.parametrize(
    ("text", "widths"),
    [
        ("128-64", (128, 64)),
        (32, (32,)),
        ([8, 4], (8, 4)),
        (("8", "4"), (8, 4)),
        (" 8 - 4 ", (8, 4)),
        ("none", ()),
    ],
)
def test_layer_widths_are_read_from_words_and_numbers(text, widths):
    assert parse_widths(text) == widths


@pytest.mark.parametrize("text", ["", "64-", "64,32", "-64", "wide", 6.5, None, True])
def test_anything_but_layer_widths_is_refused_as_widths(text):
    with pytest.raises(ConfigError, match="hidden must be widths such as 128-64, got"):
        parse_widths(text)


def test_a_cnns_own_fields_are_checked_beside_the_others():
    with pytest.raises(ConfigError) as caught:
        CnnConfig(max_epochs=0, channels=(), global_pool=1, input_dropout=0.2)
    assert caught.value.errors == (
        "max_epochs must be a whole number >= 1, got 0",
        "global_pool must be true or false, got 1",
        "channels must be one width >= 1 or more, got ()",
        "input_dropout must be 0 for a cnn, got 0.2",
    )
    config = CnnConfig.from_params({"channels": "8-16", "hidden": "none", "l1": "off"}, max_epochs=2)
    assert config == CnnConfig(max_epochs=2, channels=(8, 16), hidden=())


def test_labels_are_smoothed_where_there_are_labels():
    assert loss_name("auto", Task.CLASSIFICATION, label_smoothing=0.1) == "cross_entropy"
    with pytest.raises(ConfigError) as caught:
        loss_name("cross_entropy", Task.REGRESSION, label_smoothing=0.1)
    assert caught.value.errors == (
        "loss must be one of auto, mse, mae, huber for regression, got 'cross_entropy'",
        "label_smoothing must be 0 for regression, which has no labels, got 0.1",
    )


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        MlpConfig(max_epochs=1).dropout = 0.5
