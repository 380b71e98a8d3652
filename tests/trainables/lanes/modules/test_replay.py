"""Steps done again from a recording: the numbers of the plain loop, and none of what a recording would get wrong."""

import itertools

import pytest
import torch
from torch import nn

from tests.trainables.lanes.cases import CPU, as_double, double_precision, weighted
from tests.trainables.lanes.modules.support import Given, data, trial, worker
from tests.trainables.lanes.modules.zoo import ZOO, Between
from trainables.lanes.modules import replay
from trainables.lanes.modules.recorder import MOST_BYTES, Recorder
from trainables.lanes.modules.replay import PLAIN_BATCHES, Replays
from trainables.lanes.stack import Stack

SMALL = {"batch_size": 16}
"""Eight batches an epoch of 129 examples, the last of them of 17."""


class Stacks:
    """Makes the stacks of a worker, and remembers them."""

    def __init__(self):
        self.made = []

    def __call__(self, *args, **facts):
        self.made.append(Stack(*args, **facts))
        return self.made[-1]

    @property
    def replayed(self):
        return sum(stack._network._replays.replayed for stack in self.made)


def loop(model, number, examples):
    return Given(model).start(trial(model, number, **SMALL), examples, seed=number, device=CPU)


def epoch_of(lanes):
    events = lanes.advance()
    assert all(event.report is not None for event in events.values()), [event.trace for event in events.values()]
    return {number: dict(event.report.metrics) for number, event in events.items()}


AT_ONCE = ("FunctionalDropout", "NewBuffer", "Mixup", "Attention", "lstm", "cnn")


@pytest.mark.parametrize(
    "name", [name if name in AT_ONCE else pytest.param(name, marks=pytest.mark.slow) for name in ZOO]
)
def test_replayed_steps_are_those_of_the_plain_loop(name):
    model, examples, stacks = ZOO[name], as_double(weighted(data())), Stacks()
    with double_precision():
        lanes = worker(model, examples, make_stack=stacks)
        seats = {n: lanes.seat(n, trial(model, n, **SMALL), seed=n) for n in range(2)}
        runs = {n: loop(model, n, examples) for n in range(3)}
        for epoch in range(4):
            if epoch == 2:
                seats.pop(1).retire()
                seats[2] = lanes.seat(2, trial(model, 2, **SMALL), seed=2)
            before = stacks.replayed
            for number, metrics in epoch_of(lanes).items():
                # double precision: 32 steps add up to a few of its last digits
                assert metrics == pytest.approx(dict(runs[number].step().metrics), rel=1e-9)
        assert stacks.replayed > before > 0  # after the exchange too
        for number, seat in seats.items():
            mine, theirs = seat.state(), runs[number].state_dict()
            assert torch.equal(mine["torch"]["cpu"], theirs["torch"]["cpu"])
            for key, value in theirs["model"].items():
                torch.testing.assert_close(mine["model"][key], value, rtol=1e-7, atol=1e-9)
        lanes.close()


class RunsAnew(ZOO["FunctionalDropout"]):
    """The same numbers; ``vars`` may be used to change anything."""

    def between(self, h):
        assert vars(self)
        return super().between(h)


def curve(model, *, lanes, epochs=3, states=None):
    """Return the metrics and the state of trial 0 among others, and how many steps were replayed."""
    stacks = Stacks()
    found = worker(model, data(), lanes=lanes, make_stack=stacks)
    seats = [
        found.seat(n, trial(model, n, **SMALL), seed=n, state=None if states is None else states[n])
        for n in range(lanes)
    ]
    metrics = [epoch_of(found)[0] for _ in range(epochs)]
    states = [seat.state() for seat in seats]
    found.close()
    return metrics, states, stacks.replayed


def same_state(a, b):
    return all(torch.equal(a["model"][key], b["model"][key]) for key in b["model"])


def test_a_replayed_step_leaves_the_bits_of_one_as_it_is_written():
    written, replayed = curve(RunsAnew, lanes=3), curve(ZOO["FunctionalDropout"], lanes=3)
    assert written[0] == replayed[0] and all(map(same_state, written[1], replayed[1]))
    assert written[2] == 0 and replayed[2] > 0


@pytest.mark.parametrize("name", ["norm_mlp", "Attention", "NewBuffer", "slopes"])
def test_a_replayed_trial_is_the_same_bit_for_bit_whatever_the_number_of_lanes(name):
    found = [curve(ZOO[name], lanes=lanes) for lanes in (2, 7, 32)]
    for metrics, states, replayed in found:
        assert metrics == found[0][0] and same_state(states[0], found[0][1][0])
        assert replayed > 0


@pytest.mark.parametrize("name", ["norm_mlp", "NewBuffer"])
def test_a_replayed_trial_resumes_exactly(name):
    whole = curve(ZOO[name], lanes=2, epochs=4)
    half = curve(ZOO[name], lanes=2, epochs=2)
    rest = curve(ZOO[name], lanes=2, epochs=2, states=half[1])
    assert whole[0] == half[0] + rest[0] and same_state(whole[1][0], rest[1][0])


def test_without_the_interpreter_steps_run_as_they_are_written(monkeypatch):
    monkeypatch.setattr(replay, "UNAVAILABLE", "torch 9.9 lacks what does steps again")
    found = curve(ZOO["norm_mlp"], lanes=2)
    monkeypatch.undo()
    assert found[2] == 0 and found[0] == curve(ZOO["norm_mlp"], lanes=2)[0]


