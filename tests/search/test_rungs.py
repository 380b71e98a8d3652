"""numpy's percentile, which Ray's bracket asks of a rung, is the oracle of ours."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.rungs import Rung

VALUES = st.lists(st.floats(allow_nan=True) | st.sampled_from([0.25, 0.5, 0.75]), min_size=1, max_size=40)


def rung_of(values):
    rung = Rung()
    for number, value in enumerate(values):
        rung[f"{number:05d}"] = value
    return rung


@given(VALUES, st.integers(2, 9) | st.floats(1.01, 20))
def test_the_quantile_is_numpys_bit_for_bit(values, factor):
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
