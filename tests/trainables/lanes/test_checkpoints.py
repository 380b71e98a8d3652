"""A checkpoint of a lane is the loop's checkpoint: a trial moves between executors in the middle."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.lanes.cases import CPU, digits, in_views, loop_curve, numbers, stacked
from trainables import checkpoint
from trainables.config import SCHEDULES, MlpConfig
from trainables.errors import CheckpointError
from trainables.lanes.idle import idle_optimizer
from trainables.lanes.layout import Layout
from trainables.loop import TrainingRun
from trainables.models import Mlp
from trainables.optimizers import build_optimizer
from trainables.report import EpochReport

DATA = in_views(digits(), 2)
"""Three epochs here and three there: which view comes next is part of what moves."""


def config(**changes: Any) -> MlpConfig:
    settings: dict[str, Any] = {
        "max_epochs": 9,
        "hidden": (24, 16),
        "dropout": 0.3,
        "batch_norm": True,
        "weight_decay": 1e-2,
        "patience": 6,
    }
    return MlpConfig(**settings | changes)


CONFIGS = [
    *(config(schedule=schedule, step_size=2, plateau_patience=0) for schedule in SCHEDULES),
    config(optimizer="sgd", learning_rate=0.02),
    config(optimizer="sgd", learning_rate=0.02, momentum=0.0),
    config(batch_norm=False, dropout=0.0),
    config(hidden=(), batch_norm=False),
    config(hidden=(), batch_norm=False, input_dropout=0.4, label_smoothing=0.1),
    config(input_dropout=0.2, label_smoothing=0.1),
]


def run(trial: MlpConfig, *, seed: int = 0) -> TrainingRun:
    return TrainingRun(trial, DATA, seed=seed, device=CPU)


def lane_epochs(trial: MlpConfig, state: dict[str, Any] | None, epochs: int) -> tuple[list[EpochReport], Any]:
    """Train in a lane that is not the first, beside another trial; return reports and the lane's state."""
    worker = stacked(DATA, 3)
    worker.seat(1, trial, seed=1)
    seat = worker.seat(0, trial, seed=0, state=state)
    reports = [worker.advance()[0].report for _ in range(epochs)]
    return [r for r in reports if r is not None], seat.state()


@pytest.mark.parametrize("trial", CONFIGS)
def test_a_trial_moves_from_the_loop_to_a_lane_and_back(trial: MlpConfig, tmp_path: Path) -> None:
    expected = loop_curve(trial, DATA, seed=0)
    first = run(trial)
    found = [first.step() for _ in range(3)]
    checkpoint.save(first.state_dict(), tmp_path / "a.pt")
    middle, state = lane_epochs(trial, checkpoint.load(tmp_path / "a.pt"), 3)
    found += middle
    checkpoint.save(state, tmp_path / "b.pt")
    last = run(trial)
    last.load_state_dict(checkpoint.load(tmp_path / "b.pt"))
    found += [last.step() for _ in range(len(expected) - len(found))]
    for a, b in zip(found, expected, strict=True):
        # as in test_oracle.py
        assert a.metrics["val_loss"] == pytest.approx(b.metrics["val_loss"], rel=1e-4)
        assert (a.epoch, a.metrics["lr"], a.stop) == (b.epoch, b.metrics["lr"], b.stop)


@pytest.mark.parametrize("epochs", [0, 2])
@pytest.mark.parametrize("trial", CONFIGS)
def test_the_state_of_a_lane_is_built_like_the_loops(trial: MlpConfig, epochs: int) -> None:
    """The same keys in the same order, kinds, shapes and types; equal numbers where none were trained."""
    reference = run(trial)
    for _ in range(epochs):
        reference.step()
    _, state = lane_epochs(trial, None, epochs)
    _assert_alike(state, reference.state_dict(), "state", equal=epochs == 0)


@pytest.mark.parametrize("trial", CONFIGS)
def test_a_lane_continues_bit_for_bit(trial: MlpConfig) -> None:
    whole, _ = lane_epochs(trial, None, 5)
    first, state = lane_epochs(trial, None, 2)
    rest, _ = lane_epochs(trial, state, 3)
    assert numbers(first + rest) == numbers(whole)


def test_the_state_of_a_lane_is_a_copy() -> None:
    worker = stacked(digits(), 1)
    seat = worker.seat(0, config(), seed=0)
    worker.advance()
    state = seat.state()
    before = {name: tensor.clone() for name, tensor in state["model"].items()}
    worker.advance()
    seat.retire()
    assert all(torch.equal(state["model"][name], tensor) for name, tensor in before.items())


def test_a_state_that_does_not_fit_leaves_the_lane_free() -> None:
    worker = stacked(digits(), 1)
    with pytest.raises(CheckpointError, match="size mismatch"):
        worker.seat(0, config(), seed=0, state=run(config(hidden=(8, 8))).state_dict())
    with pytest.raises(CheckpointError, match="missing"):
        worker.seat(0, config(), seed=0, state={"epoch": 1})
    assert worker.free == 1
    worker.seat(0, config(), seed=0)
    assert list(worker.advance()) == [0]


@pytest.mark.parametrize("trial", CONFIGS)
def test_idle_optimisers_have_the_loops_settings(trial: MlpConfig) -> None:
    def settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        return {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}

    model = Mlp(trial, 64, 10, seed=0, device=CPU)
    assert settings(idle_optimizer(trial)) == settings(build_optimizer(model.parameters(), trial))


def test_lanes_start_on_cache_lines() -> None:
    layout = Layout.of_widths(5, 7, 3)
    assert layout.size % 16 == 0 and layout.size >= 5 * 7 + 7 + 7 * 3 + 3 + 2 * 7
    assert layout.weights[1].start == 35 and layout.penalised == 35 + 21


def _assert_alike(found: Any, expected: Any, where: str, *, equal: bool) -> None:
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key in expected:
            _assert_alike(found[key], expected[key], f"{where}/{key}", equal=equal)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            _assert_alike(a, b, f"{where}/{i}", equal=equal)
    elif isinstance(expected, torch.Tensor):
        assert (found.shape, found.dtype, found.device) == (expected.shape, expected.dtype, expected.device), where
        # streams and counters are whole numbers: the same even after training
        if equal or not expected.is_floating_point():
            assert torch.equal(found, expected), where
    elif equal:
        assert found == expected, where
    else:
        assert type(found) is type(expected), where
