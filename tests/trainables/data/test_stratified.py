"""The oracle of our stratified draw is scikit-learn's: the same seed draws the same examples."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedShuffleSplit

from trainables.data.sklearn_sets import read_digits
from trainables.data.stratified import draw_stratified
from trainables.errors import DataError


def drawn_by_sklearn(y, size, seed):
    chosen, _ = next(StratifiedShuffleSplit(1, train_size=size, random_state=seed).split(y[:, None], y))
    return np.sort(chosen)


@given(st.lists(st.integers(2, 30), min_size=1, max_size=8), st.floats(0, 1), st.integers(0, 2**32 - 1), st.data())
def test_scikit_learn_draws_the_same_examples(counts, share, seed, data):
    y = np.repeat(np.arange(len(counts)) * 3, counts)
    y = y[data.draw(st.permutations(range(len(y))))]
    size = len(counts) + int(share * (len(y) - 2 * len(counts)))
    assume(len(counts) <= size <= len(y) - len(counts))
    assert np.array_equal(draw_stratified(y, size, seed=seed), drawn_by_sklearn(y, size, seed))


@pytest.mark.parametrize("size", [359, 1078, 1437, 10])
def test_scikit_learn_draws_the_same_digits(size):
    _, y = read_digits()
    for seed in range(5):
        assert np.array_equal(draw_stratified(y, size, seed=seed), drawn_by_sklearn(y, size, seed))


@pytest.mark.parametrize(
    ("y", "size", "why"),
    [
        ([0, 0, 1, 1], 0, "one of the two would be empty"),
        ([0, 0, 1, 1], 4, "one of the two would be empty"),
        ([0, 0, 1, 2], 2, "2 of 3 classes have one example, and each needs two"),
        ([0, 0, 1, 1], 1, "one of the two would have fewer examples than there are classes, 2"),
        ([0, 0, 1, 1], 3, "one of the two would have fewer examples than there are classes, 2"),
    ],
)
def test_what_scikit_learn_refuses_is_refused(y, size, why):
    y = np.array(y)
    with pytest.raises(DataError, match=f"{len(y)} examples cannot be split into {size} and the rest: {why}"):
        draw_stratified(y, size, seed=0)
    with pytest.raises(ValueError):
        drawn_by_sklearn(y, size, 0)


def test_the_digits_are_those_that_scikit_learn_loads():
    ours, theirs = read_digits(), load_digits(return_X_y=True)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype
        assert np.array_equal(mine, other)
