"""Trials that train as another configuration, on examples of their own: many data sets in one worker."""

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from tests.trainables.lanes.cases import CPU, in_views, lane_curves, loop_curve, numbers, random_data, stacked
from trainables.config import MlpConfig
from trainables.device_data import DeviceData
from trainables.errors import CheckpointError, ConfigError
from trainables.lanes import LaneWorker, group_key
from trainables.lanes.stack import Stack
from trainables.lanes.stacked import StackedLanes
from trainables.loop import TrainingRun
from trainables.report import EpochReport

LINEAR = MlpConfig(max_epochs=4, hidden=(), batch_size=8, input_dropout=0.3, label_smoothing=0.1)


@dataclass(frozen=True)
class Frozen:
    """A trial of a model of which all but the head is frozen; at depth 0 nothing is, and it only loops."""

    depth: int
    head: MlpConfig = LINEAR


class Deep:
    """What trains where nothing is frozen."""

    def __init__(self, config: Frozen, data: Any, *, seed: int, device: torch.device) -> None:
        assert (config.depth, data) == (0, "images")
        self.epoch = 0

    def step(self) -> EpochReport:
        self.epoch += 1
        return EpochReport(self.epoch, {"val_loss": 1.0}, 0.0, "max_epochs" if self.epoch == 3 else None)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "model": {}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]


def features(depth: int) -> DeviceData:
    return in_views(random_data(41, 3 + depth, 3, seed=depth), depth)


class Cache:
    """The features of each depth, as long as they are not evicted."""

    def __init__(self) -> None:
        self.held: dict[int, DeviceData] = {}

    def stackable_form(self, config: Any, data: Any) -> tuple[MlpConfig, DeviceData] | None:
        assert data == "images"
        if config.depth == 0:
            return None
        if config.depth not in self.held:
            self.held[config.depth] = features(config.depth)
        return config.head, self.held[config.depth]

    def full_state(self, config: Any, data: Any, state: Any) -> Any:
        assert isinstance(config, Frozen) and data == "images"
        return {**state, "frozen": config.depth}


def worker(cache: Cache | None = None, **changes: Any) -> LaneWorker:
    settings: dict[str, Any] = {"device": CPU, "lanes": 8, "mode": "usual", "threads": 1, "start": Deep}
    return LaneWorker("images", **{**settings, "stands_in": cache or Cache(), **changes})


def trials() -> list[tuple[int, Any]]:
    """Three depths, heads with and without a hidden layer, and some that only loop."""
    heads = [LINEAR, replace(LINEAR, input_dropout=0.0), replace(LINEAR, hidden=(4,), label_smoothing=0.0)]
    return [(i, Frozen(i % 4, heads[i % 3])) for i in range(15)]


@pytest.mark.parametrize("mode", ["usual", "stacked"])
@pytest.mark.parametrize(("lanes", "threads"), [(1, 1), (4, 2), (15, 2)])
def test_each_trial_trains_on_its_own_data_as_if_there_were_no_other(lanes: int, threads: int, mode: str) -> None:
    found = lane_curves(worker(lanes=lanes, threads=threads, mode=mode), trials(), retire_early=(2, 7), early_epoch=2)
    for seed, config in trials():
        if config.depth == 0:
            assert [r.epoch for r in found[seed]] == [1, 2, 3]
        else:
            alone = lane_curves(stacked(features(config.depth), 1), [(seed, config.head)])[seed]
            assert numbers(found[seed]) == numbers(alone[: 2 if seed in (2, 7) else 4])


def test_looped_trials_on_data_of_their_own_are_the_loop_bit_for_bit() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected = {s: numbers(loop_curve(c.head, features(c.depth), seed=s)) for s, c in trials() if c.depth}
    finally:
        torch.set_num_threads(before)
    together = worker(mode="looped", threads=2)
    found = lane_curves(together, trials())
    assert {s: numbers(found[s]) for s in expected} == expected
    assert set(together.modes.values()) == {"looped"}


