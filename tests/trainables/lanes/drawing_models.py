"""Models that draw random numbers while they train, each in another way."""

import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


class Base(nn.Module):
    """Two layers; what is between them is the subclass's. A class is a function of (params, input_shape, outputs)."""

    def __init__(self, params, input_shape, outputs):
        super().__init__()
        self.first = nn.Linear(64, 32)
        self.last = nn.Linear(32, outputs)
        self.p = params["dropout"]

    def between(self, h):
        return h

    def forward(self, x):
        return self.last(self.between(F.relu(self.first(x.flatten(1)))))


class Dropping(Base):
    def between(self, h):
        return F.dropout(h, self.p, self.training)


class Noisy(Base):
    def between(self, h):
        return h + 0.1 * torch.randn_like(h) if self.training else h


class Recurrent(Base):
    def __init__(self, params, input_shape, outputs):
        super().__init__(params, input_shape, outputs)
        self.rnn = nn.LSTM(8, 32, num_layers=2, dropout=self.p, batch_first=True)

    def forward(self, x):
        return self.last(self.rnn(x.view(-1, 8, 8))[0][:, -1])


class Attending(Base):
    def __init__(self, params, input_shape, outputs):
        super().__init__(params, input_shape, outputs)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=self.p, batch_first=True)

    def forward(self, x):
        return self.last(F.relu(self.first(self.encoder(x.view(-1, 8, 8)).flatten(1))))


class NumpyNoise(Base):
    def between(self, h):
        return h + torch.from_numpy(np.random.randn(*h.shape)).to(h.dtype) if self.training else h


class PythonNoise(Base):
    def between(self, h):
        return h * random.random() if self.training else h


class Seeding(Base):
    def between(self, h):
        if self.training:
            torch.default_generator.manual_seed(5)
        return h


class Recomputing(Base):
    """Recomputes a part for its gradient, with the mask that it dropped before: torch keeps the global state for it."""

    def between(self, h):
        return checkpoint(
            lambda t: F.dropout(self.first.weight.sum() + t, self.p, self.training), h, use_reentrant=False
        )


class Reading(Base):
    """Depends on where the global generator is."""

    def between(self, h):
        return h + torch.get_rng_state()[:32].float() / 256 if self.training else h


class Raising(Base):
    def forward(self, x):
        raise ValueError("no images")


class Unseeded(Base):
    """Draws from a generator that no seed sets."""

    def __init__(self, params, input_shape, outputs):
        super().__init__(params, input_shape, outputs)
        self.rng = np.random.default_rng()

    def between(self, h):
        return h + torch.from_numpy(self.rng.normal(size=h.shape)).to(h.dtype) if self.training else h


class BuiltUnseeded(Base):
    def __init__(self, params, input_shape, outputs):
        super().__init__(params, input_shape, outputs)
        nn.init.constant_(self.first.bias, np.random.default_rng().normal())


class BuiltWithNumpy(Base):
    def __init__(self, params, input_shape, outputs):
        super().__init__(params, input_shape, outputs)
        nn.init.constant_(self.first.bias, np.random.randn())


SETTINGS = {}


class InGlobal(Base):
    """Keeps its rate where the next one that is built writes its own."""

    def __init__(self, params, input_shape, outputs):
        super().__init__(params, input_shape, outputs)
        SETTINGS.update(params)

    def between(self, h):
        return F.dropout(h, SETTINGS["dropout"], self.training)


class InClass(Base):
    """The same, in its class."""

    def __init__(self, params, input_shape, outputs):
        super().__init__(params, input_shape, outputs)
        type(self).rate = params["dropout"]

    def between(self, h):
        return F.dropout(h, self.rate, self.training)
