"""Models as a user would write them; named by ``tests.trainables.user_models:function`` in a study."""

import torch
from torch import nn


def small(params, input_shape, outputs):
    """Two layers with torch's own dropout, which draws from the global generator."""
    features = torch.Size(input_shape).numel()
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(features, params["width"]),
        nn.ReLU(),
        nn.Dropout(params.get("drop", 0.5)),
        nn.Linear(params["width"], outputs),
    )


def convolutions(params, input_shape, outputs):
    """Lazy layers: their sizes are those of the first batch."""
    return nn.Sequential(
        nn.LazyConv2d(params["channels"], 3, padding=1),
        nn.LazyBatchNorm2d(),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(outputs),
    )


class Noisy(nn.Module):
    """A class whose constructor has the signature of a model function; it adds noise while it trains."""

    def __init__(self, params, input_shape, outputs):
        super().__init__()
        self.linear = nn.Linear(torch.Size(input_shape).numel(), outputs)
        self.scale = params.get("noise", 0.1)

    def forward(self, x):
        x = x.flatten(1)
        return self.linear(x + self.scale * torch.randn_like(x) if self.training else x)


class Forgetful(nn.Sequential):
    """A model whose state is empty, as that of one which keeps its layers in a list is."""

    def state_dict(self, *args, **kwargs):
        return {}

    def load_state_dict(self, *args, **kwargs):
        pass


def forgetful(params, input_shape, outputs):
    return Forgetful(nn.Flatten(), nn.Linear(torch.Size(input_shape).numel(), outputs))
