"""The convolutional network: its shapes, its weights, and the loop beside a textbook's."""

import copy
import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.trainables.conftest import CPU
from trainables import checkpoint
from trainables.config import OPTIMIZERS, CnnConfig
from trainables.loop import TrainingRun, fit
from trainables.models import Cnn, build_model, dropout_streams, feature_maps, l1_norm
from trainables.seeding import generator

SEED = 11
BUSY = {"dropout": 0.3, "batch_norm": True, "l1_penalty": 1e-4, "schedule": "plateau", "plateau_patience": 0}


def cnn(shape=(1, 8, 8), seed=0, **values):
    return build_model(CnnConfig(max_epochs=1, **values), shape, 10, seed=seed, device=CPU)


def start(data, **values):
    settings = {"max_epochs": 4, "channels": (4, 6), "hidden": (8,), **values}
    return TrainingRun(CnnConfig(**settings), data, seed=SEED, device=CPU)


def kinds(layers):
    return [type(layer).__name__ for layer in layers]


@pytest.mark.parametrize(
    ("size", "blocks", "sizes"),
    [
        ((8, 8), 2, [(8, 8), (4, 4), (2, 2)]),
        ((28, 28), 3, [(28, 28), (14, 14), (7, 7), (3, 3)]),
        ((3, 6), 3, [(3, 6), (1, 3), (1, 3), (1, 3)]),
        ((1, 9), 1, [(1, 9), (1, 9)]),
    ],
)
def test_images_are_halved_while_their_size_allows(size, blocks, sizes):
    assert feature_maps(size, blocks) == sizes
    model = cnn(shape=(2, *size), channels=(3,) * blocks)
    assert tuple(model.blocks(torch.zeros(1, 2, *size)).shape[2:]) == sizes[-1]


def test_a_block_is_convolution_norm_activation_dropout_maximum():
    model = cnn(channels=(4, 8), hidden=(16,), batch_norm=True)
    block = ["Conv2d", "BatchNorm2d", "ReLU", "Dropout", "MaxPool2d"]
    assert kinds(model.blocks) == [*block, *block]
    assert kinds(model.head) == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]
    plain = cnn(channels=(4,), hidden=())
    assert kinds(plain.blocks) == ["Conv2d", "ReLU", "Dropout", "MaxPool2d"]
    assert kinds(plain.head) == ["Linear"]


@pytest.mark.parametrize("global_pool", [False, True])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 20), (1, 1, 1)])
def test_logits_come_out_of_images_of_any_shape(shape, global_pool):
    model = cnn(shape, channels=(4, 6, 5), hidden=(7,), global_pool=global_pool).eval()
    images = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    assert model(images).shape == (5, 10)
    maps = math.prod(feature_maps(shape[1:], 3)[-1])
    assert model.head[0].in_features == (5 if global_pool else 5 * maps)


def test_a_global_pool_is_each_channels_mean():
    model = cnn(channels=(4,), hidden=(), global_pool=True).eval()
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    means = model.blocks(images).mean((2, 3))
    torch.testing.assert_close(model(images), model.head(means), rtol=1e-6, atol=1e-6)  # float32, sums of 16


def test_weights_are_those_that_torch_draws_by_itself():
    """The same generator, at the same place, layer by layer: bounds differ by rounding alone."""
    model = cnn((3, 8, 8), channels=(4, 6), hidden=(5,), seed=7)
    torch.manual_seed(generator(7, "weights").initial_seed())
    theirs = [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3), nn.Linear(24, 5), nn.Linear(5, 10)]
    mine = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.weight, b.weight, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(a.bias, b.bias, rtol=1e-6, atol=1e-7)


def test_weights_and_streams_depend_on_the_seed_alone():
    first, again, other = cnn(seed=1), cnn(seed=1, dropout=0.5), cnn(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    drawn = [stream.draw(64) for stream in dropout_streams(first)]
    assert len(drawn) == 3  # two blocks and a linear layer
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(drawn, 2))


def test_a_convolution_before_batch_norm_has_no_bias():
    layers = [m for m in cnn(batch_norm=True).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [layer.bias is None for layer in layers] == [True, True, True, False]


def test_the_penalty_covers_convolutions_and_linear_layers():
    model = cnn(channels=(4,), hidden=(5,), batch_norm=True)
    expected = sum(m.weight.abs().sum() for m in (model.blocks[0], model.head[0], model.head[-1]))
    torch.testing.assert_close(l1_norm(model), expected, rtol=1e-6, atol=0)  # float32, sums of a few hundred


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_loop_gives_a_cnn_the_curve_of_a_textbook_loop(few_digits, optimizer):
    run = start(few_digits, batch_norm=True, activation="gelu", optimizer=optimizer, learning_rate=0.01)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 8, bias=False),
        nn.BatchNorm1d(8),
        nn.GELU(),
        nn.Linear(8, 10),
    )
    for mine, theirs in zip(model.parameters(), run.model.parameters(), strict=True):
        mine.data.copy_(theirs)
    if optimizer == "adamw":
        steps = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    else:
        steps = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    shuffle = generator(SEED, "shuffle")
    for report in itertools.islice(fit(run), 3):
        model.train()
        order = torch.randperm(193, generator=shuffle)
        for batch in (order[:64], order[64:128], order[128:]):
            steps.zero_grad()
            F.cross_entropy(model(few_digits.x_train[batch]), few_digits.y_train[batch]).backward()
            steps.step()
        model.eval()
        expected = F.cross_entropy(model(few_digits.x_val), few_digits.y_val).item()
        # The same operations on the same numbers; the mean over examples is summed in another order (float32).
        assert report.metrics["val_loss"] == pytest.approx(expected, rel=1e-6)


def test_a_cnn_learns_the_digits(digits):
    reports = list(fit(start(digits, max_epochs=8, channels=(8, 16), hidden=(32,), learning_rate=3e-3)))
    assert reports[-1].metrics["val_accuracy"] > 0.9  # 0.933 with this seed; guessing gives 0.1


def test_the_same_seed_gives_the_same_curve_bit_for_bit(few_digits):
    torch.manual_seed(1)
    first = [dict(report.metrics) for report in fit(start(few_digits, **BUSY))]
    torch.manual_seed(2)
    assert [dict(report.metrics) for report in fit(start(few_digits, **BUSY))] == first


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_cnn_continues_from_a_checkpoint_bit_for_bit(few_digits, optimizer, tmp_path):
    whole, first = (start(few_digits, optimizer=optimizer, **BUSY) for _ in range(2))
    expected = [dict(report.metrics) for report in fit(whole)]
    found = [dict(first.step().metrics) for _ in range(2)]
    checkpoint.save(first.state_dict(), tmp_path / "trial.pt")
    second = start(few_digits, optimizer=optimizer, **BUSY)
    second.load_state_dict(copy.deepcopy(checkpoint.load(tmp_path / "trial.pt")))
    found += [dict(report.metrics) for report in fit(second)]
    assert found == expected
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True))
    assert isinstance(second.model, Cnn)


def test_the_parameters_of_a_cnn_are_counted(few_digits):
    run = start(replace(few_digits, extra_metrics=("parameters",)), batch_norm=True)
    counted = 4 * 9 + 2 * 4 + 6 * 4 * 9 + 2 * 6 + 24 * 8 + 2 * 8 + 8 * 10 + 10
    assert run.step().metrics["parameters"] == counted
