"""Which forwards may be done again without their code, told by it."""

import collections
import functools
import itertools
import time
from datetime import datetime
from random import random
from time import perf_counter

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.trainables.lanes.cases import CPU
from tests.trainables.lanes.modules import hostile, zoo
from tests.trainables.lanes.modules.support import Given, data, trial
from tests.trainables.lanes.modules.zoo import ZOO, Between
from trainables.lanes.modules.steady import why_run_anew

CALLS = {"made": 0}
count = 0


class CountsInGlobal(Between):
    def between(self, h):
        global count
        count += 1
        return h


class ReadsTable(Between):
    def between(self, h):
        return h * (1 + CALLS["made"])


class CountsInClass(Between):
    calls = 0

    def between(self, h):
        CountsInClass.calls += 1
        return h


class KeepsInClass(Between):
    seen = []

    def between(self, h):
        self.seen.append(len(h))
        return h


class CountsAround(Between):
    def prepare(self, p):
        calls = 0

        def scaled(h):
            nonlocal calls
            calls += 1
            return h

        self.scaled = scaled

    def between(self, h):
        return self.scaled(h)


class NextOf(Between):
    def between(self, h):
        return h * next(self.scales)


class Prints(Between):
    def between(self, h):
        print("between")
        return h


class Timed(Between):
    def between(self, h):
        return h * (time.time() > 0)


class HelpsItself(Between):
    """Counts in a method that another calls, and in a part that is no module."""

    def prepare(self, p):
        self.helper = Helper()

    def between(self, h):
        return self.helper.scaled(h)


class Helper:
    def __init__(self):
        self.calls = 0

    def scaled(self, h):
        self.calls += 1
        return h


@functools.cache
def scale(width):
    return width**-0.5


@functools.cache
def counted(width):
    global count
    count += 1
    return count


class Cached(Between):
    def between(self, h):
        return h * scale(h.shape[1])


class CachedCount(Between):
    def between(self, h):
        return h * counted(h.shape[1])


class Scales:
    def __init__(self):
        self.calls = 0

    def __getitem__(self, index):
        self.calls += 1
        return 1.0


class Indexed(Between):
    def prepare(self, p):
        self.scales = [Scales()]

    def between(self, h):
        return h * self.scales[0][0]


class Hooked(Between):
    def prepare(self, p):
        def hook(module, inputs, found):
            print(found.shape)

        self.first.register_forward_hook(hook)


class ReadsModule(Between):
    """Of the user's own: what is named there is looked at."""

    def between(self, h):
        return hostile.Square.apply(zoo.math.sin(1.0) * h) + zoo.torch.zeros(()) if zoo.math else h


class KeepsInDefault(Between):
    def between(self, h, seen=[]):  # noqa: B006
        seen.append(len(h))
        return h


class KeepsInDeque(Between):
    seen = collections.deque(maxlen=9)

    def between(self, h):
        self.seen.append(len(h))
        return h


class CountsWithoutGradients(Between):
    """In a method that torch wraps."""

    @torch.no_grad()
    def tick(self):
        global count
        count += 1

    def between(self, h):
        self.tick()
        return h


class CountsEpochs(Between):
    def train(self, mode=True):
        global count
        count += mode
        return super().train(mode)


class Reversed(torch.autograd.Function):
    calls = 0

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        Reversed.calls += 1
        return -gradient


class CountsBackward(Between):
    def between(self, h):
        return Reversed.apply(h)


class TimedByName(Between):
    def between(self, h):
        return h * (perf_counter() > 0)


class Dated(Between):
    def between(self, h):
        return h * datetime.now().year


class DrawsByName(Between):
    def between(self, h):
        return h * (random() < 0.1)


class DrawsFromClass(Between):
    rng = np.random.default_rng(1)

    def between(self, h):
        return h * self.rng.normal()


class DrawsAnew(Between):
    def between(self, h):
        return h * np.random.default_rng().random()


class NamesByText(Between):
    def between(self, h):
        return getattr(self, f"by_{len(h.shape)}")(h)

    def by_2(self, h):
        print(h.shape)
        return h


class Schedule:
    def __init__(self):
        self.state = {"calls": 0}

    def __call__(self):
        self.state["calls"] += 1
        return self.state["calls"]


