"""What the tpe sampler looks at of a long history."""

import random

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from search.brain.trial_history import BEST, FRONT, SELECTED, TrialHistory

X = {"x": FloatDistribution(0.0, 1.0)}


def history_of(trials, directions=("minimize",), *, seed=None):
    """Return a history of an Optuna study of ``trials``, added by number or shuffled by ``seed``."""
    study = optuna.create_study(directions=list(directions))
    study.add_trials(trials)
    history, numbers = TrialHistory(study), list(range(len(trials)))
    if seed is not None:
        random.Random(seed).shuffle(numbers)
    for number in numbers:
        history.add(number)  # in a storage of one study they are Optuna's identifiers too
    return history


def complete(*values):
    return create_trial(state=TrialState.COMPLETE, values=list(values), params={"x": 0.5}, distributions=X)


def pruned(intermediate):
    return create_trial(state=TrialState.PRUNED, params={"x": 0.5}, distributions=X, intermediate_values=intermediate)


def numbers_of(history, without=-1):
    return [[trial.number for trial in part] for part in history.split(without=without)]


def values(count, objectives=1):
    rng = random.Random(0)
    return [complete(*(rng.random() for _ in range(objectives))) for _ in range(count)]


def test_a_history_up_to_the_bound_is_looked_at_whole():
    history = history_of(values(SELECTED))
    good, others = numbers_of(history)
    assert not history.outgrown
    assert sorted(good + others) == list(range(SELECTED))


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_of_a_longer_one_the_best_are_good_and_the_others_are_spread_over_their_ages(direction):
    trials = values(4 * SELECTED)
    history = history_of(trials, (direction,))
    good, others = numbers_of(history)
    ranked = sorted(range(len(trials)), key=lambda n: trials[n].value, reverse=direction == "maximize")
    assert history.outgrown
    assert good == sorted(ranked[:BEST])
    assert len(others) == SELECTED and not set(others) & set(good)
    assert others[-1] == max(set(range(len(trials))) - set(good))
    gaps = [b - a for a, b in zip(others, others[1:], strict=False)]
    assert max(gaps) <= 8  # 3.9 on average, and a good trial may lie between


def test_too_few_complete_trials_are_filled_up_with_pruned_ones_that_came_furthest():
    trials = [complete(0.9), pruned({1: 0.1}), pruned({1: 0.9, 2: 0.8}), pruned({}), pruned({1: 0.9, 2: 0.7})]
    trials += [pruned({1: 0.5})] * 26
    good, _ = numbers_of(history_of(trials))
    assert good == [0, 1, 2, 4]  # 31 trials: a tenth of them, rounded up


@pytest.mark.parametrize("objectives", [1, 2])
def test_the_order_in_which_trials_end_does_not_matter(objectives):
    trials = values(2 * SELECTED, objectives)
    directions = ["minimize"] * objectives
    assert numbers_of(history_of(trials, directions)) == numbers_of(history_of(trials, directions, seed=1))


def test_with_several_objectives_the_pareto_front_is_always_looked_at():
    front = [complete(float(i), float(-i)) for i in range(10)]
    beaten = [complete(100.0 + i, 100.0) for i in range(3 * SELECTED)]
    good, others = numbers_of(history_of(front + beaten, ("minimize", "minimize")))
    assert set(range(10)) <= set(good)
    assert len(good) + len(others) == SELECTED + 10
    long = [complete(float(i), float(-i)) for i in range(2 * SELECTED)]
    good, others = numbers_of(history_of(long, ("minimize", "minimize")))
    assert len(good) + len(others) == SELECTED + FRONT


def test_running_trials_are_among_the_others_and_failed_ones_nowhere():
    running = create_trial(state=TrialState.RUNNING, params={}, distributions={})
    failed = create_trial(state=TrialState.FAIL, params={"x": 0.5}, distributions=X)
    history = history_of([complete(0.5), running, failed, running])
    assert len(history) == 1
    assert numbers_of(history, without=3) == [[0], [1]]
