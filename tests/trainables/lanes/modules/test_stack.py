"""Trials of users' modules in stacks: the curves and checkpoints of the plain loop, whatever trains beside them."""

import pytest
import torch

from tests.trainables.lanes.cases import CPU, as_double, double_precision, weighted
from tests.trainables.lanes.modules.architectures import ARCHITECTURES
from tests.trainables.lanes.modules.hostile import NoMemoryOnBatchesOf65, SquareRoot, TripsOnBatchesOf65
from tests.trainables.lanes.modules.support import Given, data, trial, worker
from tests.trainables.lanes.modules.zoo import ZOO
from trainables.lanes.stacked import StackedLanes

EVERY = ZOO | ARCHITECTURES


def at_once(*names):
    """All models, those that are not named among the slow tests."""
    return [name if name in names else pytest.param(name, marks=pytest.mark.slow) for name in EVERY]


def loop(model, config, examples, seed):
    return Given(model).start(config, examples, seed=seed, device=CPU)


def advanced(lanes):
    """Return the metrics of each trial's epoch."""
    found = {}
    for number, event in lanes.advance().items():
        assert event.report is not None, event.trace
        found[number] = dict(event.report.metrics)
    return found


def same(a, b, *, within):
    return all(a[name] == pytest.approx(b[name], rel=within) for name in b)


IN_DOUBLE = ("FunctionalDropout", "NewBuffer", "Tied", "Squeeze", "Attention", "lstm", "cnn")


@pytest.mark.parametrize("name", at_once(*IN_DOUBLE))
def test_curves_are_those_of_the_loop_with_a_lane_retired_and_refilled(name):
    model, examples = EVERY[name], as_double(weighted(data()))
    with double_precision():
        lanes = worker(model, examples)
        seats = {n: lanes.seat(n, trial(model, n), seed=n) for n in range(3)}
        runs = {n: loop(model, trial(model, n), examples, n) for n in range(4)}
        for epoch in range(4):
            if epoch == 2:
                seats.pop(1).retire()
                seats[3] = lanes.seat(3, trial(model, 3), seed=3)
            for number, metrics in advanced(lanes).items():
                # double precision: 12 steps add up to a few of its last digits
                assert same(metrics, dict(runs[number].step().metrics), within=1e-9)
        assert set(lanes.modes.values()) == {"stacked"}
        for number, seat in seats.items():
            mine, theirs = seat.state(), runs[number].state_dict()
            assert torch.equal(mine["torch"]["cpu"], theirs["torch"]["cpu"])
            assert list(mine["model"]) == list(theirs["model"])
            for key, value in theirs["model"].items():
                torch.testing.assert_close(mine["model"][key], value, rtol=1e-7, atol=1e-9)
        lanes.close()


SETTINGS = (
    {"optimizer": "sgd", "momentum": 0.9},
    {"l1": "on", "l1_penalty": 1e-3},
    {"schedule": "cosine", "cosine_floor": 0.01, "label_smoothing": 0.1},
)


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_drives_the_loop_drives_the_stack(settings):
    model, examples = ZOO["norm_mlp"], as_double(data())
    with double_precision():
        lanes = worker(model, examples)
        for n in range(2):
            lanes.seat(n, trial(model, n, **settings), seed=n)
        runs = [loop(model, trial(model, n, **settings), examples, n) for n in range(2)]
        for _ in range(3):
            for number, metrics in advanced(lanes).items():
                assert same(metrics, dict(runs[number].step().metrics), within=1e-9)
        assert set(lanes.modes.values()) == {"stacked"}
        lanes.close()


@pytest.mark.parametrize("name", at_once("norm_mlp", "Attention", "NewBuffer"))
def test_a_trial_is_the_same_bit_for_bit_whatever_the_number_of_lanes(name):
    model = EVERY[name]
    found = {}
    # a momentum or slope in which no lane differs is a number, not a tensor of lanes, and may round otherwise
    for count in (2, 7, 32) if name in ("slopes", "Squeeze") else (1, 2, 7, 32):
        lanes = worker(model, data(), lanes=count)
        seats = [lanes.seat(n, trial(model, n), seed=n) for n in range(count)]
        curve = [advanced(lanes)[0] for _ in range(2)]
        found[count] = (curve, seats[0].state()["model"])
        lanes.close()
    for curve, weights in found.values():
        assert curve == found[32][0]
        assert all(torch.equal(weights[key], found[32][1][key]) for key in weights)


