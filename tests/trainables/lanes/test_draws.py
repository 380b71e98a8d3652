"""Looped trials of a user's model train side by side, with the curves that they have in turn; which may not is told."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.lanes.cases import CPU
from trainables.data import DataSpec, load_splits
from trainables.lanes import LaneWorker
from trainables.lanes.draws import UNSEEDED, difference, is_changed_by_building, why_in_turn
from trainables.lanes.modules.source import ModuleSource
from trainables.model_build import ModelConfig
from trainables.user_model import ModelTrainable

MODULE = "tests.trainables.lanes.drawing_models"
DATA = load_splits(DataSpec("digits", train_examples=97))
PARAMS = {"dropout": 0.3, "learning_rate": 0.01, "batch_size": 32}


def of(name: str, **params: Any) -> tuple[ModelTrainable, ModelConfig, Any]:
    trainable = ModelTrainable(f"{MODULE}:{name}")
    return trainable, trainable.configure(PARAMS | params, max_epochs=9), trainable.prepare(DATA, CPU)


def side_by_side_is_faster(lanes: Any, configs: Any) -> float:
    return 1 / lanes.threads


def in_turn_is_faster(lanes: Any, configs: Any) -> float:
    return 0.002 * lanes.threads


def curves(name: str, *, threads: int, trials: int = 3, epochs: int = 2, **facts: Any) -> tuple[Any, ...]:
    """Return the metrics of each trial and epoch, the checkpoints, and what was chosen."""
    trainable, config, data = of(name)
    worker = LaneWorker(
        data,
        device=CPU,
        lanes=trials,
        mode="looped",
        start=trainable.start,
        threads=threads,
        modules=ModuleSource(trainable),
        **{"time_epoch": side_by_side_is_faster, **facts},
    )
    try:
        seats = [worker.seat(number, config, seed=number) for number in range(trials)]
        found = []
        for _ in range(epochs):
            events = worker.advance()
            assert all(event.report is not None for event in events.values())
            found.append([dict(event.report.metrics) for event in events.values() if event.report is not None])
        return found, [seat.state() for seat in seats], dict(worker.choices)
    finally:
        worker.close()


@pytest.mark.parametrize("name", ["Dropping", "Noisy", "Recurrent", "Attending"])
def test_trials_side_by_side_have_the_curves_and_checkpoints_that_they_have_alone(name: str) -> None:
    found, states, choices = curves(name, threads=2)
    trainable, config, data = of(name)
    assert [choice.mode for choice in choices.values()] == ["looped"]
    for number in range(3):
        run = trainable.start(config, data, seed=number, device=CPU)
        for epoch in range(2):
            assert dict(run.step().metrics) == found[epoch][number]
        assert torch.equal(run.state_dict()["torch"]["cpu"], states[number]["torch"]["cpu"])


def test_trials_that_wait_for_each_other_train_in_turn_with_the_same_curves() -> None:
    """Many short operations in threads wait for Python's lock: then one trial at a time is faster, as is measured."""
    beside, states, _ = curves("Dropping", threads=2)
    found, others, choices = curves("Dropping", threads=2, time_epoch=in_turn_is_faster)
    (choice,) = choices.values()
    assert choice.mode == "in turn" and choice.looped_ms == pytest.approx(2 * choice.in_turn_ms)
    assert found == beside and difference(others, states) == ""


def test_a_trial_goes_on_from_its_checkpoint_side_by_side_or_in_turn() -> None:
    trainable, config, data = of("Dropping")
    whole = trainable.start(config, data, seed=5, device=CPU)
    part = trainable.start(config, data, seed=5, device=CPU)
    part.train_beside_others()
    expected = [dict(whole.step().metrics) for _ in range(3)]
    part.step()
    resumed = trainable.start(config, data, seed=5, device=CPU)
    resumed.load_state_dict(part.state_dict())
    assert dict(resumed.step().metrics) == expected[1]
    resumed.train_beside_others()
    assert dict(resumed.step().metrics) == expected[2]


