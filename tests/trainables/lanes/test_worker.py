"""Seats, capacity, modes, and what a trial that raises does to the others."""

import weakref
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from tests.trainables.lanes.cases import CPU, digits, lane_curves, numbers, stacked
from trainables.config import CnnConfig, MlpConfig
from trainables.device_data import DeviceData
from trainables.lanes import LaneWorker, can_stack, group_key
from trainables.lanes.blueprint import blueprint
from trainables.lanes.grouping import (
    CACHE_BYTES,
    FEWEST,
    WORTH_BYTES,
    GroupKey,
    stack_sizes,
    usual_mode,
)
from trainables.lanes.measure import ModeChoice
from trainables.lanes.network import StepVariant
from trainables.lanes.stack import Stack
from trainables.loop import TrainingRun
from trainables.report import EpochReport

CONFIG = MlpConfig(max_epochs=3, hidden=(8,))
CUDA = torch.device("cuda")


@dataclass(frozen=True)
class Odd:
    """A configuration of a trainable that cannot stack."""

    fails_at: int


class OddRun:
    """Counts epochs and raises at one of them."""

    def __init__(self, config: Odd, data: Any, *, seed: int, device: torch.device) -> None:
        self.config = config
        self.epoch = 0

    def step(self) -> EpochReport:
        self.epoch += 1
        if self.epoch == self.config.fails_at:
            raise RuntimeError(f"odd at {self.epoch}")
        return EpochReport(self.epoch, {"val_loss": 1.0}, 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]


def test_a_worker_counts_its_free_lanes_and_seats_no_trial_twice() -> None:
    worker = stacked(digits(), 2)
    assert (worker.lanes, worker.free) == (2, 2)
    seat = worker.seat(7, CONFIG, seed=0)
    with pytest.raises(ValueError, match="trial 7 already holds a lane"):
        worker.seat(7, CONFIG, seed=0)
    worker.seat(8, CONFIG, seed=0)
    with pytest.raises(ValueError, match="no lane is free for trial 9: all 2 are taken"):
        worker.seat(9, CONFIG, seed=0)
    seat.retire()
    assert worker.free == 1
    for call in (seat.retire, seat.state):
        with pytest.raises(KeyError, match="trial 7 holds no lane"):
            call()
    with pytest.raises(ValueError, match=r"lanes must be between 1 \(seated\) and 2, got 0"):
        worker.compact(0)
    with pytest.raises(ValueError, match=r"lanes must be between 1 \(seated\) and 2, got 3"):
        worker.compact(3)


def test_a_worker_refuses_lanes_modes_and_precisions_that_cannot_be() -> None:
    def worker(**changes: Any) -> LaneWorker:
        return LaneWorker(digits(), **{"device": CPU, "lanes": 1} | changes)

    with pytest.raises(ValueError, match="lanes must be >= 1, got 0"):
        worker(lanes=0)
    with pytest.raises(ValueError, match="mode must be one of usual, auto, stacked, looped, got 'fast'"):
        worker(mode="fast")
    with pytest.raises(ValueError, match="precision must be one of fp32, bf16, got 'fp8'"):
        worker(precision="fp8")
    with pytest.raises(ValueError, match="a Odd cannot be stacked; use mode looped"):
        worker(mode="stacked").seat(0, Odd(1), seed=0)


