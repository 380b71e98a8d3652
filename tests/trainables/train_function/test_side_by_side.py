"""Training functions that say so train at the same time, and come to the curves that they have in turn."""

import random
import threading

import numpy as np
import pytest
import torch

from tests.trainables import train_functions
from tests.trainables.conftest import CPU
from trainables.lanes import LaneWorker
from trainables.train_function.config import FunctionConfig, FunctionData
from trainables.train_function.run import DREW, FunctionRun
from trainables.train_function.trainable import FunctionTrainable

MODULE = "tests.trainables.train_functions"
EPOCHS = 4


def side_by_side(function):
    function.side_by_side = True
    return function


def worker_of(function, *, threads=2):
    """Return lanes of a worker, as a search makes them, and the runs that it has started."""
    runs = []

    def start(config, data, *, seed, device):
        runs.append(FunctionRun("mine:train", function, config, data, seed=seed, device=device))
        return runs[-1]

    trainable = FunctionTrainable(f"{MODULE}:trains_side_by_side")
    data = FunctionData(None, ("val_loss",))
    how = {"device": CPU, "lanes": 4, "mode": "looped", "start": start, "threads": threads}
    return LaneWorker(data, side_by_side=trainable.is_thread_safe, **how), runs


def curves(function, seeds, *, threads=2, states=None, epochs=EPOCHS):
    """Return each trial's losses, and the notices of all."""
    worker, runs = worker_of(function, threads=threads)
    seats = []
    for number, seed in enumerate(seeds):
        state = None if states is None else states[number]
        config = FunctionConfig({"learning_rate": 0.1}, EPOCHS)
        seats.append(worker.seat(number, config, seed=seed, state=state))
    found = {number: [] for number in range(len(seeds))}
    for _ in range(epochs):
        for number, event in worker.advance().items():
            assert event.report is not None, event.trace
            found[number].append(event.report.metrics["val_loss"])
    saved = [seat.state() for seat in seats]
    notices = [notice for run in runs for notice in run.take_notices() if notice.kind == DREW]
    for seat in seats:
        seat.retire()
    worker.close()
    return found, saved, notices


def test_two_trials_are_in_the_function_at_the_same_time():
    together = threading.Barrier(2)

    @side_by_side
    def waits_for_the_other(trial):
        for epoch in trial.epochs():
            together.wait(timeout=20)  # breaks where they train in turn
            trial.report(val_loss=epoch)

    assert curves(waits_for_the_other, [1, 2])[0] == {0: [1, 2, 3, 4], 1: [1, 2, 3, 4]}


def test_the_curves_are_those_in_turn():
    function = train_functions.trains_side_by_side
    together, _, notices = curves(function, [1, 2, 3, 4])
    assert notices == []
    assert together == curves(function, [1, 2, 3, 4], threads=1)[0]
    assert together[2] == curves(function, [3])[0][0]
    assert len({losses[0] for losses in together.values()}) == 4, "each has initial weights of its own"


def test_a_trial_goes_on_from_its_checkpoint_bit_for_bit():
    function = train_functions.trains_side_by_side
    undisturbed, *_ = curves(function, [1, 2])
    before, saved, _ = curves(function, [1, 2], epochs=2)
    after, *_ = curves(function, [1, 2], states=saved, epochs=2)
    assert {number: before[number] + after[number] for number in before} == undisturbed


def test_a_function_has_the_global_generators_alone_until_its_epochs_begin():
    @side_by_side
    def draws_at_its_beginning(trial):
        drawn = []
        for _ in range(50):
            drawn.append(torch.rand(1).item() + np.random.rand() + random.random())
            threading.Event().wait(0.0002)  # lets the others at the generators, if they can
        for _epoch in trial.epochs():
            trial.report(val_loss=sum(drawn))

    together, *_ = curves(draws_at_its_beginning, [1, 2, 3, 4], threads=4)
    assert together == curves(draws_at_its_beginning, [1, 2, 3, 4], threads=1)[0]


@pytest.mark.parametrize(
    ("draw", "whose"), [(lambda: torch.rand(1), "torch"), (np.random.rand, "NumPy"), (random.random, "random")]
)
def test_a_draw_from_a_generator_that_all_share_is_said_once(draw, whose):
    @side_by_side
    def draws(trial):
        for epoch in trial.epochs():
            draw()
            trial.report(val_loss=epoch)

    _, _, notices = curves(draws, [1, 2, 3])
    (notice,) = notices
    assert (notice.names, notice.warning) == ((whose,), True)
    assert f"drew from the global generator of {whose}, which all trials share: its curves do not rep" in notice.text


def test_the_global_generators_stay_as_they_were():
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    curves(train_functions.trains_side_by_side, [1, 2])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]


def test_a_function_that_raises_at_its_beginning_keeps_no_other_from_its_own():
    @side_by_side
    def one_raises(trial):
        if trial.seed == 1:
            raise ValueError("no")
        for epoch in trial.epochs():
            trial.report(val_loss=epoch)

    worker, _ = worker_of(one_raises, threads=1)
    for number, seed in enumerate([1, 2]):
        worker.seat(number, FunctionConfig({}, EPOCHS), seed=seed)
    events = worker.advance()
    worker.close()
    assert [str(events[0].error), events[1].report.epoch] == ["no", 1]


def test_what_is_no_yes_or_no_is_refused(monkeypatch):
    monkeypatch.setattr(train_functions.trains_side_by_side, "side_by_side", 2)
    (line,) = FunctionTrainable(f"{MODULE}:trains_side_by_side").import_mistakes()
    assert line.endswith("trains_side_by_side has side_by_side = 2; expected True or False")
