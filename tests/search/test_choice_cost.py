"""For how many epochs a choice is: weighed once by the clock, kept, and never where it is declared."""

import pytest

from search.brain.choice_cost import FEWEST, WEIGHED_AFTER, ChoiceCost
from tests.search.conftest import make_study


def cost(*, choice_s, epoch_s, declared=None, weighed=None, max_epochs=30):
    study = make_study(
        scheduler={"name": "freeze_thaw", "epochs_a_choice": declared}, budget={"max_epochs": max_epochs, "trials": 40}
    )
    found = ChoiceCost(study, weighed)
    found.chose(FEWEST, FEWEST * choice_s)
    for _ in range(WEIGHED_AFTER):
        found.trained(epoch_s)
    return found


@pytest.mark.parametrize(
    ("choice_s", "epoch_s", "max_epochs", "each"),
    [
        (0.010, 0.050, 30, 1),  # dear epochs: each is chosen
        (0.010, 0.010, 30, 1),
        (0.010, 0.009, 30, 3),  # twice the ratio: choices take longer later
        (0.010, 0.004, 30, 5),
        (0.010, 0.001, 30, 10),  # at most a third of a trial
        (0.010, 0.0, 9, 3),
        (0.010, 0.001, 2, 1),
    ],
)
def test_a_choice_is_for_so_many_epochs_that_it_takes_no_longer_than_they_do(choice_s, epoch_s, max_epochs, each):
    found = cost(choice_s=choice_s, epoch_s=epoch_s, max_epochs=max_epochs)
    assert found.epochs_a_choice(WEIGHED_AFTER) == 1, "not weighed yet"
    event = found.weigh(WEIGHED_AFTER)
    assert (event.epochs, event.epochs_a_choice) == (WEIGHED_AFTER, each)
    assert found.epochs_a_choice(WEIGHED_AFTER) == each and found.epochs_a_choice(WEIGHED_AFTER - 1) == 1
    assert found.weigh(WEIGHED_AFTER + 100) is None, "once"
    assert (f"for {each} epochs each" in found.sentence(WEIGHED_AFTER)) == (each > 1)


def test_it_is_not_weighed_before_enough_is_known():
    found = cost(choice_s=0.01, epoch_s=0.001)
    assert found.weigh(WEIGHED_AFTER - 1) is None
    fresh = ChoiceCost(make_study(scheduler={"name": "freeze_thaw"}))
    assert fresh.weigh(WEIGHED_AFTER) is None and fresh.sentence(WEIGHED_AFTER) == ""


@pytest.mark.parametrize(("declared", "weighed"), [(4, None), (4, 7), (None, 4)])
def test_what_is_declared_or_was_weighed_before_is_kept_whatever_the_clock_says(declared, weighed):
    found = cost(choice_s=0.01, epoch_s=1e-4, declared=declared, weighed=weighed)
    assert found.weigh(WEIGHED_AFTER) is None
    assert (found.epochs_a_choice(0), found.epochs_a_choice(WEIGHED_AFTER)) == (1, 4)


def test_where_choices_take_longer_all_the_same_the_other_scheduler_is_named():
    line = cost(choice_s=0.01, epoch_s=0.001, declared=1).sentence(WEIGHED_AFTER)
    assert line == (
        "freeze_thaw made 16 choices in 0.2 s, 10 ms each; an epoch took 1 ms: --scheduler promote chooses in no time"
    )
