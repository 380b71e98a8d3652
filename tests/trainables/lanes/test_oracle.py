"""The plain loop is the oracle: a lane's curve equals the loop's."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainables.lanes.cases import (
    CPU,
    as_double,
    digits,
    double_precision,
    grid,
    heads,
    in_views,
    lane_curves,
    loop_curve,
    random_data,
    stacked,
    weighted,
    widest,
)
from trainables.config import ACTIVATIONS, LOSSES, OPTIMIZERS, SCHEDULES, MlpConfig
from trainables.data import DataSpec, load_splits
from trainables.device_data import DeviceData, batch_bounds
from trainables.report import EpochReport
from trainables.task import Task

# float32 keeps 6e-8, but a unit whose input is within that of zero is on in one engine and off in the
# other, and 40 updates carry it on: of 20 seeds of this grid 99% agreed to 5e-6, the widest to 9.7e-5.
FLOAT32 = 1e-4
# float64 keeps 1e-16. Where the two engines do the same arithmetic in another order, nothing larger than
# this can come of it in so few updates; a wrong formula shows at once, however small its effect.
FLOAT64 = 1e-9
# Batch norm makes 1 and -1 of a batch of two, whatever it is. The gradient before it is 0 but for rounding, which
# AdamW scales up by 1 / its epsilon, 1e8: with widths 1-1, 14 examples and one epoch 1.01e-9 came of it.
PAIRS = 1e-6


@cache
def loop_curves(optimizer: str) -> list[list[EpochReport]]:
    return [loop_curve(config, digits(), seed=seed) for seed, config in enumerate(grid(optimizer))]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("lanes", [1, 7, 64])
def test_lanes_equal_the_loop(lanes: int, optimizer: str) -> None:
    """24 trials; with 7 lanes they are refilled while neighbours train, and two are retired early."""
    retired = (2, 9)
    curves = lane_curves(
        stacked(digits(), lanes), list(enumerate(grid(optimizer))), retire_early=retired, early_epoch=3
    )
    for seed, expected in enumerate(loop_curves(optimizer)):
        found = curves[seed]
        assert len(found) == (3 if seed in retired else len(expected)), seed
        for a, b in zip(found, expected, strict=False):
            for name in ("train_loss", "val_loss"):
                assert a.metrics[name] == pytest.approx(b.metrics[name], rel=FLOAT32), (seed, a.epoch, name)
            assert a.metrics["lr"] == b.metrics["lr"]
            # one validation example of 100 may fall on the other side
            assert a.metrics["val_accuracy"] == pytest.approx(b.metrics["val_accuracy"], abs=0.0101)
        if seed not in retired:
            assert [r.stop for r in found] == [r.stop for r in expected]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_lanes_equal_the_loop_in_double_precision(activation: str, optimizer: str) -> None:
    """Without rounding in the way the two engines agree to the tenth digit."""
    configs = [
        MlpConfig(
            max_epochs=6,
            hidden=(9, 7),
            activation=activation,
            batch_size=32,
            batch_norm=batch_norm,
            dropout=dropout,
            optimizer=optimizer,
            learning_rate=0.02,
            momentum=momentum,
            weight_decay=decay,
            l1_penalty=l1,
        )
        for batch_norm, dropout, momentum, decay, l1 in [
            (False, 0.0, 0.9, 0.0, 0.0),
            (False, 0.4, 0.0, 0.1, 1e-3),
            (True, 0.0, 0.5, 0.0, 1e-3),
            (True, 0.4, 0.9, 0.1, 0.0),
        ]
    ]
    with double_precision():
        data = as_double(digits(150, 50))
        curves = lane_curves(stacked(data, 3), list(enumerate(configs)))
        for seed, config in enumerate(configs):
            assert widest(curves[seed], loop_curve(config, data, seed=seed)) < FLOAT64


@st.composite
def trials(draw: st.DrawFn) -> list[MlpConfig]:
    """Three to six trials of one or two groups; every field of the configuration varies."""
    shapes = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "hidden": st.lists(st.integers(1, 9), max_size=3).map(tuple),
                    "activation": st.sampled_from(ACTIVATIONS),
                    "batch_size": st.integers(2, 33),
                    "optimizer": st.sampled_from(OPTIMIZERS),
                }
            ),
            min_size=1,
            max_size=2,
        )
    )
    rest = st.fixed_dictionaries(
        {
            "max_epochs": st.integers(1, 4),
            "dropout": st.sampled_from([0.0, 0.25, 0.6]),
            "input_dropout": st.sampled_from([0.0, 0.0, 0.2, 0.7]),
            "label_smoothing": st.sampled_from([0.0, 0.0, 0.1, 0.9]),
            "batch_norm": st.booleans(),
            "learning_rate": st.floats(1e-4, 3e-2),
            "momentum": st.sampled_from([0.0, 0.5, 0.9]),
            "weight_decay": st.sampled_from([0.0, 1e-3, 0.1]),
            "l1_penalty": st.sampled_from([0.0, 1e-3]),
            "schedule": st.sampled_from(SCHEDULES),
            "step_size": st.integers(1, 2),
            "plateau_patience": st.integers(0, 1),
            "one_cycle_peak": st.sampled_from([0.0, 0.25, 0.5]),
            "warmup_epochs": st.integers(1, 5),
            "patience": st.integers(0, 2),
            "min_delta": st.sampled_from([0.0, 0.05]),
        }
    )
    return [MlpConfig(**draw(st.sampled_from(shapes)), **draw(rest)) for _ in range(draw(st.integers(3, 6)))]


@settings(max_examples=40)
@given(trials(), st.integers(2, 70), st.integers(1, 3), st.integers(1, 7), st.sampled_from([1, 2]))
def test_any_trials_equal_the_loop(configs: list[MlpConfig], n: int, views: int, lanes: int, threads: int) -> None:
    """Odd widths and batches, no hidden layer, several groups and views: in double precision, as above."""
    with double_precision():
        data = in_views(as_double(random_data(n, 5, 3)), views)
        curves = lane_curves(stacked(data, lanes, threads=threads), list(enumerate(configs)))
        for seed, config in enumerate(configs):
            expected = loop_curve(config, data, seed=seed)
            assert [r.stop for r in curves[seed]] == [r.stop for r in expected]
            assert [r.metrics["lr"] for r in curves[seed]] == [r.metrics["lr"] for r in expected]
            pairs = config.batch_norm and any(b - a == 2 for a, b in batch_bounds(n, config.batch_size))
            assert widest(curves[seed], expected) < (PAIRS if pairs else FLOAT64)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("lanes", [1, 7, 64])
def test_heads_on_views_equal_the_loop(lanes: int, optimizer: str) -> None:
    """12 trials of two groups; with 7 lanes refilled, so that neighbours are at other epochs, and other views."""
    retired, configs = (1, 8), heads(optimizer)
    with double_precision():
        data = in_views(as_double(digits(97, 50)), 3)
        curves = lane_curves(stacked(data, lanes), list(enumerate(configs)), retire_early=retired, early_epoch=2)
        for seed, config in enumerate(configs):
            expected = loop_curve(config, data, seed=seed)
            assert len(curves[seed]) == (2 if seed in retired else config.max_epochs)
            assert widest(curves[seed], expected[: len(curves[seed])]) < FLOAT64


@pytest.mark.parametrize("config", heads("adamw")[1::2])
def test_smoothed_labels_are_trained_on_and_not_validated_with(config: MlpConfig) -> None:
    """The first epoch at a rate of 0, beside a trial that smooths nothing."""
    still = replace(config, learning_rate=0.0, input_dropout=0.0, dropout=0.0, max_epochs=1)
    worker = stacked(digits(97, 50), 2)
    smooth = lane_curves(worker, [(0, still)])[0][0].metrics
    plain = lane_curves(stacked(digits(97, 50), 2), [(0, replace(still, label_smoothing=0.0))])[0][0].metrics
    assert smooth["val_loss"] == plain["val_loss"]
    assert smooth["train_loss"] != plain["train_loss"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES[Task.REGRESSION])
def test_lanes_that_predict_a_number_equal_the_loop(loss: str, optimizer: str) -> None:
    data = DeviceData.of(load_splits(DataSpec("diabetes")), CPU)
    configs = [replace(config, loss=loss, batch_size=32) for config in grid(optimizer, max_epochs=4)]
    with double_precision():
        curves = lane_curves(stacked(as_double(data), 7), list(enumerate(configs)), retire_early=(2,))
        for seed, config in enumerate(configs):
            expected = loop_curve(config, as_double(data), seed=seed)
            for a, b in zip(curves[seed], expected, strict=False):
                assert list(a.metrics) == list(b.metrics)
                for name, value in b.metrics.items():
                    assert a.metrics[name] == pytest.approx(value, rel=FLOAT64), (seed, a.epoch, name)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("lanes", [1, 7])
def test_lanes_on_weighted_examples_equal_the_loop(lanes: int, optimizer: str) -> None:
    """Labels smoothed or not, inputs dropped or not, in views; some examples weigh nothing, some ten times another."""
    configs = heads(optimizer)
    with double_precision():
        data = weighted(in_views(as_double(digits(97, 50)), 2))
        curves = lane_curves(stacked(data, lanes), list(enumerate(configs)), retire_early=(1,), early_epoch=2)
        plain = lane_curves(stacked(replace(data, weights=None), lanes), list(enumerate(configs)))
        for seed, config in enumerate(configs):
            expected = loop_curve(config, data, seed=seed)
            assert widest(curves[seed], expected[: len(curves[seed])]) < FLOAT64
            assert widest(plain[seed], expected) > 1e-3


@pytest.mark.parametrize("loss", LOSSES[Task.REGRESSION])
def test_lanes_that_predict_a_number_of_weighted_examples_equal_the_loop(loss: str) -> None:
    data = DeviceData.of(load_splits(DataSpec("diabetes")), CPU)
    configs = [replace(config, loss=loss, batch_size=32) for config in grid("sgd", max_epochs=4)]
    with double_precision():
        data = weighted(as_double(data))
        curves = lane_curves(stacked(data, 7), list(enumerate(configs)))
        for seed, config in enumerate(configs):
            assert widest(curves[seed], loop_curve(config, data, seed=seed)) < FLOAT64


def test_weights_of_one_leave_a_curve_as_it_is() -> None:
    data = digits(97, 50)
    ones = replace(data, weights=torch.ones(97))
    for config in heads("adamw")[:4]:
        assert widest(loop_curve(config, ones, seed=3), loop_curve(config, data, seed=3)) < FLOAT32
