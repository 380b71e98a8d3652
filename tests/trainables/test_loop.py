import copy
import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tests.trainables.conftest import CPU
from tests.trainables.lanes.cases import in_views
from trainables import checkpoint, device_data
from trainables.config import OPTIMIZERS, SCHEDULES, MlpConfig
from trainables.device_data import DeviceData, batch_bounds
from trainables.errors import CheckpointError
from trainables.loop import TrainingRun, fit
from trainables.models import Mlp, l1_norm
from trainables.optimizers import build_optimizer
from trainables.seeding import generator

SEED = 11

BUSY = {
    "dropout": 0.3,
    "batch_norm": True,
    "weight_decay": 1e-2,
    "l1_penalty": 1e-4,
    "step_size": 2,
    "plateau_patience": 0,
    "learning_rate": 0.02,
}
"""Everything that has a state is on."""


@pytest.fixture
def contrary(few_digits):
    """Digits whose validation labels are wrong: the better a model learns, the higher its validation loss."""
    return dataclasses.replace(few_digits, y_val=(few_digits.y_val + 1) % 10)


def start(data, *, seed=SEED, max_epochs=6, **values):
    return TrainingRun(MlpConfig(max_epochs=max_epochs, **values), data, seed=seed, device=CPU)


def facts(report):
    """Return all of a report that a rerun must repeat bit for bit."""
    return report.epoch, dict(report.metrics), report.stop


def curve(run):
    return [facts(report) for report in fit(run)]


