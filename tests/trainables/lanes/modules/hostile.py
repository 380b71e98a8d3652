"""Models that hide what differs between trials, or that do what lanes cannot do at once."""

import dataclasses
import functools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tests.trainables.lanes.modules.zoo import Between


class SquareRoot(Between):
    def between(self, h):
        return h * math.sqrt(self.sigma)


class WholeNumber(Between):
    def between(self, h):
        return h * int(self.sigma * 10)


class AsFloat(Between):
    def between(self, h):
        return h * float(self.sigma)


class Compared(Between):
    def between(self, h):
        return h * 2 if self.sigma > 0.15 else h


class InTensor(Between):
    def between(self, h):
        return h + torch.tensor(self.sigma, dtype=h.dtype)


class InFull(Between):
    def between(self, h):
        return h + torch.full((32,), self.sigma, dtype=h.dtype)


class Clamped(Between):
    def between(self, h):
        return h.clamp(0, self.sigma * 10)


class InList(Between):
    def prepare(self, p):
        self.values = [p["sigma"], 2.0]

    def between(self, h):
        return h * self.values[0] + self.values[1]


class InSum(InList):
    def between(self, h):
        return h * sum(self.values) * max(self.values)


class InFunction(Between):
    def prepare(self, p):
        sigma = p["sigma"]
        self.scale = lambda h: h * sigma

    def between(self, h):
        return self.scale(h)


class InPartial(Between):
    def prepare(self, p):
        self.scale = functools.partial(F.leaky_relu, negative_slope=p["sigma"])

    def between(self, h):
        return self.scale(h - 1)


@dataclasses.dataclass(frozen=True)
class Settings:
    sigma: float


class InDataclass(Between):
    def prepare(self, p):
        self.settings = Settings(p["sigma"])

    def between(self, h):
        return h * self.settings.sigma


class Slots:
    __slots__ = ("sigma",)

    def __init__(self, sigma):
        self.sigma = sigma


class InSlots(Between):
    def prepare(self, p):
        self.slots = Slots(p["sigma"])

    def between(self, h):
        return h * self.slots.sigma


class InNumpy(Between):
    def prepare(self, p):
        self.number = np.float64(p["sigma"])

    def between(self, h):
        return h * self.number


class InArray(Between):
    def prepare(self, p):
        self.array = np.array([p["sigma"]])

    def between(self, h):
        return h * torch.from_numpy(self.array).to(h.dtype)


class InLooseTensor(Between):
    def prepare(self, p):
        self.loose = torch.tensor(p["sigma"])

    def between(self, h):
        return h * self.loose


class InHook(Between):
    def prepare(self, p):
        sigma = p["sigma"]
        self.first.register_forward_hook(lambda module, inputs, found: found * sigma)


SEPARATE = (
    InFunction, InPartial, InDataclass, InSlots, InNumpy, InArray, InLooseTensor, InHook,
)  # fmt: skip
"""Those whose trials are of different groups, as what differs is no float of an attribute."""

DIFFERING = (SquareRoot, WholeNumber, AsFloat, Compared, InTensor, InFull, Clamped, InList, InSum)
"""Those of one group, that must be stacked rightly or refused."""


class OwnGenerator(Between):
    def prepare(self, p):
        self.generator = torch.Generator().manual_seed(1)

    def between(self, h):
        return h + torch.randn(h.shape, generator=self.generator, dtype=h.dtype)


class Branch(Between):
    def between(self, h):
        return h * 2 if h.mean() > 0.1 else h


class Item(Between):
    def between(self, h):
        return h / (h.abs().max().item() + 1)


class Indexed(Between):
    def between(self, h):
        return h - h[h > 0].mean()


class Cumulative(Between):
    def prepare(self, p):
        self.norm = nn.BatchNorm1d(32, momentum=None)

    def between(self, h):
        return self.norm(h)


class ToNumpy(Between):
    def between(self, h):
        return torch.from_numpy(h.detach().numpy()) + h


class Counting(Between):
    calls = 0

    def between(self, h):
        self.calls = self.calls + 1
        return h * (0.5 if self.calls > 40 else 1.0)


class CountingInDictionary(Between):
    def prepare(self, p):
        self.seen = {"calls": 0}

    def between(self, h):
        self.seen["calls"] += 1
        return h


class Unused(Between):
    def prepare(self, p):
        self.unused = nn.Linear(3, 3)


class Frozen(Between):
    def prepare(self, p):
        self.first.weight.requires_grad_(False)


class AlwaysDrops(Between):
    def between(self, h):
        return F.dropout(h, 0.3)


class MeanOfBatch(Between):
    def between(self, h):
        return h - h.mean(0)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient * ctx.saved_tensors[0]


class OwnFunction(Between):
    def between(self, h):
        return Square.apply(h)


class InnerGradient(Between):
    def between(self, h):
        with torch.enable_grad():
            z = h.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(F.silu(z).sum(), z)
        return h + slope


class TripsOnBatchesOf65(Between):
    """Raises in the middle of an epoch, which no try-out on small batches meets."""

    def between(self, h):
        if h.shape[0] == 65 and torch._C._functorch.is_batchedtensor(h):
            raise RuntimeError("no batch of 65 in a stack")
        return F.dropout(h, self.p, self.training)


class NoMemory(Between):
    """Has none for more than one trial at a time."""

    def between(self, h):
        if torch._C._functorch.is_batchedtensor(h):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return h


class RaisesInStack(Between):
    def between(self, h):
        if torch._C._functorch.is_batchedtensor(h):
            raise ValueError("no lanes")
        return h


class NoMemoryOnBatchesOf65(Between):
    def between(self, h):
        if h.shape[0] == 65 and torch._C._functorch.is_batchedtensor(h):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return F.dropout(h, self.p, self.training)


class GradientHook(Between):
    """Its hook does nothing where nothing is dropped: no first trial of a search tells."""

    def prepare(self, p):
        self.first.weight.register_hook(lambda g: g * (1 + 20 * p["dropout"]))


class AfterAccumulation(Between):
    def prepare(self, p):
        self.first.bias.register_post_accumulate_grad_hook(lambda t: t.grad.mul_(1 - p["dropout"]))


REFUSED = {
    GradientHook: "some of its parameters have hooks",
    AfterAccumulation: "some of its parameters have hooks",
    OwnGenerator: "it holds a Generator",
    Branch: "a branch of its forward depends on the data",
    Item: "its forward makes a Python number of a tensor",
    Indexed: "the shape of something in its forward depends on the data",
    Cumulative: "its forward makes a Python number of a tensor",
    ToNumpy: "its forward hands a tensor to NumPy",
    Counting: "its forward changes its attributes",
    CountingInDictionary: "its forward changes its attributes",
    Unused: "its parameter unused.weight has no part in the loss of a batch",
    Frozen: "some of its parameters are frozen",
    AlwaysDrops: "it draws random numbers in evaluation",
    MeanOfBatch: "in evaluation an output depends on the other examples of a batch",
    OwnFunction: "it has an autograd.Function without a rule",
    InnerGradient: "its forward takes gradients itself",
    NoMemory: "there is no memory for two lanes of it",
    RaisesInStack: "stacked it raises ValueError: no lanes",
}
"""Those that are looped, and how the reason begins."""
