"""Columns and rows that make a model look better than it is are pointed out by name, and others are not."""

import numpy as np
import pytest

from trainables.data.parts import Parts
from trainables.data.splits import Arrays
from trainables.data.suspects import copied_rows, suspicious_columns

N = 400
RNG = np.random.default_rng(0)
CLASSES = np.sort(RNG.integers(0, 3, N))  # sorted, as files often are: the order of rows tells nothing
NUMBERS = RNG.normal(0, 1, N)
NOISE = RNG.normal(0, 1, N)
COIN = np.sort(np.arange(N) % 2)
PATIENT = np.repeat(np.arange(N // 8), 8).astype(float)

LEAKS = [
    ("copy", CLASSES.astype(float), CLASSES),
    ("code", np.array(["b", "a", "c"], object)[CLASSES], CLASSES),
    ("died_on", np.where(CLASSES > 0, 20000 + NOISE, np.nan), (CLASSES > 0).astype(int)),
    ("cents", np.round(100 * NUMBERS), NUMBERS),
    ("squared", np.exp(NUMBERS), NUMBERS),
    ("skewed", NUMBERS, np.exp(3 * NUMBERS)),
    ("almost", np.where(np.arange(N) % 100, COIN, 1 - COIN), COIN),
]
HARMLESS = [
    ("noise", NOISE, CLASSES),
    ("constant", np.zeros(N), CLASSES),
    ("flag", (NOISE > 0).astype(float), CLASSES),
    ("strong", CLASSES + 0.3 * NOISE, CLASSES),
    ("words", np.array(["x", "y"], object)[(NOISE > 0).astype(int)], NUMBERS),
    ("rich", NOISE, np.append(np.exp(NUMBERS[1:]), 1e6)),
    ("close", NUMBERS + 0.3 * NOISE, NUMBERS),
]


def kinds(name, column, y):
    found = suspicious_columns({name: column}, y, numeric=y.dtype.kind == "f", seed=0)
    assert all(notice.warning and notice.names == (name,) and repr(name) in notice.text for notice in found)
    return [notice.kind for notice in found]


@pytest.mark.parametrize(("name", "column", "y"), LEAKS, ids=[name for name, *_ in LEAKS])
def test_a_column_that_knows_the_target_is_pointed_out(name, column, y):
    assert kinds(name, column, y) == ["target_leak"]


@pytest.mark.parametrize(("name", "column", "y"), HARMLESS, ids=[name for name, *_ in HARMLESS])
def test_a_column_that_only_helps_is_not_pointed_out(name, column, y):
    assert kinds(name, column, y) == []


def test_identifiers_and_groups_are_pointed_out():
    coin = RNG.integers(0, 2, N)
    assert kinds("row_id", RNG.permutation(10**6)[:N].astype(float), coin) == ["identifier_columns"]
    assert kinds("n", RNG.permutation(N).astype(float), coin) == ["identifier_columns"]
    assert kinds("salary", RNG.permutation(10**6)[:N].astype(float), coin) == []
    assert kinds("patient", PATIENT, coin) == ["groups"]
    assert kinds("x", PATIENT, np.repeat(RNG.integers(0, 2, N // 8), 8)) == ["groups"]
    assert kinds("x", PATIENT, coin) == []


def test_rows_that_are_copies_are_counted_within_and_across_parts():
    x = RNG.normal(0, 1, (N, 2)).astype(np.float32)
    whole = Arrays(x, CLASSES)
    assert copied_rows(Parts(whole, Arrays(x[:0], CLASSES[:0]), Arrays(x[:0], CLASSES[:0])), {}) == []
    parts = Parts(Arrays(x[[0, 0, *range(200)]], CLASSES[[0, 0, *range(200)]]), Arrays(x[:9], CLASSES[:9]), whole)
    (notice,) = copied_rows(parts, {"a": x[:, 0]})
    assert notice.count == 2 + 9 + 200
    assert "9 validation and 200 test rows have a copy in train" in notice.text
    assert notice.warning
    (few,) = copied_rows(parts, {"a": (x[:, 0] > 0).astype(float)})
    assert not few.warning  # of few possible rows many are alike
