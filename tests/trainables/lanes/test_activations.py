"""The activations written out, beside torch's modules and autograd."""

import pytest
import torch

from trainables.lanes.activations import ACTIVATIONS
from trainables.models import ACTIVATION_LAYERS


def test_every_activation_that_a_configuration_may_name_is_there() -> None:
    assert ACTIVATIONS.keys() == ACTIVATION_LAYERS.keys()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_have_the_values_and_gradients_of_torch(name: str) -> None:
    activation = ACTIVATIONS[name]
    rng = torch.Generator().manual_seed(0)
    x = torch.cat([torch.randn(200, generator=rng) * 4, torch.tensor([0.0, -0.0, 50.0, -50.0, torch.nan])])
    leaf = x.clone().requires_grad_()
    expected = ACTIVATION_LAYERS[name]()(leaf)
    gradient = torch.randn(len(x), generator=rng)
    expected.backward(gradient)
    before = x.clone()
    after = torch.empty_like(before) if activation.keeps_input else before
    activation.forward(before, after)
    found = gradient.clone()
    activation.backward(found, before, after, found)
    # the same formulas; the last bit may differ between vector and scalar code
    torch.testing.assert_close(after, expected.detach(), rtol=1e-6, atol=1e-7, equal_nan=True)
    torch.testing.assert_close(found, leaf.grad, rtol=1e-5, atol=1e-6, equal_nan=True)