@pytest.mark.parametrize(("before", "after"), [("stacked", "looped"), ("looped", "stacked"), ("stacked", "stacked")])
def test_a_trial_moves_between_stack_and_loop_by_its_checkpoint(before, after):
    model, examples = ZOO["FunctionalDropout"], data()
    first = worker(model, examples, mode=before)
    seats = [first.seat(n, trial(model, n), seed=n) for n in range(2)]
    for _ in range(2):
        advanced(first)
    states = [seat.state() for seat in seats]
    first.close()
    second = worker(model, examples, mode=after)
    for n, state in enumerate(states):
        second.seat(n, trial(model, n), seed=n, state=state)
    found = advanced(second)
    second.close()
    for n in range(2):
        run = loop(model, trial(model, n), examples, n)
        expected = [dict(run.step().metrics) for _ in range(3)][-1]
        # single precision, 6 steps: rounding grows by AdamW's division
        assert same(found[n], expected, within=1e-4)


def test_a_stack_that_raises_goes_on_in_the_loop_from_where_the_epoch_began():
    examples = data()  # 129 examples: batches of 64 and 65
    lanes = worker(TripsOnBatchesOf65, examples)
    seats = [lanes.seat(n, trial(TripsOnBatchesOf65, n), seed=n) for n in range(2)]
    found = [advanced(lanes) for _ in range(2)]
    assert set(lanes.modes.values()) == {"looped"}
    (choice,) = lanes.choices.values()
    assert choice.reason.startswith("stacked it raised RuntimeError: no batch of 65 in a stack (hostile.py, line ")
    for n, seat in enumerate(seats):
        run = loop(TripsOnBatchesOf65, trial(TripsOnBatchesOf65, n), examples, n)
        assert [epoch[n] for epoch in found] == [dict(run.step().metrics) for _ in range(2)]
        assert seat.state()["epoch"] == 2
        seat.retire()
    assert lanes.free == lanes.lanes
    lanes.close()


def test_a_trial_that_diverges_leaves_its_neighbour_bit_for_bit():
    model = ZOO["norm_mlp"]
    curves = []
    for rate in (1e-3, 1e30):
        lanes = worker(model, data())
        lanes.seat(0, trial(model, 0), seed=0)
        lanes.seat(1, trial(model, 1, learning_rate=rate, optimizer="adamw"), seed=1)
        curves.append([advanced(lanes)[0] for _ in range(2)])
        lanes.close()
    assert curves[0] == curves[1]


def clock(*, stacked, beside, in_turn):
    """Return what says how long an epoch takes in each mode."""
    return lambda lanes, configs: (
        stacked if isinstance(lanes, StackedLanes) else beside if lanes.threads > 1 else in_turn
    )


@pytest.mark.parametrize(
    ("stacked", "beside", "in_turn", "mode"),
    [(3, 2, 4, "looped"), (3, 4, 2, "in turn"), (1.6, 2, 4, "stacked"), (1.8, 2, 4, "looped")],
)
def test_loops_are_measured_side_by_side_and_in_turn_and_a_stack_must_be_clearly_faster(stacked, beside, in_turn, mode):
    model = ZOO["norm_mlp"]
    times = clock(stacked=stacked, beside=beside, in_turn=in_turn)
    lanes = worker(model, data(), mode="usual", threads=2, time_epoch=times)
    lanes.seat(0, trial(model, 0), seed=0)
    (choice,) = lanes.choices.values()
    assert (choice.mode, choice.reason) == (mode, "")
    lanes.close()


def test_the_mode_is_measured_once_and_taken_up():
    model = ZOO["norm_mlp"]
    lanes = worker(model, data(), mode="usual", threads=2, time_epoch=clock(stacked=1.0, beside=2.0, in_turn=3.0))
    lanes.seat(0, trial(model, 0), seed=0)
    ((group, choice),) = lanes.choices.items()
    assert (choice.mode, choice.reason) == ("stacked", "")
    assert choice.stacked_ms < choice.looped_ms < choice.in_turn_ms
    lanes.close()
    again = worker(model, data(), mode="usual", measured={group: "looped"})
    again.seat(0, trial(model, 0), seed=0)
    assert (set(again.modes.values()), again.choices) == ({"looped"}, {})
    again.close()


