"""A run that is stopped at epoch 3 of 6 and resumed is the run that never stopped, and needs all that was saved."""

import copy
import dataclasses
import math
from itertools import product

import pytest
import torch

from tests.trainables.lanes.cases import CPU, digits, stacked
from trainables import checkpoint
from trainables.config import OPTIMIZERS, SCHEDULES, MlpConfig
from trainables.errors import CheckpointError
from trainables.loop import TrainingRun

SEED = 11
STOP_AT = 3


def contrary():
    """Digits whose validation labels are wrong: the better a model learns, the sooner a plateau is reached."""
    data = digits()
    return dataclasses.replace(data, y_val=(data.y_val + 1) % 10)


def busy(**values):
    """A configuration in which everything that has a state is on."""
    rates = {"sgd": 0.1, "adamw": 0.02}
    settings = {
        "max_epochs": 6,
        "hidden": (24, 16),
        "dropout": 0.3,
        "input_dropout": 0.1,
        "label_smoothing": 0.1,
        "batch_norm": True,
        "weight_decay": 1e-2,
        "l1_penalty": 1e-4,
        "learning_rate": rates[values.get("optimizer", "adamw")],
        "step_size": 2,
        "plateau_patience": 0,
        "patience": 5,
    }
    return MlpConfig(**{**settings, **values})


CONFIGS = {
    f"{optimizer}-{schedule}-{'norm' if norm else 'plain'}": busy(
        optimizer=optimizer, schedule=schedule, batch_norm=norm
    )
    for optimizer, schedule, norm in product(OPTIMIZERS, SCHEDULES, (False, True))
}
CONFIGS["sgd-without-momentum"] = busy(optimizer="sgd", momentum=0.0, schedule="step")


class Loop:
    """A trial in the plain loop."""

    def __init__(self, config, state=None):
        self._run = TrainingRun(config, contrary(), seed=SEED, device=CPU)
        if state is not None:
            self._run.load_state_dict(state)
        self.state, self.step = self._run.state_dict, self._run.step


class Lane:
    """A trial in a stack, beside one that never ends."""

    def __init__(self, config, state=None):
        self._worker = stacked(contrary(), 3)
        self._worker.seat(1, dataclasses.replace(config, max_epochs=1000, patience=0), seed=1)
        self.state = self._worker.seat(0, config, seed=SEED, state=state).state

    def step(self):
        event = self._worker.advance()[0]
        if event.error is not None:
            raise event.error
        return event.report


BODIES = {"loop": Loop, "lane": Lane}


def train(trial, epochs=None):
    """Train ``epochs`` epochs, or to the end; return what was reported, without the times."""
    told = []
    while epochs is None or len(told) < epochs:
        report = trial.step()
        told.append((report.epoch, dict(report.metrics), report.stop))
        if report.stop is not None:
            break
    return told


def through_a_file(state, tmp_path):
    checkpoint.save(state, tmp_path / "trial.pt")
    return checkpoint.load(tmp_path / "trial.pt")


def leaves(state, path=()):
    """Yield (path, value) of each number, text, tensor or pair inside."""
    if isinstance(state, dict):
        for key, value in state.items():
            yield from leaves(value, (*path, key))
    elif isinstance(state, list):
        for i, value in enumerate(state):
            yield from leaves(value, (*path, i))
    else:
        yield path, state


