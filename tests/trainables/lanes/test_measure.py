"""How many lanes are worth having: the rule, on measurements that are given, and once for real."""

from collections.abc import Callable

import pytest

from tests.trainables.lanes.cases import CPU, digits
from trainables.config import MlpConfig
from trainables.lanes import Measurement, choose_lanes
from trainables.lanes.looped import LoopedLanes
from trainables.lanes.measure import grow_while_it_pays, sample, seconds_per_lane_epoch

CONFIG = MlpConfig(max_epochs=3, hidden=(8,), dropout=0.2, batch_norm=True)


def given(costs: dict[int, float]) -> Callable[[int], Measurement]:
    """Let ``lanes`` lanes cost ``costs[lanes]`` ms for each, and 1 MiB of memory."""
    return lambda lanes: Measurement(lanes, costs[lanes], lanes << 20)


@pytest.mark.parametrize(
    ("costs", "limit", "chosen", "tried"),
    [
        ({1: 8.0, 2: 4.0, 4: 2.0, 8: 1.0}, 8, 8, [1, 2, 4, 8]),
        ({1: 8.0, 2: 4.0, 4: 2.0}, 7, 4, [1, 2, 4]),
        ({1: 8.0, 2: 4.0, 4: 3.9, 8: 3.9}, 64, 2, [1, 2, 4, 8]),
        ({1: 8.0, 2: 8.0, 4: 4.0, 8: 3.0, 16: 4.0, 32: 5.0}, 64, 8, [1, 2, 4, 8, 16, 32]),
        ({1: 1.0, 2: 2.0, 4: 2.0}, 64, 1, [1, 2, 4]),
        ({1: 1.0}, 1, 1, [1]),
    ],
)
def test_lanes_grow_while_they_pay(costs: dict[int, float], limit: int, chosen: int, tried: list[int]) -> None:
    choice = grow_while_it_pays(given(costs), limit=limit, memory_bytes=1 << 40)
    assert choice.lanes == chosen
    assert [m.lanes for m in choice.measurements] == tried
    assert [m.ms_per_lane_epoch for m in choice.measurements] == [costs[n] for n in tried]


def test_memory_limits_the_number_of_lanes() -> None:
    choice = grow_while_it_pays(given({1: 8.0, 2: 4.0, 4: 2.0, 8: 1.0}), limit=64, memory_bytes=5 << 20)
    assert choice.lanes == 4
    assert choice.reason == "8 lanes would take more than 5 MiB"


def test_lanes_are_measured_for_real() -> None:
    choice = choose_lanes(digits(), CONFIG, device=CPU, limit=4)
    assert choice.lanes in (1, 2, 4)
    assert [m.lanes for m in choice.measurements] == [1, 2, 4]
    assert all(m.ms_per_lane_epoch > 0 and m.memory_bytes > 0 for m in choice.measurements)


def test_a_limit_of_lanes_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit must be >= 1, got 0"):
        choose_lanes(digits(), CONFIG, device=CPU, limit=0)


def test_the_sample_that_lanes_are_measured_on_is_in_proportion() -> None:
    part, share = sample(digits(257, 100), 8)
    assert (len(part.x_train), len(part.x_val)) == (128, 49)
    assert share == 257 / 128
    whole, once = sample(digits(257, 100), 64)
    assert (len(whole.x_train), len(whole.x_val), once) == (257, 100, 1.0)


def test_a_trial_that_raises_while_it_is_measured_says_so() -> None:
    config = MlpConfig(max_epochs=1, hidden=(8,), batch_norm=True, batch_size=1)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        seconds_per_lane_epoch(LoopedLanes(digits(5, 5), device=CPU), [config])
