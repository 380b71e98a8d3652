"""Which forwards may be done again without their code, told by it."""

import functools
import time

import pytest
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