def test_what_stacks_and_what_makes_a_group() -> None:
    assert can_stack(CONFIG) and not can_stack(Odd(1))
    same = MlpConfig(max_epochs=9, hidden=(8,), dropout=0.5, batch_norm=True, learning_rate=1.0, schedule="step")
    assert group_key(CONFIG) == group_key(same)
    for other in (
        MlpConfig(max_epochs=3, hidden=(8, 8)),
        MlpConfig(max_epochs=3, hidden=(8,), batch_size=32),
        MlpConfig(max_epochs=3, hidden=(8,), activation="tanh"),
        MlpConfig(max_epochs=3, hidden=(8,), optimizer="sgd"),
        CnnConfig(max_epochs=3, hidden=(8,)),
    ):
        assert group_key(CONFIG) != group_key(other)
    cnn = CnnConfig(max_epochs=3, hidden=(8,), channels=(4,))
    assert can_stack(cnn)
    assert group_key(cnn) != group_key(CnnConfig(max_epochs=3, hidden=(8,), channels=(4,), global_pool=True))
    assert str(group_key(cnn)) == "cnn 4, head 8, relu, batch 64, adamw, loss auto"
    assert str(group_key(MlpConfig(max_epochs=3, hidden=(8, 4)))) == "mlp 8-4, relu, batch 64, adamw, loss auto"
    assert group_key(Odd(1)) == group_key(Odd(2))


def test_groups_share_the_lanes_of_a_worker() -> None:
    worker = stacked(digits(), 3)
    configs = [MlpConfig(max_epochs=2, hidden=(h,), batch_size=b) for h, b in ((8, 64), (9, 64), (8, 32), (8, 64))]
    curves = lane_curves(worker, list(enumerate(configs)))
    assert {t: len(r) for t, r in curves.items()} == {0: 2, 1: 2, 2: 2, 3: 2}
    assert set(worker.modes.values()) == {"stacked"} and len(worker.modes) == 3


def test_a_looped_lane_that_raises_is_an_event_of_its_own() -> None:
    worker = LaneWorker(digits(), device=CPU, lanes=3, start=OddRun)
    seats = [worker.seat(number, Odd(fails_at), seed=0) for number, fails_at in enumerate((9, 2, 9))]
    assert worker.modes == {group_key(Odd(1)): "looped"}
    first = worker.advance()
    assert all(event.error is None for event in first.values())
    second = worker.advance()
    assert str(second[1].error) == "odd at 2" and second[1].report is None
    seats[1].retire()
    third = worker.advance()
    assert {t: e.report.epoch for t, e in third.items() if e.report} == {0: 3, 2: 3}
    state = seats[2].state()
    worker.seat(3, Odd(9), seed=0, state=state)
    assert worker.advance()[3].report == EpochReport(4, {"val_loss": 1.0}, 0.0)


def test_a_stack_that_raises_is_an_event_of_its_trials() -> None:
    class Failing(Stack):
        def advance(self) -> Any:
            if self.key.hidden == (9,):
                raise MemoryError("no room")
            return super().advance()

    worker = stacked(digits(), 2, make_stack=Failing)
    worker.seat(0, CONFIG, seed=0)
    worker.seat(1, MlpConfig(max_epochs=3, hidden=(9,)), seed=0)
    events = worker.advance()
    assert events[0].error is None and events[0].report is not None
    assert isinstance(events[1].error, MemoryError)
    assert not events[1].shared, "it was alone in its stack: the error is its own"


def test_a_stack_that_breaks_goes_with_its_trials_and_those_begin_again() -> None:
    breaks, taken = False, weakref.WeakSet[Any]()

    class Breaking(Stack):
        def _validate(self, variant: StepVariant) -> Any:
            if breaks and len(self.seated) > 1:
                buffer = torch.zeros(1)
                taken.add(buffer)
                raise MemoryError("no room")
            return super()._validate(variant)

    worker = stacked(digits(), 4, make_stack=Breaking)
    seats = [worker.seat(number, CONFIG, seed=number) for number in range(3)]
    expected = {t: [e.report] for t, e in worker.advance().items()}
    assert expected[0][0] is not None
    states = [seat.state() for seat in seats]
    lanes = worker._stacked
    assert lanes is not None
    breaks = True
    broken = [*lanes._busy_stacks()]
    events = worker.advance()
    assert {number: event.shared for number, event in events.items()} == dict.fromkeys(range(3), True)
    assert len(taken) == 0, "the errors are here, what their frames held is not"
    memory = lanes.memory_bytes
    for seat in seats:
        seat.retire()
    assert memory > 0 and lanes.memory_bytes == 0
    worker.seat(0, CONFIG, seed=0, state=states[0])
    report = worker.advance()[0].report
    assert report is not None and report.epoch == 2
    assert not {id(stack) for stack in lanes._busy_stacks()} & {id(stack) for stack in broken}
    reference = lane_curves(LaneWorker(digits(), device=CPU, lanes=1, mode="looped"), [(0, CONFIG)])[0]
    # float32, 10 updates
    assert report.metrics["val_loss"] == pytest.approx(reference[1].metrics["val_loss"], rel=1e-5)


