"""Orders are cut so that each process does what concerns its trials, and all of them together do everything once."""

from search.brain.order import TrialOrder
from search.executors.lane_host import Advance, Orders
from search.executors.shares import Shares, joined
from search.ledger.events import LaneModeMeasured


def order(number):
    return TrialOrder(number, {}, seed=number, config_hash=str(number))


def seat(*numbers, **others):
    return Orders(seat=tuple(order(n) for n in numbers), **others)


def seated(parts):
    return {process: [o.number for o in part.seat] for process, part in parts.items()}


def test_trials_begin_where_the_fewest_are():
    shares = Shares(2)
    assert seated(shares.cut(seat(0, 1, 2, 3))) == {0: [0, 2], 1: [1, 3]}
    parts = shares.cut(seat(4, 5, retire=(0, 2)))
    assert seated(parts) == {0: [4, 5], 1: []}
    assert (parts[0].retire, parts[1].retire) == ((0, 2), ())
    assert shares.by_process([1, 3, 4, 5, 0]) == {1: [1, 3], 0: [4, 5]}, "one that was retired is nowhere"


def test_a_paused_trial_goes_on_where_its_state_is_though_others_are_emptier():
    shares = Shares(3)
    shares.cut(seat(0, 1, 2))
    parts = shares.cut(seat(3, pause={0: True, 1: False}))
    assert (parts[0].pause, parts[1].pause) == ({0: True}, {1: False})
    assert seated(parts) == {0: [3], 1: [], 2: []}
    parts = shares.cut(seat(0, retire=(2,)))
    assert seated(parts) == {0: [0], 2: []}
    assert shares.seated(0) == (0, 3)
    shares.clear()
    assert seated(shares.cut(seat(1))) == {0: [1]}, "its process is gone, and its state with it"


def test_a_process_shrinks_to_its_own_trials_and_one_without_any_has_nothing_to_do():
    shares = Shares(2)
    shares.cut(seat(0, 1, 2))
    parts = shares.cut(Orders(retire=(1,), compact=2))
    assert {process: part.compact for process, part in parts.items()} == {0: 2, 1: 1}
    assert list(shares.cut(Orders())) == [0]


def test_what_came_of_the_parts_is_joined_in_the_order_of_the_processes():
    first, again = (LaneModeMeasured(group="g", mode=mode, stacked_ms=1.0, looped_ms=2.0) for mode in ("stacked", "x"))
    parts = {
        1: Advance({1: "b"}, measured=(again,), unsaved="the disk is full", saved=True),
        0: Advance({0: "a", 2: "c"}, measured=(first,)),
    }
    found = joined(parts, unsaved="before")
    assert (found.events, found.measured, found.saved) == ({0: "a", 2: "c", 1: "b"}, (first,), True)
    assert found.unsaved == "the disk is full"
    assert joined({0: Advance({})}, unsaved="before").unsaved == "before"
