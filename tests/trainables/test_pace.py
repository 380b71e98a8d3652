"""Signs of life: not too few, not too many, with an estimate."""

import logging

import pytest

from trainables.estimate import Estimate
from trainables.pace import LONGEST_S, Pace, shown_by, signs_of_life
from trainables.stage import duration


def lines_of(seconds, *, steps, begun=0.0):
    """Return when a line is said of work that takes ``seconds`` in equal steps, and the lines."""
    said, clock = [], [0.0]
    pace = Pace(lambda line: said.append((clock[0], line)), "weights", begun=begun, now=lambda: clock[0])
    for step in range(1, steps + 1):
        clock[0] = seconds * step / steps
        pace.update(begun + (1 - begun) * step / steps, "val_accuracy 0.5")
    return said


def test_what_is_short_says_nothing():
    assert lines_of(4, steps=100) == []


def test_a_line_says_how_far_it_is_and_how_long_it_will_take():
    assert lines_of(20, steps=20)[0] == (5.0, "weights: 25%, val_accuracy 0.5, about 15 s left")


def test_the_time_to_get_going_is_not_taken_for_the_pace():
    said, clock = [], [0.0]
    pace = Pace(said.append, "runs", now=lambda: clock[0])
    for run in range(1, 21):
        clock[0] = 14.0 + 6.0 * (run - 1)
        pace.update(run / 20)
    assert said[:3] == ["runs: 5%", "runs: 10%", "runs: 15%, about 1 min 42 s left"]


def test_what_ends_side_by_side_counts_as_one_piece():
    clock, estimate = 10.0, Estimate(0.0)
    for run in range(1, 5):
        estimate.update(run / 20, clock + run / 100)
    assert estimate.left(12.0) is None
    for run in range(5, 9):
        estimate.update(run / 20, 12.0 + run / 100)
    assert estimate.left(12.1) == pytest.approx(2.09 / 4 * 12)


def test_what_was_done_before_does_not_make_the_estimate_better():
    assert lines_of(20, steps=20, begun=0.5)[0][1] == "weights: 62%, val_accuracy 0.5, about 15 s left"


@pytest.mark.parametrize("seconds", [10, 100, 1000, 10_000])
def test_lines_come_more_rarely_as_time_goes_on_and_never_stop(seconds):
    times = [at for at, _ in lines_of(seconds, steps=10 * seconds)]
    gaps = [b - a for a, b in zip([0.0, *times], times, strict=False)]
    assert gaps == sorted(gaps, key=lambda gap: round(gap, 1)) or max(gaps) <= LONGEST_S + 0.2
    assert max(gaps) <= LONGEST_S + 0.2 and seconds - times[-1] <= LONGEST_S + 0.2


@pytest.mark.parametrize(
    ("seconds", "words"), [(42, "42 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (59.7, "1 min 00 s")]
)
def test_seconds_are_said_in_the_unit_that_fits(seconds, words):
    assert duration(seconds) == words


def test_lines_from_deep_inside_reach_who_asked_and_nobody_else():
    said = []
    signs_of_life("nobody listens")
    with shown_by(said.append):
        signs_of_life("frozen stages: 50%")
    signs_of_life("nobody listens any more")
    assert said == ["frozen stages: 50%"]
    assert not logging.getLogger("trainables.pace").handlers
