"""Modules that hypothesis draws, and those of torchvision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.trainables.lanes.modules.support import CORNERS, Given, configured, data
from trainables.lanes.modules.check import why_looped

WIDTH = 8
LAYERS = {
    "linear": lambda p: nn.Linear(WIDTH, WIDTH),
    "batch norm": lambda p: nn.BatchNorm1d(WIDTH, momentum=p["momentum"]),
    "layer norm": lambda p: nn.LayerNorm(WIDTH),
    "group norm": lambda p: nn.GroupNorm(2, WIDTH),
    "dropout": lambda p: nn.Dropout(p["dropout"]),
    "alpha dropout": lambda p: nn.AlphaDropout(p["dropout"]),
    "tanh": lambda p: nn.Tanh(),
    "leaky": lambda p: nn.LeakyReLU(p["sigma"]),
    "elu": lambda p: nn.ELU(p["sigma"]),
    "prelu": lambda p: nn.PReLU(),
}


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Parallel(nn.Module):
    def __init__(self, branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.stack([branch(x) for branch in self.branches]).mean(0)


def tree(drawn, p):
    """Return the module of a drawn tree: a name, or a kind and its parts."""
    if isinstance(drawn, str):
        return LAYERS[drawn](p)
    kind, parts = drawn
    built = [tree(part, p) for part in parts]
    return {"chain": lambda: nn.Sequential(*built), "residual": lambda: Residual(nn.Sequential(*built))}.get(
        kind, lambda: Parallel(built)
    )()


TREES = st.recursive(
    st.sampled_from(sorted(LAYERS)),
    lambda part: st.tuples(st.sampled_from(["chain", "residual", "parallel"]), st.lists(part, min_size=1, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(drawn=TREES)
def test_a_tree_of_torchs_layers_is_stacked(drawn):
    def model(p, shape, outputs):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), tree(drawn, p), nn.Linear(WIDTH, outputs))

    assert why_looped(Given(model), [configured(model, corner) for corner in CORNERS], data()) == ""


def resnet18(p, shape, outputs):
    from torchvision.models import resnet18

    model = resnet18(num_classes=outputs)
    model.conv1, model.maxpool = nn.Conv2d(1, 64, 3, padding=1, bias=False), nn.Identity()
    return model


def mobilenet(p, shape, outputs):
    from torchvision.models import mobilenet_v3_small

    model = mobilenet_v3_small(num_classes=outputs)
    model.features[0][0] = nn.Conv2d(1, 16, 3, padding=1, bias=False)
    return model


def efficientnet(p, shape, outputs):
    from torchvision.models import efficientnet_b0

    model = efficientnet_b0(num_classes=outputs)
    model.features[0][0] = nn.Conv2d(1, 32, 3, padding=1, bias=False)
    return model


class Vit(nn.Module):
    def __init__(self, p, shape, outputs):
        from torchvision.models import VisionTransformer

        super().__init__()
        self.vit = VisionTransformer(8, 2, 2, 4, 32, 64, dropout=p["dropout"], num_classes=outputs)

    def forward(self, x):
        return self.vit(x.expand(-1, 3, -1, -1))


@pytest.mark.slow
@pytest.mark.parametrize("model", [resnet18, mobilenet, efficientnet, Vit])
def test_a_model_of_torchvision_is_stacked(model):
    assert why_looped(Given(model), [configured(model, corner) for corner in CORNERS], data()) == ""