class Slotted:
    __slots__ = ("seen",)

    def __init__(self):
        self.seen = []

    def __call__(self):
        return len(self.seen)


SCHEDULE, SLOTTED, PARTIAL = Schedule(), Slotted(), functools.partial(len, [1])
TICK = itertools.count().__next__
STACKED = torch.nn.Sequential(HelpsItself({"dropout": 0.1, "sigma": 0.1}, (1, 8, 8), 10))


class CallsObject(Between):
    def between(self, h):
        return h * SCHEDULE()


class CallsSlots(Between):
    def between(self, h):
        return h * SLOTTED()


class CallsPartial(Between):
    def between(self, h):
        return h * PARTIAL()


class CallsModule(Between):
    def between(self, h):
        return STACKED(h)


class HoldsFunction(Between):
    """In an object of its own."""

    def prepare(self, p):
        self.helper = Helper()
        self.helper.count = counted

    def between(self, h):
        return h * self.helper.count(3)


class CallsTaken(Between):
    def between(self, h):
        return h * TICK()


class Annealed:
    def __get__(self, instance, owner):
        return 1.0


class Described(Between):
    factor = Annealed()

    def between(self, h):
        return h * self.factor


def remembers(h):
    remembers.seen.append(len(h))
    return h


remembers.seen = []


class CallsRemembering(Between):
    def between(self, h):
        return remembers(h)


class KeepsInPartial(Between):
    def scaled(self, h, seen):
        return h * len(seen)

    between = functools.partialmethod(scaled, seen=[1])


def pure(h):
    return F.relu(h)


class CallsFunction(Between):
    def between(self, h):
        return pure(h)


ANEW = {
    CountsInGlobal: "CountsInGlobal.between sets count",
    ReadsTable: "ReadsTable.between reads CALLS, which may change",
    CountsInClass: "CountsInClass.between sets calls",
    KeepsInClass: "KeepsInClass.seen may change",
    CountsAround: "CountsAround.prepare.<locals>.scaled sets calls",
    NextOf: "NextOf.between calls next",
    Prints: "Prints.between calls print",
    Timed: "Timed.between reads time, of which no two calls need be the same",
    HelpsItself: "Helper.scaled sets calls",
    Cached: "",
    CachedCount: "counted sets count",
    Indexed: "Scales.__getitem__ sets calls",
    Hooked: "Hooked.prepare.<locals>.hook calls print",
    KeepsInDefault: "KeepsInDefault.between has a default which may change",
    KeepsInDeque: "KeepsInDeque.seen may change",
    CountsWithoutGradients: "CountsWithoutGradients.tick sets count",
    CountsEpochs: "CountsEpochs.train sets count",
    CountsBackward: "Reversed.backward sets calls",
    TimedByName: "TimedByName.between reads perf_counter, of which no two calls need be the same",
    Dated: "Dated.between reads datetime, of which no two calls need be the same",
    DrawsByName: "DrawsByName.between reads random, which may change",
    DrawsFromClass: "DrawsFromClass.rng may change",
    DrawsAnew: "DrawsAnew.between uses default_rng",
    NamesByText: "NamesByText.by_2 calls print",
    CallsObject: "CallsObject.between reads SCHEDULE, which may change",
    CallsSlots: "CallsSlots.between reads SLOTTED, which may change",
    CallsPartial: "CallsPartial.between reads PARTIAL, which may change",
    CallsTaken: "CallsTaken.between reads TICK, which may change",
    CallsModule: "CallsModule.between reads STACKED, which may change",
    HoldsFunction: "counted sets count",
    Described: "Described.factor may change",
    CallsRemembering: "remembers has an attribute which may change",
    KeepsInPartial: "a partialmethod has an argument which may change",
    ReadsModule: "",
    CallsFunction: "",
}


@pytest.mark.parametrize("model", ANEW)
def test_a_forward_that_may_do_something_else_next_time_runs_for_each_batch(model):
    module = Given(model).module_of(trial(model, 0), data(), seed=0, device=CPU)
    assert why_run_anew(module) == ANEW[model]


@pytest.mark.parametrize("name", ZOO)
def test_a_forward_that_does_the_same_each_time_is_told(name):
    assert why_run_anew(Given(ZOO[name]).module_of(trial(ZOO[name], 0), data(), seed=0, device=CPU)) == ""
