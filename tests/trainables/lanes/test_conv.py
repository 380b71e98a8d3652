"""CNNs in lanes: grouped convolutions and looped lanes, each beside the plain loop."""

import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.machine import StatedMachine
from tests.trainables.lanes.cases import (
    CPU,
    as_double,
    digits,
    double_precision,
    lane_curves,
    loop_curve,
    numbers,
    random_data,
    stacked,
    weighted,
    widest,
)
from trainables import checkpoint
from trainables.config import ACTIVATIONS, OPTIMIZERS, SCHEDULES, CnnConfig
from trainables.device_data import DeviceData
from trainables.lanes import LaneWorker, can_stack
from trainables.lanes.blueprint import blueprint
from trainables.lanes.grouping import GroupKey, stack_sizes
from trainables.loop import TrainingRun
from trainables.report import DIVERGED

FLOAT64 = 1e-9  # as in test_oracle.py: the same arithmetic in another order, few updates
# As in test_oracle.py: rounding may throw a unit's switch, and 40 updates carry it on; maxima of 2x2 pixels
# are switches too. Of 320 trials of this grid the widest was 3e-7.
FLOAT32 = 1e-4


def config(**changes: Any) -> CnnConfig:
    settings: dict[str, Any] = {"max_epochs": 5, "channels": (3, 4), "hidden": (6,), "batch_size": 32}
    return CnnConfig(**settings | changes)


def grid(optimizer: str) -> list[CnnConfig]:
    """Every schedule x batch norm x dropout; decay and L1 penalty in some."""
    return [
        config(
            dropout=dropout,
            batch_norm=batch_norm,
            optimizer=optimizer,
            learning_rate=1e-3 if optimizer == "adamw" else 0.02,
            weight_decay=(0.0, 1e-2)[i % 2],
            l1_penalty=(0.0, 1e-4, 0.0)[i % 3],
            schedule=schedule,
            step_size=2,
            plateau_patience=0,
            patience=(0, 2)[i % 2],
        )
        for i, (schedule, batch_norm, dropout) in enumerate(product(SCHEDULES, (False, True), (0.0, 0.3)))
    ]


def images(n: int, shape: tuple[int, ...], *, seed: int = 0) -> DeviceData:
    flat = random_data(n, math.prod(shape), 3, seed=seed)
    return replace(flat, x_train=flat.x_train.view(-1, *shape), x_val=flat.x_val.view(-1, *shape))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("lanes", [1, 7])
def test_stacked_cnns_equal_the_loop(lanes: int, optimizer: str) -> None:
    """With 7 lanes they are refilled while neighbours train, and two are retired early."""
    retired, data = (2, 9), digits(150, 50)
    with double_precision():
        wide = as_double(data)
        curves = lane_curves(
            stacked(wide, lanes), list(enumerate(grid(optimizer))), retire_early=retired, early_epoch=3
        )
        for seed, trial in enumerate(grid(optimizer)):
            expected = loop_curve(trial, wide, seed=seed)
            if seed in retired:
                expected = expected[:3]
            assert [r.stop for r in curves[seed]] == [r.stop for r in expected]
            assert [r.metrics["lr"] for r in curves[seed]] == [r.metrics["lr"] for r in expected]
            assert widest(curves[seed], expected) < FLOAT64