def same(a, b):
    """Compare two states or values bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict | list):
        first, second = list(leaves(a)), list(leaves(b))
        return [p for p, _ in first] == [p for p, _ in second] and all(
            same(x, y) for (_, x), (_, y) in zip(first, second, strict=True)
        )
    return type(a) is type(b) and (a == b or a != a and b != b)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_resumed_trial_is_the_uninterrupted_one_bit_for_bit(config, body, tmp_path):
    whole, first = BODIES[body](config), BODIES[body](config)
    expected = train(whole)
    assert len(expected) == 6
    rates = {metrics["lr"] for _, metrics, _ in expected[STOP_AT:]}
    assert (len(rates) > 1) == (config.schedule != "none")  # else the schedule's state is not put to the test

    before = train(first, STOP_AT)
    resumed = BODIES[body](config, through_a_file(first.state(), tmp_path))
    assert before + train(resumed) == expected
    assert same(resumed.state(), whole.state())


@pytest.mark.parametrize(("first", "second"), [("loop", "lane"), ("lane", "loop")])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_trial_stops_in_one_body_and_goes_on_in_the_other(config, first, second, tmp_path):
    whole, begun = Loop(config), BODIES[first](config)
    expected = train(whole)
    told = train(begun, STOP_AT)
    resumed = BODIES[second](config, through_a_file(begun.state(), tmp_path))
    told += train(resumed)
    for (epoch, metrics, stop), (expected_epoch, expected_metrics, expected_stop) in zip(told, expected, strict=True):
        assert (epoch, metrics["lr"], stop) == (expected_epoch, expected_metrics["lr"], expected_stop)
        # float32 sums in another order, as in lanes/test_oracle.py
        assert metrics["val_loss"] == pytest.approx(expected_metrics["val_loss"], rel=1e-4)
    ours, theirs = dict(leaves(resumed.state())), dict(leaves(whole.state()))
    assert ours.keys() == theirs.keys()
    for path, value in theirs.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            # 24 steps of 1e-3 or more. AdamW divides a gradient by its own size, so that one which is rounding
            # alone moves a weight as well; the widest difference was 7e-7 with AVX-512, 1.3e-5 with AVX2
            torch.testing.assert_close(ours[path], value, rtol=0, atol=1e-4)
        elif isinstance(value, float):
            assert ours[path] == pytest.approx(value, rel=1e-4), path
        else:
            assert same(ours[path], value), path


ENDS_BY_PATIENCE = {"patience": 4, "min_delta": 100.0}  # the first epoch stays the best; ends one before the horizon

MUTATED = {
    "adamw-step": busy(schedule="step", **ENDS_BY_PATIENCE),
    "adamw-cosine": busy(schedule="cosine"),
    "sgd-plateau": busy(optimizer="sgd", schedule="plateau", batch_norm=False),
    "sgd-patient-plateau": busy(optimizer="sgd", schedule="plateau", plateau_patience=2),
}

BOOKKEEPING = {
    "loop": {
        # What torch keeps for its own warnings and for those who ask: it is in the state at the end, and nowhere else.
        "schedule/_step_count": "counts calls",
        "schedule/last_epoch of plateau": "counts calls: a plateau looks at losses",
        "model/num_batches_tracked": "batch norm averages with a fixed momentum",
        "schedule/_last_lr": "computed anew by the next step",
    },
}
BOOKKEEPING["lane"] = {
    **BOOKKEEPING["loop"],
    "optimizer/state/step": "a lane counts its steps by its epochs",
}


def name_of(path, config):
    """Return what an item is, whichever layer, parameter or stream it belongs to."""
    words = [str(part) for part in path if not isinstance(part, int)]
    if words[0] == "model":
        words = ["model", words[1].rpartition(".")[2]]
    name = "/".join(words)
    return f"{name} of plateau" if name == "schedule/last_epoch" and config.schedule == "plateau" else name


def with_item(state, path, value):
    """Return a copy of ``state`` in which one item is ``value``."""
    changed = copy.deepcopy(state)
    parent = changed
    for part in path[:-1]:
        parent = parent[part]
    parent[path[-1]] = value
    return changed


def without_item(state, path):
    """Return a copy of ``state`` in which one item is missing."""
    changed = copy.deepcopy(state)
    parent = changed
    for part in path[:-1]:
        parent = parent[part]
    del parent[path[-1]]
    return changed


def interrupted(config, body):
    """Return the state at epoch 3, that of a fresh trial, and what is told to the end."""
    trial = BODIES[body](config)
    train(trial, STOP_AT)
    saved = copy.deepcopy(trial.state())
    told = train(trial)
    weights = copy.deepcopy(trial.state()["model"])
    return saved, copy.deepcopy(BODIES[body](config).state()), told, weights


def fresh_value(fresh, path, saved):
    """Return what a trial would have that had forgotten this item."""
    found = dict(leaves(fresh))
    return found.get(path, torch.zeros_like(saved) if isinstance(saved, torch.Tensor) else None)


def goes_on_unchanged(body, config, state, told, weights):
    """Say whether a trial that continues from ``state`` tells and learns the same."""
    try:
        trial = BODIES[body](config, state)
    except CheckpointError:
        return False
    if train(trial) != told:
        return False
    found = trial.state()["model"]
    return all(torch.equal(found[n], weights[n]) for n in weights if not n.endswith("num_batches_tracked"))


@pytest.mark.parametrize("body", BODIES)
def test_every_saved_item_that_is_forgotten_changes_the_trial(body):
    """Each is reset to what a fresh trial has: the weights or the reports differ, in one configuration at least."""
    matters, harmless = set(), set()
    for config in MUTATED.values():
        saved, fresh, told, weights = interrupted(config, body)
        for path, value in leaves(saved):
            reset = fresh_value(fresh, path, value)
            if same(reset, value):
                continue  # no state: every trial of this configuration is built with it
            unchanged = goes_on_unchanged(body, config, with_item(saved, path, reset), told, weights)
            (harmless if unchanged else matters).add(name_of(path, config))
    assert {
        *("epoch", "model/weight", "model/bias", "model/running_mean", "model/running_var"),
        *("optimizer/state/exp_avg", "optimizer/state/exp_avg_sq", "optimizer/state/momentum_buffer"),
        *("optimizer/param_groups/lr", "schedule/last_epoch", "schedule/best", "schedule/num_bad_epochs"),
        *("early_stopping/best", "early_stopping/waited", "shuffle", "dropout"),
    } <= matters
    assert harmless - matters == set(BOOKKEEPING[body])


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("config", MUTATED.values(), ids=MUTATED)
def test_a_state_without_one_of_its_items_is_refused(config, body):
    saved, _, _, _ = interrupted(config, body)
    paths = [path for path, _ in leaves(saved)]
    paths += {path[:n] for path in paths for n in range(1, len(path))}
    assert len(paths) > 60
    for path in paths:
        with pytest.raises(CheckpointError, match="does not fit"):
            BODIES[body](config, without_item(saved, path))


def wrong_values(value):
    """Return what must not pass for ``value``."""
    if isinstance(value, torch.Tensor):
        return [None, 1.5, torch.zeros(3, 5), value.to(torch.complex64) if value.dim() else value.bool()]
    return ["text", [value], {"a": value}, torch.ones(2)]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("config", MUTATED.values(), ids=MUTATED)
def test_a_state_with_an_item_of_another_kind_is_refused(config, body):
    saved, _, _, _ = interrupted(config, body)
    refused = 0
    for path, value in leaves(saved):
        if value is None or isinstance(value, str):
            continue  # torch's own switches
        for wrong in wrong_values(value):
            with pytest.raises(CheckpointError, match="does not fit|size mismatch"):
                BODIES[body](config, with_item(saved, path, wrong))
            refused += 1
    assert refused > 150


def test_nothing_is_taken_over_from_a_state_that_is_refused():
    config = MUTATED["adamw-step"]
    saved, fresh, _, _ = interrupted(config, "loop")
    run = TrainingRun(config, contrary(), seed=SEED, device=CPU)
    with pytest.raises(CheckpointError):
        run.load_state_dict(without_item(saved, ("dropout", 1)))
    assert same(run.state_dict(), fresh)


def test_losses_that_are_numbers_without_a_fraction_are_numbers():
    """A checkpoint of other hands may hold 1 where torch has 1.0."""
    config = busy(schedule="plateau")
    saved, _, _, _ = interrupted(config, "loop")
    assert math.isfinite(saved["schedule"]["best"])
    Loop(config, with_item(saved, ("schedule", "best"), 2))
