"""The loop's optimisers are torch's, without what is there for torch.compile."""

import pytest
import torch
from torch import nn

from trainables.config import MlpConfig
from trainables.optimizers import build_optimizer

TORCHS = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
TWIN = {"adamw": ("lr", "weight_decay", "fused"), "sgd": ("lr", "weight_decay", "momentum", "fused")}


def trained(optimizer, model, *, steps):
    rng = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(5, 4, generator=rng)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", TORCHS)
def test_they_step_and_resume_as_torchs_own_bit_for_bit(name):
    config = MlpConfig(max_epochs=1, optimizer=name, learning_rate=0.01, weight_decay=0.1, momentum=0.9)
    torch.manual_seed(0)
    model, other = nn.Linear(4, 3), nn.Linear(4, 3)
    other.load_state_dict(model.state_dict())
    optimizer = build_optimizer(model.parameters(), config)
    settings = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
    twin = TORCHS[name](other.parameters(), **{k: v for k, v in settings.items() if k in TWIN[name]})
    assert isinstance(optimizer, TORCHS[name])
    assert {k: v for k, v in twin.param_groups[0].items() if k != "params"} == settings
    trained(optimizer, model, steps=3)
    trained(twin, other, steps=3)
    state, expected = optimizer.state_dict(), twin.state_dict()
    assert state["param_groups"] == expected["param_groups"]
    for number, entry in expected["state"].items():
        assert all(torch.equal(state["state"][number][key], value) for key, value in entry.items() if value is not None)
    again = build_optimizer(model.parameters(), config)
    again.load_state_dict(state)
    trained(again, model, steps=2)
    trained(twin, other, steps=2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_a_step_leaves_whether_gradients_are_on():
    model = nn.Linear(4, 3)
    optimizer = build_optimizer(model.parameters(), MlpConfig(max_epochs=1))
    trained(optimizer, model, steps=1)
    assert torch.is_grad_enabled()
    assert all(weight.requires_grad and weight.is_leaf for weight in model.parameters())
