"""What is said of a sampler whose proposals take too long."""

import pytest

from search.brain.sampler_cost import MEASURED_MS, WINDOW, ProposalClock, cost_line, estimated_s
from search.declaration.study import SAMPLERS
from spaces.regularization import SPACE
from tests.search.conftest import make_study


class Clock:
    def __init__(self):
        self.at = 0.0

    def __call__(self):
        return self.at


def noted(costs_s, *, trials, training_s):
    """Return what is said where proposal n takes ``costs_s(n)`` and every trial ``training_s`` of training."""
    said, clock = [], Clock()
    proposals = ProposalClock("gp", trials, said.append, clock)
    for number in range(trials):
        clock.at += costs_s(number)
        proposals.proposed(number, costs_s(number))
        clock.at += training_s
    return said


def test_every_sampler_has_an_estimate_that_grows_with_the_budget():
    assert set(MEASURED_MS) == set(SAMPLERS)
    for sampler in SAMPLERS:
        few, some, many = (estimated_s(sampler, trials) for trials in (50, 500, 20_000))
        assert 0 < few < some < many


def test_an_estimate_is_the_sum_of_what_was_measured():
    assert estimated_s("random", 100) == pytest.approx(0.1 * MEASURED_MS["random"][100])
    at = MEASURED_MS["gp"]
    assert estimated_s("gp", 300) - estimated_s("gp", 100) == pytest.approx(0.2 * (at[100] + at[300]) / 2, rel=0.1)


def test_a_plan_speaks_of_a_sampler_that_takes_too_long_and_of_no_other():
    def line(sampler, trials, **budget):
        return cost_line(make_study(SPACE, sampler=sampler, budget={"trials": trials, **budget}))

    assert line("gp", 64) is None
    assert line("tpe", 2000) is None
    assert line("gp", 2000).startswith("gp at 2,000 trials takes about ")
    assert line("gp", 300) is None
    assert line("gp", 300, time_s=20) is not None


def test_proposals_that_grow_past_the_training_are_said_once():
    (event,) = noted(lambda n: 1e-4 * (n + 1) ** 2, trials=400, training_s=2.0)
    assert (event.sampler, event.planned) == ("gp", 400)
    assert event.trials < 100  # long before most of the time is lost
    left = sum(1e-4 * (n + 1) ** 2 for n in range(event.trials, 400))
    assert event.left_s == pytest.approx(left, rel=0.1)
    assert event.training_s == pytest.approx(2.0 * (400 - event.trials), rel=0.05)


@pytest.mark.parametrize(
    ("cost_s", "trials", "training_s"),
    [(0.005, 10_000, 0.01), (0.5, 2 * WINDOW, 0.0), (1.0, 200, 2.0)],
    ids=["less than training", "soon over", "long training"],
)
def test_proposals_that_cost_less_are_not_spoken_of(cost_s, trials, training_s):
    assert noted(lambda n: cost_s, trials=trials, training_s=training_s) == []
