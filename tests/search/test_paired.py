"""What may be said of values on the same re-splits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.report.comparison import student_interval
from search.report.paired import LEVEL, LOOKS, holm, interval, level_at


def test_the_interval_is_that_of_nadeau_and_bengio():
    values = [0.1, 0.15, 0.08, 0.2, 0.12]
    found = interval(values, share=0.25)
    assert (found.low, found.high) == pytest.approx(student_interval(values, share=0.25))
    assert found.mean == pytest.approx(0.13)


def test_p_agrees_with_the_interval():
    for shift in (0.0, 0.05, 0.1, 0.2):
        values = [shift + v for v in (0.01, -0.02, 0.03, 0.0, -0.01)]
        found = interval(values, share=0.2)
        assert (found.p <= LEVEL) == (not found.low <= 0 <= found.high)


@pytest.mark.parametrize(("values", "p"), [([0.0, 0.0, 0.0], 1.0), ([0.5, 0.5], 0.5), ([0.5] * 6, 1 / 32)])
def test_values_too_coarse_for_a_spread_go_by_their_sign(values, p):
    found = interval(values, share=0.2)
    assert found.p == p and (found.low is None) == (found.mean != 0)


def test_what_no_draw_changes_needs_no_spread():
    assert interval([0.5, 0.5], share=0.2, exact=True).p == 0.0


def test_one_value_has_no_interval():
    found = interval([0.3], share=0.2)
    assert (found.mean, found.low, found.high, found.p) == (0.3, None, None, None)


def test_examples_that_are_the_same_each_time_widen_the_interval():
    narrow, wide = (interval([0.1, 0.2, 0.3], share=0.1, variance_of_examples=v) for v in (0.0, 0.04))
    half = narrow.high - narrow.mean
    assert wide.high - wide.mean == pytest.approx(math.hypot(half, 1.959964 * 0.2), rel=1e-6)


def test_holm_as_in_a_textbook():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02, None, 0.5]) == [0.04, None, 0.5]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_nor_changes_their_order(ps):
    found = holm(ps)
    assert all(q >= p and q <= 1 for p, q in zip(ps, found, strict=True))
    assert all(found[i] <= found[j] for i in range(len(ps)) for j in range(len(ps)) if ps[i] < ps[j])


def test_all_looks_together_spend_no_more_than_the_level():
    assert sum(level_at(look) for look in LOOKS) <= LEVEL
    assert level_at(LOOKS[0]) > level_at(LOOKS[-1]) > 0
