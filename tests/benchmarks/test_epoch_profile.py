"""The clock of the profile: what is a function's own, and what those that it calls took."""

import time
from threading import Thread

import pytest

from benchmarks import epoch_profile
from benchmarks.epoch_profile import PARTS, Clock, measured


@pytest.fixture
def clock(monkeypatch):
    """A clock whose seconds are those that a function says it takes."""
    now = [0.0]
    monkeypatch.setattr(epoch_profile.time, "perf_counter", lambda: now[0])
    clock = Clock()
    clock.spend = lambda seconds: now.__setitem__(0, now[0] + seconds)
    return clock


def test_a_function_is_not_charged_for_what_others_do_for_it(clock):
    inner = clock.timed(lambda: clock.spend(2), ("lanes", "inner"))

    def body():
        clock.spend(1)
        inner()
        clock.spend(4)

    clock.timed(body, ("lanes", "outer"))()
    assert clock.seconds == {("lanes", "inner"): 2, ("lanes", "outer"): 5}


def test_what_is_done_between_the_items_of_a_generator_is_its_callers(clock):
    def items():
        clock.spend(1)
        yield 1
        clock.spend(2)
        yield 2

    def body():
        for _ in clock.timed(items, ("lanes", "items"))():
            clock.spend(10)

    clock.timed(body, ("lanes", "body"))()
    assert clock.seconds == {("lanes", "items"): 3, ("lanes", "body"): 20}


def test_threads_do_not_charge_each_other():
    clock = Clock()
    outer = clock.timed(lambda: time.sleep(0.02), ("driver", "outer"))
    with clock.part(("lanes", "main")):
        thread = Thread(target=outer)
        thread.start()
        thread.join()
    assert clock.seconds["lanes", "main"] >= clock.seconds["driver", "outer"] >= 0.02


def test_every_part_is_a_function_of_the_project_and_is_put_back():
    clock = Clock()
    with measured(clock):
        pass
    with measured(clock):  # what was put back is measured once more: nothing is left wrapped
        from trainables.lanes.updates import StackedSgd

        assert StackedSgd.step.__wrapped__.__qualname__ == "StackedSgd.step"
        assert not hasattr(StackedSgd.step.__wrapped__, "__wrapped__")
    assert not hasattr(StackedSgd.step, "__wrapped__")
    assert len({(where, label) for where, label, *_ in PARTS}) > 10