def test_a_trial_for_which_there_is_no_room_disturbs_no_other() -> None:
    full = False

    def make_stack(*given: Any, **named: Any) -> Stack:
        if full:
            raise MemoryError("no room")
        return Stack(*given, **named)

    worker = stacked(digits(), 3, make_stack=make_stack)
    worker.seat(0, CONFIG, seed=0)
    curve = [worker.advance()[0].report]
    full = True
    seat = worker.seat(1, CONFIG, seed=1)
    events = worker.advance()
    assert isinstance(events[1].error, MemoryError) and events[1].shared
    worker.compact(2)  # which has no room either, and keeps what there is
    curve.append(events[0].report)
    seat.retire()
    curve.append(worker.advance()[0].report)
    expected = lane_curves(LaneWorker(digits(), device=CPU, lanes=1, mode="looped"), [(0, CONFIG)])[0]
    for a, b in zip(curve, expected, strict=True):
        assert a is not None
        # float32, 15 updates
        assert a.metrics["val_loss"] == pytest.approx(b.metrics["val_loss"], rel=1e-5)


def test_batch_norm_on_a_batch_of_one_raises_for_that_trial_alone() -> None:
    config = MlpConfig(max_epochs=2, hidden=(8,), batch_size=1)
    data = digits(6, 6)
    worker = stacked(data, 2)
    worker.seat(0, config, seed=0)
    worker.seat(1, MlpConfig(max_epochs=2, hidden=(8,), batch_size=1, batch_norm=True), seed=0)
    events = worker.advance()
    assert events[0].report is not None
    assert "more than 1 value per channel" in str(events[1].error)


def test_looped_lanes_are_the_loop() -> None:
    worker = LaneWorker(digits(), device=CPU, lanes=2, mode="looped")
    found = lane_curves(worker, [(0, CONFIG), (1, CONFIG)])
    reference = TrainingRun(CONFIG, digits(), seed=1, device=CPU)
    assert numbers(found[1]) == numbers([reference.step() for _ in range(3)])


@pytest.mark.parametrize(("stacked_s", "looped_s", "mode"), [(1.0, 2.0, "stacked"), (2.0, 1.0, "looped")])
def test_mode_auto_takes_what_was_measured_faster(stacked_s: float, looped_s: float, mode: str) -> None:
    measured: list[str] = []

    def seconds(lanes: object, configs: object) -> float:
        measured.append(type(lanes).__name__)
        return stacked_s if measured[-1] == "StackedLanes" else looped_s

    worker = LaneWorker(digits(), device=CPU, lanes=2, time_epoch=seconds)
    worker.seat(0, CONFIG, seed=0)
    worker.seat(1, CONFIG, seed=1)
    assert worker.modes == {group_key(CONFIG): mode}
    assert measured == ["StackedLanes", "LoopedLanes"]  # once for the group
    assert worker.choices == {str(group_key(CONFIG)): ModeChoice(mode, stacked_s * 1e3, looped_s * 1e3)}
    assert all(event.error is None for event in worker.advance().values())
    again = LaneWorker(digits(), device=CPU, lanes=2, time_epoch=seconds, measured={str(group_key(CONFIG)): mode})
    again.seat(0, CONFIG, seed=0)
    assert (list(again.modes.values()), again.choices, len(measured)) == ([mode], {}, 2)