def test_a_float_that_cannot_differ_ends_the_stacking_of_its_group():
    lanes = worker(SquareRoot, data())
    for n in range(2):
        lanes.seat(n, trial(SquareRoot, n), seed=n)
    (choice,) = lanes.choices.values()
    assert choice.mode == "looped" and choice.reason.startswith("not stacked any longer, as stacked, the loss")
    found = advanced(lanes)
    runs = [loop(SquareRoot, trial(SquareRoot, n), data(), n) for n in range(2)]
    assert found[1] == dict(runs[1].step().metrics)
    lanes.close()


def test_a_trial_whose_first_batch_is_not_its_own_modules_ends_the_stacking_of_its_group():
    """As a resume takes it up: the group was found to stack, and no trial is checked before it is seated."""
    (group,) = choices_of(SquareRoot, trials=1)
    lanes = worker(SquareRoot, data(), measured={group: "stacked"})
    seats = [lanes.seat(n, trial(SquareRoot, n), seed=n) for n in range(2)]
    assert set(lanes.modes.values()) == {"stacked"}
    found = advanced(lanes)
    (choice,) = lanes.choices.values()
    assert choice.reason == "not stacked any longer, as the first batch of trial 0 is not that of its own module alone"
    for n in range(2):
        assert found[n] == dict(loop(SquareRoot, trial(SquareRoot, n), data(), n).step().metrics)
        seats[n].retire()
    lanes.close()


def choices_of(model, *, trials):
    """Return what is found of the groups of a model's trials, by group."""
    lanes = worker(model, data())
    for n in range(trials):
        lanes.seat(n, trial(model, n), seed=n)
    lanes.close()
    return lanes.choices


def test_the_first_batch_after_a_resume_is_compared_too():
    model = ZOO["cnn"]
    first = worker(model, data())
    seats = [first.seat(n, trial(model, n), seed=n) for n in range(2)]
    advanced(first)
    states = [seat.state() for seat in seats]
    expected = advanced(first)
    first.close()
    second = worker(model, data(), measured={group: choice.mode for group, choice in first.choices.items()})
    for n, state in enumerate(states):
        second.seat(n, trial(model, n), seed=n, state=state)
    assert advanced(second) == expected
    assert set(second.modes.values()) == {"stacked"} and second.choices == {}
    second.close()


def test_a_group_is_compared_at_the_ends_of_the_space_too():
    """The first trial alone would pass: where its rates are those of all, a root of one is the root of all."""
    lanes = worker(SquareRoot, data(), corners=[trial(SquareRoot, n) for n in (3, 4)])
    lanes.seat(0, trial(SquareRoot, 0), seed=0)
    (choice,) = lanes.choices.values()
    assert choice.mode in ("looped", "in turn") and choice.reason.startswith("not stacked, as stacked, the loss")
    lanes.close()


def test_a_measurement_that_raises_speaks_for_the_loop():
    lanes = worker(TripsOnBatchesOf65, data(), mode="usual")
    lanes.seat(0, trial(TripsOnBatchesOf65, 0), seed=0)
    (choice,) = lanes.choices.values()
    assert choice.mode in ("looped", "in turn")
    assert choice.reason.startswith("not stacked, as measuring it raised RuntimeError: no")
    lanes.close()


def test_a_trial_without_room_for_two_lanes_goes_on_in_the_loop():
    model = NoMemoryOnBatchesOf65
    lanes = worker(model, data())
    lanes.seat(0, trial(model, 0), seed=0)
    found = advanced(lanes)
    (choice,) = lanes.choices.values()
    assert choice.reason == "not stacked any longer, as there is no memory for two lanes of it"
    assert found[0] == dict(loop(model, trial(model, 0), data(), 0).step().metrics)
    lanes.close()


def test_a_group_of_which_few_trials_are_to_be_expected_is_looped_unseen():
    model = ZOO["norm_mlp"]
    drawn = [trial(model, n, batch_size=32) for n in range(9)] + [trial(model, 9)]
    for lanes, expected in ((8, "looped"), (20, "stacked")):
        times = clock(stacked=1.0, beside=2.0, in_turn=3.0)
        found = worker(model, data(), lanes=lanes, mode="usual", drawn=drawn, threads=2, time_epoch=times)
        found.seat(0, trial(model, 0), seed=0)
        (choice,) = found.choices.values()
        assert choice.mode == expected
        assert choice.reason == ("not stacked, as few trials at a time have models of its shapes" * (lanes == 8))
        found.close()