def same(a, b):
    """Compare two states bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_the_loop_learns_the_digits(digits):
    reports = list(fit(start(digits, max_epochs=10)))
    assert len(reports) == 10
    assert reports[-1].metrics["val_accuracy"] > 0.9  # 0.944 with this seed; guessing gives 0.1
    assert reports[-1].metrics["val_loss"] < 0.5 < reports[0].metrics["val_loss"]
    losses = [r.metrics["train_loss"] for r in reports]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_loop_gives_the_curve_of_a_textbook_loop(few_digits, optimizer):
    values = {"hidden": (32, 16), "optimizer": optimizer, "learning_rate": 0.01, "weight_decay": 0.1}
    run = start(few_digits, batch_norm=True, activation="tanh", **values)
    model = nn.Sequential(
        nn.Linear(64, 32, bias=False),
        nn.BatchNorm1d(32),
        nn.Tanh(),
        nn.Linear(32, 16, bias=False),
        nn.BatchNorm1d(16),
        nn.Tanh(),
        nn.Linear(16, 10),
    )
    for mine, theirs in zip(model.parameters(), run.model.parameters(), strict=True):
        mine.data.copy_(theirs)
    if optimizer == "adamw":
        steps = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    else:
        steps = torch.optim.SGD(model.parameters(), lr=0.01, weight_decay=0.1, momentum=0.9)
    shuffle = generator(SEED, "shuffle")
    for report in itertools.islice(fit(run), 3):
        model.train()
        order = torch.randperm(193, generator=shuffle)
        for batch in (order[:64], order[64:128], order[128:]):
            steps.zero_grad()
            F.cross_entropy(model(few_digits.x_train[batch].flatten(1)), few_digits.y_train[batch]).backward()
            steps.step()
        model.eval()
        logits = model(few_digits.x_val.flatten(1))
        expected = F.cross_entropy(logits, few_digits.y_val).item()
        # The same operations on the same numbers; the mean over examples is summed in another order (float32).
        assert report.metrics["val_loss"] == pytest.approx(expected, rel=1e-6)
        assert report.metrics["val_accuracy"] == logits.argmax(1).eq(few_digits.y_val).sum().item() / 359


def test_the_same_seed_gives_the_same_curve_bit_for_bit(few_digits):
    torch.manual_seed(1)
    first = curve(start(few_digits, **BUSY))
    torch.manual_seed(2)
    assert curve(start(few_digits, **BUSY)) == first


def test_another_seed_gives_another_curve(few_digits):
    one, other = curve(start(few_digits)), curve(start(few_digits, seed=SEED + 1))
    assert all(a[1]["val_loss"] != b[1]["val_loss"] for a, b in zip(one, other, strict=True))


def test_a_curve_does_not_notice_its_neighbours(few_digits):
    alone = curve(start(few_digits, **BUSY))
    run, neighbour = start(few_digits, **BUSY), start(few_digits, seed=99, **{**BUSY, "dropout": 0.6})
    together = []
    for _ in range(6):
        neighbour.step()
        together.append(facts(run.step()))
        torch.rand(3)
    assert together == alone


def test_dropout_changes_neither_the_order_of_examples_nor_the_weights(few_digits):
    plain, dropping = start(few_digits), start(few_digits, dropout=0.5)
    assert same(plain.model.state_dict(), dropping.model.state_dict())
    for _ in range(3):
        a, b = plain.step(), dropping.step()
        assert a.metrics["train_loss"] != b.metrics["train_loss"]
        assert torch.equal(plain.shuffle.get_state(), dropping.shuffle.get_state())


@pytest.mark.parametrize("max_epochs", [1, 4])
def test_a_run_ends_at_max_epochs(few_digits, max_epochs):
    reports = list(fit(start(few_digits, max_epochs=max_epochs)))
    assert [r.epoch for r in reports] == list(range(1, max_epochs + 1))
    assert [r.stop for r in reports] == [None] * (max_epochs - 1) + ["max_epochs"]


def test_a_run_ends_when_its_patience_is_used_up(few_digits):
    # No epoch gains 100 on the one before, so the first stays the best.
    reports = list(fit(start(few_digits, patience=2, min_delta=100.0)))
    assert [r.stop for r in reports] == [None, None, "patience"]


def test_the_last_epoch_ends_at_the_horizon_even_if_patience_ends_too(few_digits):
    reports = list(fit(start(few_digits, max_epochs=3, patience=2, min_delta=100.0)))
    assert [r.stop for r in reports] == [None, None, "max_epochs"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_loss_that_is_not_finite_ends_it_as_diverged(few_digits, schedule):
    run = start(few_digits, optimizer="sgd", learning_rate=1e20, schedule=schedule, patience=1)
    reports = list(fit(run))
    assert reports[-1].stop == "diverged"
    assert not math.isfinite(reports[-1].metrics["train_loss"]) or not math.isfinite(reports[-1].metrics["val_loss"])
    assert all(math.isfinite(r.metrics["val_loss"]) for r in reports[:-1])


def test_divergence_in_the_last_epoch_is_divergence(few_digits):
    (report,) = fit(start(few_digits, optimizer="sgd", learning_rate=1e20, max_epochs=1))
    assert report.stop == "diverged"


@given(st.integers(1, 500), st.integers(1, 100))
def test_batches_cover_every_example_once_and_none_is_alone(n, batch_size):
    bounds = batch_bounds(n, batch_size)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(n))
    sizes = [stop - start for start, stop in bounds]
    assert all(size == batch_size for size in sizes[:-1])
    assert 1 <= sizes[-1] <= batch_size + 1
    if batch_size > 1 and n > 1:
        assert sizes[-1] > 1
    if n % batch_size != 1 or batch_size == 1 or n == 1:
        assert batch_size == 1 or sizes[-1] == (n % batch_size or batch_size)
    else:
        assert sizes[-1] == batch_size + 1


def test_a_last_single_example_joins_the_batch_before():
    assert batch_bounds(193, 64) == [(0, 64), (64, 128), (128, 193)]
    assert batch_bounds(194, 64) == [(0, 64), (64, 128), (128, 192), (192, 194)]
    assert batch_bounds(1, 64) == [(0, 1)]


def test_batch_norm_trains_where_one_example_is_left_over(few_digits):
    assert len(few_digits.x_train) % 64 == 1
    assert math.isfinite(start(few_digits, batch_norm=True).step().metrics["train_loss"])


def test_the_rate_reported_is_the_one_the_epoch_was_trained_with(few_digits):
    run = start(few_digits, max_epochs=4, learning_rate=0.01, schedule="step", step_size=1, step_gamma=0.5)
    assert [r.metrics["lr"] for r in fit(run)] == pytest.approx([0.01, 0.005, 0.0025, 0.00125], rel=1e-12)  # float64


def test_the_plateau_schedule_watches_the_validation_loss(few_digits, contrary):
    values = {"schedule": "plateau", "plateau_patience": 0, "learning_rate": 0.01, "max_epochs": 4}
    good, bad = (list(fit(start(data, **values))) for data in (few_digits, contrary))
    assert [r.metrics["lr"] for r in good] == [0.01] * 4
    assert [r.metrics["lr"] for r in bad] == pytest.approx([0.01, 0.01, 0.005, 0.0025], rel=1e-12)  # float64
    assert [r.metrics["train_loss"] for r in good][:2] == [r.metrics["train_loss"] for r in bad][:2]


def test_the_training_loss_is_the_mean_over_examples_without_the_penalty(few_digits):
    still = {"learning_rate": 0.0, "max_epochs": 1}
    (plain,) = fit(start(few_digits, **still))
    (penalised,) = fit(start(few_digits, l1_penalty=1.0, **still))
    assert plain.metrics == penalised.metrics
    model = start(few_digits).model.eval()
    expected = F.cross_entropy(model(few_digits.x_train), few_digits.y_train).item()
    assert plain.metrics["train_loss"] == pytest.approx(expected, rel=1e-5)  # float32, 3 partial sums


def test_the_l1_penalty_pulls_weights_but_not_biases_towards_zero(few_digits):
    plain, penalised = start(few_digits, learning_rate=0.01), start(few_digits, learning_rate=0.01, l1_penalty=0.05)
    for run in (plain, penalised):
        list(fit(run))
    assert l1_norm(penalised.model) < 0.5 * l1_norm(plain.model)
    gradient = torch.autograd.grad(l1_norm(plain.model), list(plain.model.parameters()), allow_unused=True)
    assert [g is not None for g in gradient] == [True, False] * 3
    assert all(g is None or set(g.unique().tolist()) <= {-1.0, 0.0, 1.0} for g in gradient)


def test_weight_decay_shrinks_weights(few_digits):
    still = {"optimizer": "adamw", "learning_rate": 0.01}
    plain, decayed = start(few_digits, **still), start(few_digits, weight_decay=10.0, **still)
    for run in (plain, decayed):
        list(fit(run))
    assert l1_norm(decayed.model) < 0.5 * l1_norm(plain.model)


def test_evaluating_changes_nothing_and_does_not_depend_on_its_batches(few_digits, monkeypatch):
    run = start(few_digits, **BUSY)
    run.step()
    before = copy.deepcopy(run.state_dict())
    whole = run.evaluate()
    assert same(before, run.state_dict())
    monkeypatch.setattr(device_data, "VALIDATION_BATCH", 100)
    small = run.evaluate()
    # a product of another size may round differently (float32)
    assert small["val_loss"] == pytest.approx(whole["val_loss"], rel=1e-5)
    assert small["val_accuracy"] == whole["val_accuracy"]


def test_the_loop_trains_on_images():
    x, y = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
    run = start(DeviceData(x, y, x, y, outputs=2))
    assert run.data.features == 64
    assert math.isfinite(run.step().metrics["val_loss"])


def test_the_loop_trains_on_uint8_pixels_if_the_model_converts_them():
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randint(256, (20, 1, 8, 8), generator=rng, dtype=torch.uint8), torch.arange(20) % 2

    class Converting(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 2)

        def forward(self, pixels):
            assert pixels.dtype == torch.uint8
            return self.linear(pixels.flatten(1).float() / 255)

    data, config = DeviceData(x, y, x, y, outputs=2), MlpConfig(max_epochs=1)
    report = TrainingRun(config, data, seed=SEED, device=CPU, model=Converting()).step()
    assert math.isfinite(report.metrics["val_loss"])


@pytest.mark.parametrize(("features", "at_once"), [(64, 8192), (784, 8192), (3 * 64 * 64, 682), (3 * 224 * 224, 64)])
def test_large_examples_are_validated_a_few_at_a_time(features, at_once):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.sizes = []

        def forward(self, x):
            self.sizes.append(len(x))
            return x[:, :2] * self.scale

    x, y = torch.zeros(1, features).expand(9000, features), torch.arange(9000) % 2
    data, model = DeviceData(x[:4], y[:4], x, y, outputs=2), Counting()
    TrainingRun(MlpConfig(max_epochs=1), data, seed=SEED, device=CPU, model=model).evaluate()
    assert model.sizes[0] == at_once and sum(model.sizes) == 9000


def test_an_epoch_trains_on_one_view_of_every_example(few_digits):
    """Each epoch is that of a run on the view alone, from where the run was."""
    data = in_views(few_digits, 3)
    run = start(data, **BUSY)
    for epoch in range(5):
        alone = start(dataclasses.replace(few_digits, x_train=few_digits.x_train.roll(epoch % 3, -1)), **BUSY)
        alone.load_state_dict(copy.deepcopy(run.state_dict()))
        assert facts(run.step()) == facts(alone.step())


def test_views_that_are_not_of_every_example_are_refused(few_digits):
    with pytest.raises(ValueError, match="x_train must hold 2 views of 193 examples, got 193 rows"):
        dataclasses.replace(few_digits, views=2)


def test_labels_are_smoothed_in_training_alone(few_digits):
    smooth, plain = (start(few_digits, label_smoothing=s, learning_rate=0.0) for s in (0.2, 0.0))
    trained = start(few_digits, learning_rate=0.02)
    list(fit(trained))
    for run in (smooth, plain):
        run.model.load_state_dict(trained.model.state_dict())
    x, y = few_digits.x_train, few_digits.y_train
    expected = F.cross_entropy(smooth.model(x), y, label_smoothing=0.2).item()
    found, other = smooth.step().metrics, plain.step().metrics
    assert found["train_loss"] == pytest.approx(expected, rel=1e-5)  # float32, another order of sums
    assert found["val_loss"] == other["val_loss"]
    assert found["train_loss"] > 1.5 * other["train_loss"], "a model that is sure of itself pays for it"


FACTORS = (1.0, 0.25, 0.0)


def in_groups(data, *, seed=SEED, factors=FACTORS, **values):
    """Return a run with a group of parameters for each layer, output side first."""
    config = MlpConfig(max_epochs=6, **{"hidden": (24, 16), **values})
    model = Mlp(config, data.features, data.outputs, seed=seed, device=CPU)
    layers = [layer for layer in model.layers if list(layer.parameters())]
    groups = [{"params": list(layer.parameters()), "factor": f} for layer, f in zip(layers[::-1], factors, strict=True)]
    optimizer = build_optimizer(groups, config)
    return TrainingRun(config, data, seed=seed, device=CPU, model=model, optimizer=optimizer)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_groups_of_parameters_share_a_schedule(contrary, schedule):
    values = {"schedule": schedule, "step_size": 2, "plateau_patience": 0, "learning_rate": 0.02}
    run, plain = in_groups(contrary, **values), start(contrary, **values)
    still = [p.clone() for p in run.optimizer.param_groups[2]["params"]]
    found, expected = [], []
    for _ in range(6):
        rates = [group["lr"] for group in run.optimizer.param_groups]
        assert rates == [factor * rates[0] for factor in FACTORS]
        found.append(run.step().metrics["lr"])
        expected.append(plain.step().metrics["lr"])
    if schedule != "plateau":  # which looks at losses
        assert found == expected
    assert (len(set(found)) > 1) == (schedule != "none")
    moved = [not torch.equal(a, b) for a, b in zip(still, run.optimizer.param_groups[2]["params"], strict=True)]
    assert moved == [False, False], "at a rate of 0"


def test_groups_whose_factors_are_one_are_no_groups(contrary):
    values = {"schedule": "plateau", "plateau_patience": 0, "learning_rate": 0.02, "hidden": (24, 16)}
    assert curve(in_groups(contrary, factors=(1.0, 1.0, 1.0), **values)) == curve(start(contrary, **values))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(contrary, tmp_path, schedule, optimizer):
    values = {**BUSY, "schedule": schedule, "optimizer": optimizer, "patience": 5}
    whole = start(contrary, **values)
    expected = curve(whole)
    assert len(expected) == 6
    changed = len({metrics["lr"] for _, metrics, _ in expected[3:]}) > 1
    assert changed == (schedule != "none")  # else the schedule's state would not be put to the test

    first = start(contrary, **values)
    before = [facts(first.step()) for _ in range(3)]
    checkpoint.save(first.state_dict(), tmp_path / "trial.pt")
    resumed = start(contrary, **values)
    resumed.load_state_dict(checkpoint.load(tmp_path / "trial.pt"))
    after = curve(resumed)

    assert before + after == expected
    assert same(resumed.state_dict(), whole.state_dict())


def test_a_run_with_groups_of_parameters_resumes_bit_for_bit(contrary, tmp_path):
    values = {"schedule": "warmup_cosine", "learning_rate": 0.02, "weight_decay": 1e-2}
    whole = in_groups(contrary, **values)
    expected = curve(whole)
    first = in_groups(contrary, **values)
    before = [facts(first.step()) for _ in range(3)]
    checkpoint.save(first.state_dict(), tmp_path / "trial.pt")
    saved = checkpoint.load(tmp_path / "trial.pt")
    resumed = in_groups(contrary, **values)
    resumed.load_state_dict(saved)
    assert before + curve(resumed) == expected
    assert same(resumed.state_dict(), whole.state_dict())
    with pytest.raises(CheckpointError, match="state/optimizer/param_groups does not fit"):
        start(contrary, hidden=(24, 16), **values).load_state_dict(saved)
    # the last layer's moments are the optimiser's first; those of another shape are no moments of its
    saved["optimizer"]["state"][0] = saved["optimizer"]["state"][4]
    with pytest.raises(CheckpointError, match="state/optimizer/state/0/exp_avg: size mismatch"):
        in_groups(contrary, **values).load_state_dict(saved)


@pytest.mark.parametrize("end", ["patience", "max_epochs"])
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(few_digits, tmp_path, end):
    values = {"patience": 4 if end == "patience" else 0, "min_delta": 100.0}
    first, resumed = start(few_digits, **values), start(few_digits, **values)
    for _ in range(3):
        first.step()
    checkpoint.save(first.state_dict(), tmp_path / "trial.pt")
    resumed.load_state_dict(checkpoint.load(tmp_path / "trial.pt"))
    assert [stop for _, _, stop in curve(resumed)] == ([None, end] if end == "patience" else [None, None, end])


SAVED = ["epoch", "model", "optimizer", "schedule", "early_stopping", "shuffle", "dropout"]


def test_the_state_of_a_run_has_these_items(few_digits):
    assert list(start(few_digits).state_dict()) == SAVED


def test_a_state_of_another_shape_is_refused(few_digits):
    saved = start(few_digits, hidden=(32,)).state_dict()
    with pytest.raises(RuntimeError, match="size mismatch"):
        start(few_digits, hidden=(16,)).load_state_dict(saved)