def test_the_usual_mode_is_stacked_but_for_cnns_on_a_cpu() -> None:
    cnn = CnnConfig(max_epochs=1, channels=(4,))
    assert [usual_mode(c, CPU) for c in (CONFIG, cnn, Odd(1))] == ["stacked", "looped", "looped"]
    assert [usual_mode(c, CUDA) for c in (CONFIG, cnn, Odd(1))] == ["stacked", "stacked", "looped"]
    worker = LaneWorker(digits(), device=CPU, lanes=2, mode="usual")
    worker.seat(0, CONFIG, seed=0)
    worker.seat(1, cnn, seed=0)
    assert worker.modes == {group_key(CONFIG): "stacked", group_key(cnn): "looped"}
    assert all(event.error is None for event in worker.advance().values())


def test_mode_auto_measures_for_real() -> None:
    worker = LaneWorker(digits(), device=CPU, lanes=2)
    worker.seat(0, CONFIG, seed=0)
    assert worker.modes[group_key(CONFIG)] in ("stacked", "looped")
    assert worker.advance()[0].report is not None


@pytest.mark.parametrize("trials", range(1, 40))
@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("lane_bytes", [1 << 10, 1 << 18, 1 << 22])
def test_stacks_have_a_lane_for_each_trial(trials: int, threads: int, lane_bytes: int) -> None:
    sizes = stack_sizes(trials, lane_bytes=lane_bytes, threads=threads, device=CPU)
    assert sum(sizes) == trials and min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(FEWEST, 2 * CACHE_BYTES // lane_bytes)
    busy = min(threads, max(1, trials * lane_bytes // WORTH_BYTES), trials)
    assert len(sizes) >= busy
    assert len(sizes) <= threads or len(sizes) % threads == 0 or len(sizes) == trials


@pytest.mark.parametrize(
    ("trials", "threads", "sizes"),
    [(8, 1, [8]), (8, 2, [8]), (16, 2, [8, 8]), (32, 1, [16, 16]), (64, 2, [32, 32]), (96, 2, [24, 24, 24, 24])],
)
def test_the_stacks_of_the_digits_model(trials: int, threads: int, sizes: list[int]) -> None:
    """What was measured to be fastest for widths 64-32 and 64 features."""
    lane_bytes = blueprint(GroupKey.of(MlpConfig(max_epochs=1)), (64,), 10).lane_bytes
    assert stack_sizes(trials, lane_bytes=lane_bytes, threads=threads, device=CPU) == sizes


def test_on_a_gpu_a_group_is_one_stack_of_a_power_of_two() -> None:
    sizes = [stack_sizes(n, lane_bytes=1, threads=1, device=CUDA) for n in (0, 1, 2, 3, 33, 64)]
    assert sizes == [[], [1], [2], [4], [64], [64]]


def test_a_group_gives_lanes_back_when_most_are_empty() -> None:
    worker = stacked(digits(), 12)
    seats = [worker.seat(number, CONFIG, seed=number) for number in range(12)]
    worker.advance()
    lanes = worker._stacked
    assert lanes is not None
    full = lanes.memory_bytes
    for seat in seats[:8]:
        seat.retire()
    worker.advance()
    assert lanes.memory_bytes < full / 2
    worker.compact(4)
    assert worker.advance().keys() == {8, 9, 10, 11}


def test_stacked_mlps_flatten_images() -> None:
    flat = digits(60, 20)
    images = DeviceData(flat.x_train.view(-1, 8, 8), flat.y_train, flat.x_val.view(-1, 8, 8), flat.y_val, flat.outputs)
    found, expected = (lane_curves(stacked(data, 1), [(0, CONFIG)])[0] for data in (images, flat))
    assert numbers(found) == numbers(expected)