class CountsBatchesOf16(Between):
    """Which the check of a group, on smaller ones, does not see."""

    def prepare(self, p):
        self.seen = []

    def between(self, h):
        if self.training and len(h) == 16:
            self.seen.append(1)
        return h * (0.5 if len(self.seen) > 9 else 1.0)


def test_a_forward_that_keeps_something_of_batches_of_some_size_is_looped():
    examples, stacks = as_double(weighted(data())), Stacks()
    with double_precision():
        lanes = worker(CountsBatchesOf16, examples, make_stack=stacks)
        for n in range(2):
            lanes.seat(n, trial(CountsBatchesOf16, n, **SMALL), seed=n)
        runs = [loop(CountsBatchesOf16, n, examples) for n in range(2)]
        for _ in range(3):
            for number, metrics in epoch_of(lanes).items():
                assert metrics == dict(runs[number].step().metrics)
        (choice,) = lanes.choices.values()
        assert choice.reason == "not stacked any longer, as its forward changes its attributes"
        lanes.close()
    assert stacks.made and stacks.replayed == 0


def replays_of(total, generator=None):
    found = Replays(nn.Identity(), [total], lambda: None)
    found.forget([] if generator is None else [generator])
    return found


def done(step, *, steps=20, replayed, generator=None):
    """Do steps, and return what they add up to."""
    total = torch.zeros(3)
    replays = replays_of(total, generator)
    for number in range(steps):
        with torch.no_grad():
            replays.do("step", lambda x: step(total, x), [torch.full((3,), float(number))], scratch=[])
    assert replays.replayed == replayed
    return total


def test_all_but_the_first_batches_are_replayed():
    # the next is recorded, and the one after it done both ways
    assert torch.equal(done(lambda total, x: total.add_(x), replayed=20 - PLAIN_BATCHES - 2), torch.full((3,), 190.0))


def test_a_step_that_does_not_do_what_its_recording_does_is_not_replayed():
    numbers = itertools.count()
    found = done(lambda total, x: total.add_(x + next(numbers)), replayed=0)
    assert torch.equal(found, torch.full((3,), 380.0))


OUTSIDE = torch.zeros(3)


def through_numpy(total, x):
    total.add_(torch.from_numpy((x * 2).numpy()) + 0)


def turned_in_place(total, x):
    whole = x.repeat(2, 1)
    other = whole.detach()
    whole.t_()
    total.add_(other[0])


def asks_for_a_number(total, x):
    total.add_(x.sum().item() / 3)


def writes_elsewhere(total, x):
    OUTSIDE.zero_()
    total.add_(x)


def draws_from_the_global_generator(total, x):
    total.add_(torch.bernoulli(x * 0 + 0.5))


def attends(total, x):
    """Of what torch says that it draws: where it drops nothing it does not."""
    heads = x.expand(1, 1, 2, 3)
    total.add_(torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)[0, 0, 0])


OBSTACLES = {
    through_numpy: "a tensor in it comes of an operation that is not seen",
    turned_in_place: "it calls aten.t_.default",
    asks_for_a_number: "it asks a tensor for a float",
    writes_elsewhere: "aten.zero_.default writes into a tensor that was there before",
    draws_from_the_global_generator: "aten.bernoulli.default draws from torch's global generator",
    attends: "",
}


@pytest.mark.parametrize("step", OBSTACLES)
def test_what_cannot_be_recorded_is_told(step):
    total, x = torch.zeros(3), torch.ones(3)
    recorder = Recorder([x], [total], lambda: None)
    with recorder:
        step(total, x)
    assert recorder.obstacle == OBSTACLES[step]


def test_what_cannot_be_recorded_runs_as_it_is_written():
    assert torch.equal(done(through_numpy, replayed=0), torch.full((3,), 380.0))


def test_a_step_that_raises_leaves_what_was_before():
    total, x = torch.zeros(3), torch.ones(3)
    replays = replays_of(total)

    def step(x):
        total.add_(x)
        if replays._seen["step"] > PLAIN_BATCHES:
            raise ValueError("no more")

    for _ in range(PLAIN_BATCHES):
        replays.do("step", step, [x], scratch=[])
    with pytest.raises(ValueError, match="no more"):
        replays.do("step", step, [x], scratch=[])
    assert torch.equal(total, torch.full((3,), PLAIN_BATCHES + 1.0))  # as if it had not been tried before


def test_a_draw_of_which_nothing_depends_moves_its_generator_all_the_same():
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]

    def step(generator):
        def drawn(total, x):
            torch.empty(5).uniform_(generator=generator)
            total.add_(torch.empty(3).uniform_(generator=generator) * x)

        return drawn

    found = done(step(generators[0]), replayed=20 - PLAIN_BATCHES - 2, generator=generators[0])
    expected = torch.zeros(3)
    for number in range(20):
        step(generators[1])(expected, torch.full((3,), float(number)))
    assert torch.equal(found, expected)


def test_a_large_stack_is_not_copied_to_be_compared():
    total = torch.empty(MOST_BYTES // 4 + 1)  # of which nothing is touched
    replays = replays_of(total)
    for _ in range(20):
        replays.do("step", lambda x: total[:3].add_(x), [torch.ones(3)], scratch=[])
    assert replays.replayed == 0


def test_trials_that_change_are_recorded_anew():
    total, factor = torch.zeros(3), [1.0]
    replays = replays_of(total)
    for number in range(40):
        if number == 20:
            factor[0] = 2.0
            replays.forget([])
        replays.do("step", lambda x: total.add_(x * factor[0]), [torch.ones(3)], scratch=[])
    assert torch.equal(total, torch.full((3,), 60.0))
    assert replays.replayed == 2 * (20 - PLAIN_BATCHES - 2)