def test_stacked_cnns_on_weighted_examples_equal_the_loop() -> None:
    with double_precision():
        data = weighted(as_double(digits(97, 50)))
        curves = lane_curves(stacked(data, 7), list(enumerate(grid("adamw"))))
        for seed, trial in enumerate(grid("adamw")):
            assert widest(curves[seed], loop_curve(trial, data, seed=seed)) < FLOAT64


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_stacked_cnns_equal_the_loop_in_single_precision(optimizer: str) -> None:
    curves = lane_curves(stacked(digits(), 7), list(enumerate(grid(optimizer))))
    for seed, trial in enumerate(grid(optimizer)):
        expected = loop_curve(trial, digits(), seed=seed)
        assert widest(curves[seed], expected) < FLOAT32


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("channels", "hidden", "global_pool", "shape"),
    [
        ((2,), (), False, (1, 5, 5)),
        ((3, 2, 4), (5, 4), False, (3, 6, 4)),  # two maxima, and none after the third block
        ((2, 3), (), True, (2, 7, 4)),
        ((4,), (3,), True, (1, 1, 3)),  # too small for a maximum
    ],
)
def test_every_shape_of_a_cnn_equals_the_loop(
    channels: tuple[int, ...], hidden: tuple[int, ...], global_pool: bool, shape: tuple[int, ...], activation: str
) -> None:
    """Odd sides, one channel or three, no linear layer but the last; batch norm in some lanes."""
    trials = [
        CnnConfig(
            max_epochs=3,
            channels=channels,
            hidden=hidden,
            global_pool=global_pool,
            activation=activation,
            batch_size=13,
            batch_norm=batch_norm,
            dropout=dropout,
            l1_penalty=l1,
            label_smoothing=0.1 * (l1 > 0),
        )
        for batch_norm, dropout, l1 in [(False, 0.0, 1e-3), (True, 0.4, 0.0), (False, 0.4, 0.0), (True, 0.0, 1e-3)]
    ]
    with double_precision():
        data = as_double(images(41, shape))
        curves = lane_curves(stacked(data, 4), list(enumerate(trials)))
        for seed, trial in enumerate(trials):
            assert widest(curves[seed], loop_curve(trial, data, seed=seed)) < FLOAT64


def test_numbers_are_learned_from_images_too() -> None:
    from trainables.data.splits import TargetScale

    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(80, 1, 4, 4, generator=rng), torch.randn(80, generator=rng)
    data = DeviceData(x[:60], y[:60], x[60:], y[60:], 1, TargetScale(2.0, 3.0), extra_metrics=("parameters",))
    trial = config(loss="huber", max_epochs=3)
    with double_precision():
        wide = as_double(data)
        found = lane_curves(stacked(wide, 2), [(0, trial), (1, trial)])[1]
        expected = loop_curve(trial, wide, seed=1)
    for a, b in zip(found, expected, strict=True):
        assert list(a.metrics) == list(b.metrics)
        assert dict(a.metrics) == pytest.approx(dict(b.metrics), rel=FLOAT64)


