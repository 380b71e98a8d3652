"""The private interfaces of torch.func do what the stack asks of them; where they are gone, nothing is stacked."""

import pytest
import torch

from tests.trainables.lanes.modules.support import Given, configured, data
from tests.trainables.lanes.modules.zoo import ZOO
from trainables.lanes.modules import check
from trainables.lanes.modules.functorch import UNAVAILABLE, is_wrapped, outside, over_lanes, unwrapped, wrapped


def test_they_are_there():
    assert UNAVAILABLE == ""


def test_an_operation_within_a_level_runs_over_all_lanes():
    x, y = torch.randn(3, 4, 5), torch.randn(3, 5, 2)
    with over_lanes(3) as level:
        a, b = wrapped(x, level), wrapped(y, level)
        assert a.shape == (4, 5) and is_wrapped(a) and not is_wrapped(x)
        found = unwrapped(a @ b)
        assert unwrapped(x) is x
    torch.testing.assert_close(found, torch.bmm(x, y))


def test_outside_of_the_level_tensors_have_their_lanes_first():
    x = torch.randn(3, 4)
    with over_lanes(3) as level:
        inside = wrapped(x, level)
        hidden = unwrapped(inside.unsqueeze(0))
        with outside():
            doubled = hidden * 2
        found = unwrapped(wrapped(doubled, level) + 1)
    torch.testing.assert_close(found, (x * 2 + 1).unsqueeze(1))


def test_writing_in_place_and_differentiating_reach_what_is_wrapped():
    weights, buffers = torch.ones(2, 3, requires_grad=True), torch.zeros(2, 3)
    with over_lanes(2) as level:
        wrapped(buffers, level).add_(1)
        loss = unwrapped((wrapped(weights, level) ** 2).sum())
    (gradient,) = torch.autograd.grad(loss.sum(), weights)
    assert torch.equal(buffers, torch.ones(2, 3)) and torch.equal(gradient, 2 * torch.ones(2, 3))


def test_a_draw_that_nobody_handles_raises():
    with over_lanes(2) as level, pytest.raises(RuntimeError, match="random"):
        wrapped(torch.zeros(2, 3), level).bernoulli_(0.5)


def test_where_they_are_gone_nothing_is_stacked(monkeypatch):
    monkeypatch.setattr(check, "UNAVAILABLE", "torch 9.9 lacks what stacks modules")
    model = ZOO["norm_mlp"]
    config = configured(model, {"dropout": 0.1, "learning_rate": 0.01})
    assert check.why_looped(Given(model), [config, config], data()) == "torch 9.9 lacks what stacks modules"
