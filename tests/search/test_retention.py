"""Which trials keep their best model: the first k of the finished ones, whatever the order of the facts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.declaration.study import Objective
from search.executors.retention import FINISHED, Retention
from search.ledger.outcome import TrialState

MIN, MAX = Objective(), Objective(metric="val_accuracy", mode="max")
COMPLETE, PRUNED = TrialState.COMPLETE, TrialState.PRUNED


def ended(retention, number, values, state=COMPLETE):
    for epoch, value in enumerate(values, 1):
        retention.reported(number, epoch, value)
    retention.ended(number, state)


@pytest.mark.parametrize(("objective", "kept"), [(MIN, (2, 0)), (MAX, (1, 0))])
def test_the_first_k_by_their_best_epoch(objective, kept):
    retention = Retention(objective, 2)
    for number, values in enumerate([[0.5, 0.4, 0.6], [0.9, 0.7], [0.5, 0.1]]):
        ended(retention, number, values)
    assert retention.kept == kept
    assert [retention.keeps(n) for n in range(3)] == [n in kept for n in range(3)]


def test_equal_trials_rank_by_number():
    retention = Retention(MIN, 2)
    for number in (5, 3, 9, 1):
        ended(retention, number, [0.5])
    assert retention.kept == (1, 3)


@pytest.mark.parametrize("state", TrialState)
def test_only_finished_trials_count(state):
    retention = Retention(MIN, 2)
    ended(retention, 0, [0.5])
    ended(retention, 1, [0.1], state)
    assert retention.keeps(1) == (state in FINISHED)
    assert (retention.best(1) is not None) == state.resumable, "one that goes on is remembered"
    assert retention.take_settled() == ([0] if state.resumable else [0, 1])


def test_without_a_finite_value_nothing_is_kept():
    retention = Retention(MIN, 2)
    ended(retention, 0, [math.nan, math.inf, -math.inf])
    ended(retention, 1, [])
    assert retention.kept == ()
    assert retention.take_settled() == [0, 1]


def test_the_best_epoch_of_a_trial_is_the_first_of_equals():
    retention = Retention(MIN, 2)
    assert retention.best(4) is None
    for epoch, value in enumerate([math.nan, 0.5, 0.3, 0.3, 0.4], 1):
        retention.reported(4, epoch, value)
    assert retention.best(4) == (3, 0.3)


def test_those_that_ended_and_those_displaced_are_told_once():
    retention = Retention(MIN, 1)
    ended(retention, 0, [0.5])
    assert retention.take_settled() == [0]
    ended(retention, 1, [0.4], PRUNED)
    ended(retention, 2, [0.9])
    assert sorted(retention.take_settled()) == [0, 1, 2, 2]
    assert retention.take_settled() == []


def test_nothing_is_kept_where_none_is_asked_for():
    retention = Retention(MIN, 0)
    ended(retention, 0, [0.5])
    assert (retention.kept, retention.keeps(0)) == ((), False)
    assert set(retention.take_settled()) == {0}


def test_a_trial_that_was_interrupted_counts_when_it_ends():
    retention = Retention(MIN, 1)
    ended(retention, 0, [0.5, 0.2], TrialState.CANCELLED)
    ended(retention, 1, [0.3])
    retention.reported(0, 3, 0.4)
    retention.ended(0, COMPLETE)
    assert retention.kept == (0,)


def test_the_baseline_is_kept_besides_and_takes_no_place():
    retention = Retention(MIN, 2, besides=(0,))
    for number, value in enumerate([0.9, 0.2, 0.8, 0.3]):
        ended(retention, number, [value])
    assert retention.kept == (1, 3, 0)
    assert [retention.keeps(n) for n in range(4)] == [True, True, False, True]


def test_a_baseline_among_the_first_takes_no_place_of_theirs():
    """All that a confirmation compares, the baseline and the best others, may be recommended."""
    retention = Retention(MIN, 2, besides=(0,))
    for number, value in enumerate([0.1, 0.2, 0.8, 0.3]):
        ended(retention, number, [value])
    assert retention.kept == (1, 3, 0)


def test_a_baseline_that_trains_takes_no_lead():
    retention = Retention(MIN, 1, besides=(0,))
    for number, value in enumerate([0.1, 0.2, 0.3]):
        retention.reported(number, 1, value)
    assert [retention.leads(n) for n in range(3)] == [True, True, False]


@pytest.mark.parametrize(("keep", "state"), [(0, COMPLETE), (2, TrialState.FAILED)])
def test_a_baseline_is_not_kept_where_nothing_is_or_where_it_failed(keep, state):
    retention = Retention(MIN, keep, besides=(0,))
    ended(retention, 0, [0.1], state)
    assert retention.kept == () and set(retention.take_settled()) == {0}


VALUES = st.sampled_from([0.1, 0.2, 0.3, math.nan, math.inf])
TRIALS = st.lists(st.tuples(st.lists(VALUES, max_size=4), st.sampled_from(list(TrialState))), max_size=12)


@given(TRIALS, st.randoms(), st.integers(0, 4), st.sampled_from([MIN, MAX]))
def test_any_order_comes_to_what_a_plain_sort_finds(trials, rng, keep, objective):
    """Also the resume's order: every epoch first, then every ending."""
    order = list(range(len(trials)))
    rng.shuffle(order)
    live, replayed = Retention(objective, keep), Retention(objective, keep)
    for number in order:
        ended(live, number, *trials[number])
    for number, (values, _) in enumerate(trials):
        for epoch, value in enumerate(values, 1):
            replayed.reported(number, epoch, value)
    for number, (_, state) in enumerate(trials):
        replayed.ended(number, state)
    pick = min if objective.mode == "min" else max
    finite = {
        n: [v for v in values if math.isfinite(v)] for n, (values, state) in enumerate(trials) if state in FINISHED
    }
    ranked = sorted((n for n in finite if finite[n]), key=lambda n: (pick(finite[n]) * (1 if pick is min else -1), n))
    assert live.kept == replayed.kept == tuple(ranked[:keep])
    settled = set(live.take_settled())
    assert settled == {n for n, (_, state) in enumerate(trials) if not state.resumable}
