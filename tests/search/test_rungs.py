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
        rung[number] = value
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
        rung[number] = values[-1]
        if number % 97 == 0:
            assert rung.quantile(2 / 3) == np.nanquantile(values, 2 / 3)
    assert dict(rung) == {n: v for n, v in enumerate(values)}


def test_a_trial_is_recorded_once():
    rung = rung_of([1.0])
    with pytest.raises(KeyError, match="trial 0 was recorded at this rung before"):
        rung[0] = 2.0


def test_the_median_is_that_of_the_others_that_got_so_far():
    means = RunningMeans(first=2)
    for number, values in {0: [9, 1, 3], 1: [9, 5], 2: [9, 7, 7], 3: [9, math.inf]}.items():
        for epoch, value in enumerate(values, 1):
            means.add(number, epoch, value)
    assert means.others(1) == (2, (1 + 7) / 2)  # at epoch 2: 0 has 1, 2 has 7, 3 has no average
    assert means.others(0) == (1, 7.0)  # at epoch 3: 2 alone
    assert means.others(3) == (3, 5.0)
    means.add(0, 3, 3)  # once more, as Ray counts the last result of a trial that ends
    assert means.others(2) == (1, pytest.approx((1 + 3 + 3) / 3, rel=1e-15))
    means.add(4, 1, 9)
    assert means.others(4) == (0, pytest.approx(math.nan, nan_ok=True))


def test_values_that_are_equal_are_told_apart_by_their_number():
    means = RunningMeans(first=1)
    for number in range(5):
        means.add(number, 1, 0.5)
    assert means.others(3) == (4, 0.5)


def test_an_epoch_that_was_left_out_counts_with_what_came_before():
    means = RunningMeans(first=2)
    for epoch, value in ((1, 9), (2, 4), (5, 6)):
        means.add(0, epoch, value)
    for epoch in range(1, 6):
        means.add(1, epoch, 0)
        others = means.others(1)
        assert others == {1: (0, pytest.approx(math.nan, nan_ok=True)), 5: (1, 5.0)}.get(epoch, (1, 4.0))


def test_an_epoch_before_a_trials_last_one_is_an_error():
    means = RunningMeans(first=1)
    means.add(0, 3, 0.5)
    with pytest.raises(ValueError, match="trial 0 reported epoch 2 after epoch 3"):
        means.add(0, 2, 0.5)


def test_a_trial_that_ended_leaves_its_averages():
    means = RunningMeans(first=1)
    means.add(0, 1, 0.5)
    means.forget(0)
    means.add(1, 1, 0.75)
    assert means.others(1) == (1, 0.5)
    with pytest.raises(KeyError):
        means.values(0)
