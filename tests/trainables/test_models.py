import math

import pytest
import torch
from torch import nn

from tests.trainables.conftest import CPU
from trainables.config import ACTIVATIONS, MlpConfig
from trainables.derive import derive
from trainables.models import ACTIVATION_LAYERS, Dropout, Mlp, dropout_streams, penalised_weights
from trainables.seeding import BitStream, keep_scale, threshold


def mlp(seed=0, **values):
    return Mlp(MlpConfig(max_epochs=1, **values), 64, 10, seed=seed, device=CPU)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def weights(model):
    return [layer.weight for layer in model.layers if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_its_layer(activation):
    model = mlp(activation=activation, hidden=(16,))
    assert isinstance(model.layers[1], ACTIVATION_LAYERS[activation])
    assert type(model.layers[1]).__name__.lower() == activation


def test_no_activation_layer_is_unreachable():
    assert set(ACTIVATION_LAYERS) == set(ACTIVATIONS)


def test_each_hidden_layer_is_linear_norm_activation_dropout():
    one = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert kinds(mlp(hidden=(32, 16), batch_norm=True)) == [*one, *one, "Linear"]
    assert kinds(mlp(hidden=(32,))) == ["Linear", "ReLU", "Dropout", "Linear"]
    assert kinds(mlp(hidden=())) == ["Linear"]
    assert [tuple(w.shape) for w in weights(mlp(hidden=(32, 16)))] == [(32, 64), (16, 32), (10, 16)]


def test_images_are_flattened_and_logits_come_out():
    model = mlp().eval()
    images = torch.rand(7, 8, 8, generator=torch.Generator().manual_seed(0))
    logits = model(images)
    assert logits.shape == (7, 10)
    assert torch.equal(logits, model(images.flatten(1)))
    assert not torch.allclose(logits.exp().sum(1), torch.ones(7))  # logits, not probabilities


def test_initial_weights_depend_on_the_seed_alone():
    first, again, other = mlp(seed=1), mlp(seed=1), mlp(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_weights_do_not_notice_dropout_activation_or_the_global_generator():
    torch.manual_seed(1)
    plain = weights(mlp(seed=3))
    torch.manual_seed(2)
    rich = weights(mlp(seed=3, dropout=0.5, activation="gelu"))
    assert all(torch.equal(a, b) for a, b in zip(plain, rich, strict=True))


def test_batch_norm_replaces_the_bias_of_the_layer_before_it():
    linear = [layer for layer in mlp(hidden=(32, 16), batch_norm=True).layers if isinstance(layer, nn.Linear)]
    assert [layer.bias is None for layer in linear] == [True, True, False]
    assert all(layer.bias is not None for layer in mlp().layers if isinstance(layer, nn.Linear))


def test_weights_are_spread_as_nn_linear_spreads_them():
    model = mlp(hidden=(256, 128), seed=7)
    for layer in (layer for layer in model.layers if isinstance(layer, nn.Linear)):
        bound = 1 / math.sqrt(layer.in_features)
        drawn = layer.weight.detach()
        assert drawn.abs().max() <= bound
        assert layer.bias.detach().abs().max() <= bound
        # A uniform's deviation is bound / sqrt(3); 5 standard errors of it, about deviation / sqrt(1.25 n) each.
        deviation = bound / math.sqrt(3)
        assert abs(drawn.std() - deviation) < 5 * deviation / math.sqrt(1.25 * drawn.numel())


def test_dropout_in_evaluation_and_at_rate_zero_is_the_identity_and_draws_nothing():
    x = torch.rand(4, 8)
    for layer in (Dropout(0.5, stream=BitStream(1, CPU)).eval(), Dropout(0.0, stream=BitStream(1, CPU)).train()):
        before = layer.stream.get_state()
        assert torch.equal(layer(x), x)
        assert torch.equal(layer.stream.get_state(), before)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.6])
def test_dropout_drops_at_its_rate_and_keeps_the_expectation(rate):
    layer = Dropout(rate, stream=BitStream(1, CPU)).train()
    n = 200_000
    out = layer(torch.ones(n))
    dropped = (out == 0).float().mean().item()
    # 5 standard deviations of a share of n, and half of the 1/65536 that rates are resolved to.
    assert abs(dropped - rate) < 5 * math.sqrt(rate * (1 - rate) / n) + 0.5 / 65536
    kept = out[out != 0]
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert kept[0].item() == pytest.approx(1 / (1 - rate), rel=1e-4)  # the rate's resolution, 1/65536, relative to 0.4


def test_dropout_scales_the_gradient_as_it_scales_the_value():
    x = torch.ones(1000, requires_grad=True)
    out = Dropout(0.3, stream=BitStream(1, CPU)).train()(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_every_dropout_layer_has_a_stream_of_its_own():
    streams = dropout_streams(mlp(hidden=(16, 16, 16), dropout=0.5))
    drawn = [stream.draw(64) for stream in streams]
    assert len(drawn) == 3
    assert not any(torch.equal(drawn[i], drawn[j]) for i in range(3) for j in range(i))


def test_inputs_are_dropped_by_a_stream_of_their_own():
    x = torch.ones(5, 64)
    model, plain = mlp(hidden=(8,), input_dropout=0.4), mlp(hidden=(8,))
    assert list(model.state_dict()) == list(plain.state_dict()), "and the weights are called as ever"
    streams = dropout_streams(model)
    assert len(streams) == 2 and len(dropout_streams(plain)) == 1
    assert torch.equal(streams[1].get_state(), dropout_streams(plain)[0].get_state())
    assert torch.equal(streams[0].get_state(), BitStream(derive(0, "input_dropout"), CPU).get_state())
    keep = BitStream(derive(0, "input_dropout"), CPU).draw(5 * 64).view(5, 64) >= threshold(0.4)
    assert torch.equal(model(x), plain(x * keep * keep_scale(0.4)))
    assert torch.equal(model.eval()(x), plain.eval()(x))


def test_a_model_without_hidden_layers_may_drop_its_inputs():
    model = mlp(hidden=(), input_dropout=0.5)
    assert kinds(model) == ["Linear"]
    assert not torch.equal(model(torch.ones(3, 64)), model.eval()(torch.ones(3, 64)))


def test_the_penalty_covers_weights_of_linear_layers_only():
    model = mlp(hidden=(16, 8), batch_norm=True)
    assert [tuple(w.shape) for w in penalised_weights(model)] == [(16, 64), (8, 16), (10, 8)]
