"""Which way a number is better, and what follows from it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.direction import Direction

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FINITE, min_size=1))
def test_the_best_of_some_values_is_the_least_or_the_most_of_them(values):
    assert Direction.MIN.best(values) == min(values)
    assert Direction.MAX.best(values) == max(values)


def test_the_first_of_equals_is_the_best_in_both_directions():
    places = {1: 0.5, 2: 0.5, 3: 0.5}
    assert [direction.best(places, key=places.__getitem__) for direction in Direction] == [1, 1]


@given(FINITE, FINITE, st.sampled_from(Direction))
def test_better_costs_and_the_sort_order_agree(a, b, direction):
    assert direction.better(a, b) == (direction.cost(a) < direction.cost(b))
    assert direction.better(a, b) == (a < b if direction.ascending else a > b)


@pytest.mark.parametrize("direction", Direction)
def test_a_value_that_is_no_number_is_better_than_nothing(direction):
    assert direction.better(1.0, math.nan)
    assert not direction.better(math.nan, 1.0)
    assert not direction.better(math.nan, math.nan)


def test_the_cost_of_an_array_is_taken_of_each_of_its_values():
    values = np.array([1.0, -2.0])
    assert Direction.MIN.cost(values).tolist() == [1.0, -2.0]
    assert Direction.MAX.cost(values).tolist() == [-1.0, 2.0]