REASONS = {
    "NumpyNoise": "it draws from the global generator of NumPy, which all trials share",
    "PythonNoise": "it draws from the global generator of random, which all trials share",
    "Seeding": "it draws from torch's global generator where that cannot be told",
    "Recomputing": "it trains otherwise on random numbers of its own",
    "Reading": "it trains otherwise on random numbers of its own",
    "Unseeded": f"{UNSEEDED}: two of one seed differ after they trained, in train_loss",
    "BuiltUnseeded": f"{UNSEEDED}: two of one seed differ before they train, in model.first.bias",
    "BuiltWithNumpy": "it draws from the global generator of NumPy, which all trials share",
    "Raising": "trying it out raised ValueError: no images",
}


@pytest.mark.parametrize("name", REASONS)
def test_what_cannot_be_told_apart_is_said(name: str) -> None:
    trainable, config, data = of(name)
    assert why_in_turn(trainable.start, config, data, device=CPU).startswith(REASONS[name])


def test_the_first_difference_of_two_states_is_named() -> None:
    a = {"x": [1.0, {"y": torch.ones(2)}], "z": float("nan")}
    b = {"x": [1.0, {"y": torch.tensor([1.0, 2.0])}], "z": float("nan")}
    assert difference(a, b) == "x.1.y"
    assert difference(a, a) == ""
    assert difference(a, {**a, "z": 1.0}) == "z"
    assert difference(a, {}) == "it"


def test_what_cannot_be_told_apart_trains_in_turn_and_is_not_looked_at_again() -> None:
    found, _, choices = curves("Recomputing", threads=2)
    (group, choice), *_ = choices.items()
    assert (choice.mode, len(choices)) == ("in turn", 1)
    trainable, config, data = of("Recomputing")
    run = trainable.start(config, data, seed=2, device=CPU)
    assert [dict(run.step().metrics) for _ in range(2)] == [epoch[2] for epoch in found]
    _, _, again = curves("Recomputing", threads=2, measured={group: "in turn"})
    assert again == {}


@pytest.mark.parametrize("name", ["InGlobal", "InClass"])
def test_what_building_another_changes_is_built_again_before_each_epoch(name: str) -> None:
    """Code that keeps parameters in a global or a class has the last one's; in a process of its own it has its own."""
    trainable, first, data = of(name, dropout=0.0)
    configs = [trainable.configure(PARAMS | {"dropout": p}, max_epochs=9) for p in (0.0, 0.5, 0.2)]
    source = ModuleSource(trainable, drawn=configs)
    assert is_changed_by_building(trainable.start, first, configs[1], data, device=CPU)
    measured: dict[str, str] = {}
    for _ in range(2):  # the second as a resume takes it up
        worker = LaneWorker(
            data, device=CPU, lanes=3, mode="usual", start=trainable.start, modules=source, measured=measured
        )
        for number, config in enumerate(configs):
            worker.seat(number, config, seed=number)
        found = [worker.advance() for _ in range(2)]
        assert set(worker.modes.values()) == {"rebuilt"}
        measured |= {group: choice.mode for group, choice in worker.choices.items()}
        worker.close()
        for number, config in enumerate(configs):
            run = trainable.start(config, data, seed=number, device=CPU)
            for events in found:
                report = events[number].report
                assert report is not None and dict(report.metrics) == dict(run.step().metrics)


def test_building_another_changes_nothing_of_what_keeps_its_own() -> None:
    trainable, config, data = of("Dropping")
    other = trainable.configure(PARAMS | {"dropout": 0.0, "batch_size": 16}, max_epochs=9)
    assert not is_changed_by_building(trainable.start, config, other, data, device=CPU)


def test_the_global_generators_stay_where_they_are() -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)["state"]["pos"]  # type: ignore[call-overload]
    curves("Noisy", threads=2)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state(legacy=False)["state"]["pos"])  # type: ignore[call-overload]
