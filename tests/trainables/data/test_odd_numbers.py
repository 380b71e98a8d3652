"""Numbers that may be missing values, dates, codes or totals are pointed out by name, and ordinary ones are not."""

import numpy as np
import pandas as pd
import pytest

from trainables.data.odd_numbers import odd_numbers

RNG = np.random.default_rng(0)
N = 60
MEASURED = RNG.normal(50, 20, N).round(2)
DAYS = pd.Timestamp("2023-01-05") + pd.to_timedelta(RNG.integers(0, 400, N), unit="D")
LONG = 2**53 + np.arange(N)
TOTAL = np.append(np.abs(MEASURED), np.abs(MEASURED).sum())


@pytest.mark.parametrize(
    ("kind", "x"),
    [
        ("stand_ins", np.where(np.arange(N) % 5 == 0, -999, MEASURED)),
        ("stand_ins", np.where(np.arange(N) % 5 == 0, 9999, RNG.integers(0, 300, N))),
        ("dates_as_numbers", np.array(DAYS.strftime("%Y%m%d"), np.int64)),
        ("long_numbers", LONG),
        ("long_numbers", np.where(np.arange(N) % 7 == 0, np.nan, LONG.astype(np.float64))),
        ("long_numbers", np.arange(2**64 - N, 2**64, dtype=np.uint64)),
        ("sum_in_last_row", TOTAL),
        ("sum_in_last_row", np.append(TOTAL[:-1], TOTAL[-1].round(1))),
    ],
)
def test_a_column_that_may_be_something_else_is_pointed_out(kind, x):
    (notice,) = odd_numbers(pd.DataFrame({"x": x}), {})
    assert (notice.kind, notice.names, notice.warning) == (kind, ("x",), True)


@pytest.mark.parametrize(
    "x",
    [
        MEASURED,
        np.append(MEASURED, -999),  # once: an outlier
        RNG.integers(0, 1000, 2000),  # 999 is one of them
        np.zeros(N),
        np.full(N, np.nan),
        RNG.integers(19_000_000, 21_000_000, N),  # no months and days
        RNG.normal(0, 1e20, N),
        np.array([], np.int64),
    ],
    ids=["measured", "outlier", "counts", "zeros", "missing", "amounts", "large", "empty"],
)
def test_ordinary_numbers_are_not(x):
    assert odd_numbers(pd.DataFrame({"x": x}), {}) == []


def test_nothing_is_said_of_dates_that_the_user_calls_numbers():
    days = pd.DataFrame({"day": np.array(DAYS.strftime("%Y%m%d"), np.int64)})
    assert odd_numbers(days, {"day": "number"}) == []
