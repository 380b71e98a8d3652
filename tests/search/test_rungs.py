"""numpy's percentile, which Ray's bracket asks of a rung, is the oracle of ours."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.brain.rungs import Rung, RunningMeans

VALUES = st.lists(st.floats(allow_nan=True) | st.sampled_from([0.25, 0.5, 0.75]), min_size=1, max_size=40)


def rung_of(values):
    rung = Rung()
    for number, value in enumerate(values):
        rung[f"{number:05d}"] = value
    return rung


@given(VALUES, st.integers(2, 9) | st.floats(1.01, 20))
def test_the_quantile_of_a_rung_is_numpys_bit_for_bit(values, factor):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy warns of infinities and of nothing but NaN
        expected = np.nanpercentile(values, (1 - 1 / factor) * 100)
    found = rung_of(values).quantile((1 - 1 / factor) * 100 / 100)
    assert found == expected or math.isnan(found) and math.isnan(expected)


def test_a_rung_of_thousands_agrees_at_every_size():
    rng, rung, values = np.random.default_rng(1), Rung(), []
    for number in range(3000):
        values.append(float(rng.normal()))
        rung[str(number)] = values[-1]
        if number % 97 == 0:
            assert rung.quantile(2 / 3) == np.nanquantile(values, 2 / 3)
    assert dict(rung) == {str(n): v for n, v in enumerate(values)}


def test_a_trial_is_recorded_once():
    rung = rung_of([1.0])
    with pytest.raises(KeyError, match="trial 00000 was recorded at this rung before"):
        rung["00000"] = 2.0


def test_the_median_is_that_of_the_others_that_got_so_far():
    means = RunningMeans(first=2)
    for trial_id, values in {"a": [9, 1, 3], "b": [9, 5], "c": [9, 7, 7], "d": [9, math.inf]}.items():
        for epoch, value in enumerate(values, 1):
            means.add(trial_id, epoch, value)
    assert means.others("b") == (2, (1 + 7) / 2)  # at epoch 2: a has 1, c has 7, d has no average
    assert means.others("a") == (1, 7.0)  # at epoch 3: c alone
    assert means.others("d") == (3, 5.0)
    means.add("a", 3, 3)  # once more, as Ray counts the last result of a trial that ends
    assert means.others("c") == (1, pytest.approx((1 + 3 + 3) / 3, rel=1e-15))
    means.add("e", 1, 9)
    assert means.others("e") == (0, pytest.approx(math.nan, nan_ok=True))


def test_values_that_are_equal_are_told_apart_by_their_number():
    means = RunningMeans(first=1)
    for number in range(5):
        means.add(str(number), 1, 0.5)
    assert means.others("3") == (4, 0.5)


def test_an_epoch_that_was_left_out_counts_with_what_came_before():
    means = RunningMeans(first=2)
    for epoch, value in ((1, 9), (2, 4), (5, 6)):
        means.add("a", epoch, value)
    for epoch in range(1, 6):
        means.add("b", epoch, 0)
        others = means.others("b")
        assert others == {1: (0, pytest.approx(math.nan, nan_ok=True)), 5: (1, 5.0)}.get(epoch, (1, 4.0))


def test_an_epoch_before_a_trials_last_one_is_an_error():
    means = RunningMeans(first=1)
    means.add("a", 3, 0.5)
    with pytest.raises(ValueError, match="trial a reported epoch 2 after epoch 3"):
        means.add("a", 2, 0.5)


def test_a_trial_that_ended_leaves_its_averages():
    means = RunningMeans(first=1)
    means.add("a", 1, 0.5)
    means.forget("a")
    means.add("b", 1, 0.75)
    assert means.others("b") == (1, 0.5)
    with pytest.raises(KeyError):
        means.values("a")