def test_looped_cnns_are_the_loop_bit_for_bit() -> None:
    """Whatever their number and threads: each trains with one core, as the loop does here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trials = list(enumerate(grid("adamw")[:6]))
        expected = {seed: numbers(loop_curve(trial, digits(), seed=seed)) for seed, trial in trials}
    finally:
        torch.set_num_threads(before)
    for lanes, threads in ((1, 1), (4, 2)):
        worker = LaneWorker(digits(), device=CPU, lanes=lanes, mode="usual", threads=threads)
        assert {seed: numbers(reports) for seed, reports in lane_curves(worker, trials).items()} == expected


def test_neighbours_in_a_stack_of_cnns_leave_no_trace() -> None:
    """In a stack of as many lanes. For another number the library may take another kernel: see below."""
    trials = list(enumerate(grid("adamw")[:8]))
    curves = lane_curves(stacked(digits(150, 50), 2), trials)
    other = lane_curves(stacked(digits(150, 50), 2), [trials[0], (40, trials[5][1]), (41, trials[6][1])])
    assert numbers(other[0]) == numbers(curves[0])


def test_the_number_of_lanes_changes_a_cnns_curve_by_rounding_at_most() -> None:
    trials = list(enumerate(grid("adamw")[:8]))
    alone = lane_curves(stacked(digits(150, 50), 1), trials)
    for lanes in (3, 8):
        curves = lane_curves(stacked(digits(150, 50), lanes), trials)
        assert max(widest(curves[seed], alone[seed]) for seed, _ in trials) < FLOAT32


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_cnn_that_diverges_touches_no_other(batch_norm: bool) -> None:
    trials = list(enumerate(grid("adamw")[:5]))
    wild = config(learning_rate=1e30, batch_norm=batch_norm, dropout=0.3, l1_penalty=1e-3)
    tame = config(batch_norm=batch_norm, dropout=0.3, l1_penalty=1e-3)
    data = digits(150, 50)
    with_wild, with_tame = (
        lane_curves(stacked(data, 8), [*trials[:3], (77, neighbour), *trials[3:]], retire_early=(77,), early_epoch=1)
        for neighbour in (wild, tame)
    )
    assert with_wild[77][-1].stop == DIVERGED
    for seed, _ in trials:
        assert numbers(with_wild[seed]) == numbers(with_tame[seed])


@pytest.mark.parametrize("trial", [config(dropout=0.3, batch_norm=True), config(global_pool=True, optimizer="sgd")])
def test_a_cnn_moves_from_the_loop_to_a_lane_and_back(trial: CnnConfig, tmp_path: Path) -> None:
    expected = loop_curve(trial, digits(), seed=0)
    first = TrainingRun(trial, digits(), seed=0, device=CPU)
    found = [first.step()]
    checkpoint.save(first.state_dict(), tmp_path / "a.pt")
    worker = stacked(digits(), 3)
    worker.seat(1, trial, seed=1)
    seat = worker.seat(0, trial, seed=0, state=checkpoint.load(tmp_path / "a.pt"))
    found += [worker.advance()[0].report or pytest.fail("no report") for _ in range(2)]
    checkpoint.save(seat.state(), tmp_path / "b.pt")
    last = TrainingRun(trial, digits(), seed=0, device=CPU)
    last.load_state_dict(checkpoint.load(tmp_path / "b.pt"))
    assert {n: (t.shape, t.dtype) for n, t in last.model.state_dict().items()} == {
        n: (t.shape, t.dtype) for n, t in first.model.state_dict().items()
    }
    found += [last.step() for _ in range(2)]
    assert widest(found, expected) < FLOAT32
    assert [(r.epoch, r.stop) for r in found] == [(r.epoch, r.stop) for r in expected]


def test_a_cnn_in_a_lane_starts_with_the_loops_numbers() -> None:
    """Weights, statistics, streams: the same state, name by name."""
    for trial in (config(batch_norm=True), config(global_pool=True)):
        seat = stacked(digits(), 1).seat(0, trial, seed=3)
        mine, theirs = seat.state(), TrainingRun(trial, digits(), seed=3, device=CPU).state_dict()
        assert list(mine["model"]) == list(theirs["model"])
        assert all(torch.equal(mine["model"][name], theirs["model"][name]) for name in mine["model"])
        assert all(torch.equal(a, b) for a, b in zip(mine["dropout"], theirs["dropout"], strict=True))
        assert len(mine["dropout"]) == 3


def test_a_cnn_in_a_lane_continues_bit_for_bit() -> None:
    trial = config(dropout=0.3, batch_norm=True)

    def train(state: dict[str, Any] | None, epochs: int) -> tuple[list[tuple[float, ...]], dict[str, Any]]:
        worker = stacked(digits(), 2)
        seat = worker.seat(0, trial, seed=0, state=state)
        reports = [worker.advance()[0].report or pytest.fail("no report") for _ in range(epochs)]
        return numbers(reports), seat.state()

    whole, _ = train(None, 4)
    first, state = train(None, 2)
    assert first + train(state, 2)[0] == whole


def test_cnns_in_bf16_train_near_fp32() -> None:
    machine = StatedMachine(bf16=True)
    trials = list(enumerate([config(batch_norm=True, dropout=0.2), config()]))
    for mode in ("stacked", "looped"):
        fp32, bf16 = (
            lane_curves(
                LaneWorker(digits(), device=CPU, lanes=2, mode=mode, precision=precision, machine=machine), trials
            )
            for precision in ("fp32", "bf16")
        )
        for seed, _ in trials:
            # bfloat16 rounds a factor by up to 0.4%, either way
            assert 0 < widest(bf16[seed], fp32[seed]) < 0.02


def test_a_large_cnn_has_a_stack_of_its_own() -> None:
    small, large = (
        blueprint(GroupKey.of(CnnConfig(max_epochs=1, channels=channels)), shape, 10)
        for channels, shape in [((4,), (1, 8, 8)), ((32, 64), (1, 28, 28))]
    )
    sizes = [
        stack_sizes(8, lane_bytes=model.lane_bytes, threads=1, device=CPU, fewest=model.fewest)
        for model in (small, large)
    ]
    assert sizes == [[8], [1] * 8]
    assert can_stack(config())