@contextmanager
def no_collector() -> Iterator[None]:
    """What goes without it goes at once."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_data_that_no_trial_uses_any_more_is_let_go_at_once(mode: str) -> None:
    cache = Cache()
    lanes = worker(cache, mode=mode)
    seats = [lanes.seat(number, Frozen(depth), seed=number) for number, depth in enumerate((1, 1, 2))]
    lanes.advance()
    one, two = (weakref.ref(cache.held.pop(depth)) for depth in (1, 2))
    with no_collector():
        seats[0].retire()
        assert one() is not None and two() is not None
        lanes.advance()
        seats[1].retire()
        assert one() is None and two() is not None
        memory = 0 if lanes._stacked is None else lanes._stacked.memory_bytes
        assert (memory > 0) == (mode == "stacked")
        assert list(lanes.advance()) == [2]
        seats[2].retire()
        assert two() is None
    assert lanes._stacked is None or lanes._stacked.memory_bytes == 0
    assert lanes.advance() == {}
    lanes.seat(3, Frozen(1), seed=3)
    assert lanes.advance()[3].report is not None
    lanes.close()


def test_data_is_let_go_where_a_trial_cannot_be_seated() -> None:
    cache = Cache()
    lanes = worker(cache)
    with pytest.raises(CheckpointError):
        lanes.seat(0, Frozen(1), seed=0, state={"epoch": 1})
    gone = weakref.ref(cache.held.pop(1))
    gc.collect()  # the error knew the frames it came from
    assert gone() is None and lanes.free == 8

    class Full(Cache):
        def stackable_form(self, config: Any, data: Any) -> Any:
            raise MemoryError("no room for the features")

    lanes = worker(Full())
    with pytest.raises(MemoryError, match="no room for the features"):
        lanes.seat(0, Frozen(1), seed=0)
    assert lanes.free == 8


def test_a_loss_that_is_not_for_the_data_is_refused_when_it_is_seated() -> None:
    with pytest.raises(ConfigError, match="loss must be one of auto, cross_entropy for classification, got 'mse'"):
        worker().seat(0, Frozen(1, replace(LINEAR, loss="mse")), seed=0)


def test_new_features_of_a_depth_make_stacks_of_their_own() -> None:
    """A cache may compute them once more: two objects of one size are still two."""
    cache = Cache()
    lanes = worker(cache)
    lanes.seat(0, Frozen(1), seed=0)
    cache.held.clear()
    lanes.seat(1, Frozen(1), seed=0)
    events = lanes.advance()
    assert lanes._stacked is not None and len(list(lanes._stacked._busy_stacks())) == 2
    first, second = (events[t].report or pytest.fail("no report") for t in (0, 1))
    assert numbers([first]) == numbers([second])


def test_states_and_weights_are_those_of_what_stands_in() -> None:
    lanes = worker()
    _, seat = (lanes.seat(number, Frozen(2), seed=number) for number in (0, 1))
    lanes.advance()
    state, weights = seat.state(), seat.weights()()
    loop = TrainingRun(LINEAR, features(2), seed=1, device=CPU)
    loop.load_state_dict(state)
    assert weights.pop("frozen") == 2, "made whole"
    assert list(weights) == list(loop.model.state_dict())
    assert all(torch.equal(weights[name], tensor) for name, tensor in loop.model.state_dict().items())
    expected = [event.report for event in (lanes.advance()[1] for _ in range(2))]
    seat.retire()
    lanes.seat(1, Frozen(2), seed=1, state=state)
    found = [event.report for event in (lanes.advance()[1] for _ in range(2))]
    assert numbers([r for r in found if r]) == numbers([r for r in expected if r])
    for report in expected:
        assert report is not None
        # float32, a dozen updates
        assert loop.step().metrics["val_loss"] == pytest.approx(report.metrics["val_loss"], rel=1e-5)


def test_lanes_of_trials_with_data_of_their_own_can_be_given_up() -> None:
    lanes = worker()
    seats = [lanes.seat(number, Frozen(number % 4), seed=number) for number in range(8)]
    lanes.advance()
    for seat in seats[1:6]:
        seat.retire()
    lanes.compact(3)
    assert (lanes.lanes, lanes.free) == (3, 0)
    assert all(event.report is not None and event.report.epoch == 2 for event in lanes.advance().values())
    assert sorted(lanes.advance()) == [0, 6, 7]


def test_a_stack_that_breaks_is_an_event_of_the_trials_on_its_data() -> None:
    breaks = True

    class Breaking(Stack):
        def _train(self, *given: Any) -> None:
            if breaks and self._data.features == 4:
                raise MemoryError("no room")
            super()._train(*given)

    lanes = worker(make_stack=Breaking)
    seats = [lanes.seat(number, Frozen(depth), seed=number) for number, depth in enumerate((1, 1, 2, 2, 0))]
    events = lanes.advance()
    assert {t: event.shared for t, event in events.items() if event.error is not None} == {0: True, 1: True}
    breaks = False
    for number in (0, 1):
        seats[number].retire()
        lanes.seat(number, Frozen(1), seed=number)
    assert {t: event.report.epoch for t, event in lanes.advance().items() if event.report} == {
        0: 1, 1: 1, 2: 2, 3: 2, 4: 2
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_threads_are_as_many_whatever_the_number_of_data_sets(mode: str) -> None:
    counts = []
    for depths in ((1, 1, 1), (1, 2, 3)):
        before = set(threading.enumerate())
        lanes = worker(mode=mode, threads=2)
        for number, depth in enumerate(depths):
            lanes.seat(number, Frozen(depth), seed=number)
        lanes.advance()
        started = set(threading.enumerate()) - before
        counts.append(len(started))
        lanes.close()
        assert not any(thread.is_alive() for thread in started)
    assert counts == [2, 2]


def test_the_mode_is_measured_for_each_size_of_examples() -> None:
    measured = []

    def seconds(lanes: Any, configs: Any) -> float:
        measured.append((type(lanes).__name__, lanes._data.features, lanes._data.views))
        return 1.0 if (lanes._data.features == 4) == isinstance(lanes, StackedLanes) else 2.0

    lanes = worker(mode="auto", time_epoch=seconds)
    for number, depth in enumerate((1, 2, 1, 2, 0)):
        lanes.seat(number, Frozen(depth), seed=number)
    names = [f"{group_key(LINEAR)}, {n} features" for n in (4, 5)]
    deep = group_key(Frozen(0))
    assert lanes.modes == {names[0]: "stacked", names[1]: "looped", deep: "looped"}
    assert [lanes.choices[name].mode for name in names] == ["stacked", "looped"]
    assert measured == [(kind, n, 1) for n in (4, 5) for kind in ("StackedLanes", "LoopedLanes")]
    assert all(event.report is not None for event in lanes.advance().values())
    again = worker(mode="auto", time_epoch=seconds, measured={name: lanes.modes[name] for name in names})
    for number, depth in enumerate((1, 2)):
        again.seat(number, Frozen(depth), seed=number)
    assert again.modes == {name: lanes.modes[name] for name in names} and not again.choices


def test_batch_norm_on_a_batch_of_one_of_the_trials_own_data_raises_for_it_alone() -> None:
    lanes = worker(mode="stacked")
    head = replace(LINEAR, hidden=(4,), batch_size=1)
    lanes.seat(0, Frozen(1, head), seed=0)
    lanes.seat(1, Frozen(1, replace(head, batch_norm=True)), seed=0)
    events = lanes.advance()
    assert events[0].report is not None
    assert "more than 1 value per channel" in str(events[1].error)
