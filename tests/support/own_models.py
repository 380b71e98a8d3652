"""Models of a user's own for searches in processes: some are well, some do what no model should."""

import os
import threading
import time

import torch
from torch import nn
from torch.nn import functional as F

from tests.support.scripted import METRICS

FORWARDS = []


class Normed(nn.Module):
    """LayerNorm between two linear layers, and dropout."""

    def __init__(self, params, shape, outputs):
        super().__init__()
        self.first = nn.Linear(torch.Size(shape).numel(), 16)
        self.norm = nn.LayerNorm(16)
        self.last = nn.Linear(16, outputs)
        self.drop = params["drop"]

    def forward(self, x):
        return self.last(F.dropout(F.relu(self.norm(self.first(x.flatten(1)))), self.drop, self.training))


def normed(params, shape, outputs):
    return Normed(params, shape, outputs)


def telling_its_process(params, shape, outputs):
    print("pid", os.getpid())
    return Normed(params, shape, outputs)


class AtForty(Normed):
    """Does something in its fortieth forward in a stack."""

    def forward(self, x):
        if torch._C._functorch.is_batchedtensor(x):
            FORWARDS.append(1)
            if len(FORWARDS) == 40:
                self.act()
        return super().forward(x)


class StandingStill(AtForty):
    def act(self):
        time.sleep(600)


class FallingDown(AtForty):
    def act(self):
        os._exit(5)


def standing_still(params, shape, outputs):
    return StandingStill(params, shape, outputs)


class SlowStacked(Normed):
    """Takes long in a stack, and is looped where it looks at its values."""

    def __init__(self, params, shape, outputs):
        super().__init__(params, shape, outputs)
        self.looks = params["does"] == "looks"
        self.drop = 0.1
        if self.looks:
            self.last = nn.Sequential(self.last)

    def forward(self, x):
        if self.looks and self.first.weight.sum().item() > 1e9:
            return self.last(self.first(x.flatten(1)))
        if self.training and torch._C._functorch.is_batchedtensor(x):
            time.sleep(1.5)  # an epoch of two trials in some batches: longer than a trial may take
        return super().forward(x)


def slow_stacked(params, shape, outputs):
    return SlowStacked(params, shape, outputs)


def falling_down(params, shape, outputs):
    return FallingDown(params, shape, outputs)


class HoldsALock(Exception):
    """No process can send it to another."""

    def __init__(self):
        super().__init__("of its own")
        self.lock = threading.Lock()


class AtTimes(Normed):
    """Does in training what its trial says."""

    def __init__(self, params, shape, outputs):
        super().__init__(params, shape, outputs)
        self.does = params["does"]

    def forward(self, x):
        if self.training and self.does == "hangs":
            time.sleep(600)
        if self.training and self.does == "exits":
            os._exit(7)
        if self.training and self.does == "moves":
            os.chdir("/")
        if self.training and self.does == "interrupts":
            raise KeyboardInterrupt("its own")
        if self.training and self.does == "raises":
            raise HoldsALock
        return super().forward(x)


def at_times(params, shape, outputs):
    return AtTimes(params, shape, outputs)


class Unready:
    """A trainable that cannot take its data."""

    stacks = False
    loops = True
    metrics = METRICS

    def configure(self, params, *, max_epochs):
        return params

    def prepare(self, splits, device):
        raise ValueError("no room")


class Exiting(Unready):
    """One that ends its process there."""

    def prepare(self, splits, device):
        os._exit(7)
