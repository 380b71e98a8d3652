"""A search that ends where more trials are expected to bring too little, and how it goes on."""

import pytest

from search.brain.gain_rule import LEAST_ENDED, GainRule
from search.brain.sampler import OptunaSampler
from search.ledger import LedgerWriter
from search.ledger.events import EventKind, GainBelow
from spaces import Space, float_
from tests.search.conftest import make_study
from tests.search.drive import Drive

LINE = Space((float_("x", 0.0, 1.0, baseline=0.5),))


def study_of(below, trials=64, **values):
    budget = {"trials": trials, "max_epochs": 1, "until_gain_below": below}
    return make_study(LINE, budget=budget, sampler="random", scheduler={"name": "none"}, **values)


def drive_of(study, writer=None, ended_by=()):
    drive = Drive(study, lambda params: [params["x"]], writer=writer)
    drive.sampler = OptunaSampler(study, ended_by=ended_by, note=writer.event if writer else lambda event: None)
    return drive


def decisions(ledger, study_id):
    return [row.event for row in ledger.events(study_id, EventKind.GAIN_BELOW)]


def test_a_search_goes_on_while_more_trials_promise_more_than_is_asked_for():
    assert len(drive_of(study_of(1e-9)).run().orders) == 64
    assert len(drive_of(study_of(None)).run().orders) == 64


def test_it_ends_once_they_do_not_after_enough_trials_and_says_so_once(ledger, study_id):
    writer = LedgerWriter(ledger, study_id)
    drive = drive_of(study_of(0.02), writer).run()
    writer.flush()
    assert LEAST_ENDED < len(drive.orders) < 64
    (decision,) = decisions(ledger, study_id)
    assert decision == drive.sampler.settled
    assert decision.trials == len(drive.orders) - 1 and decision.gain < 0.02 == decision.below
    assert drive.sampler.finished and not drive.sampler.exhausted


def test_the_first_trials_are_never_too_few_to_end_it():
    assert len(drive_of(study_of(1e9)).run().orders) == LEAST_ENDED + 1


@pytest.mark.parametrize("trials", [5, 12, 20])
def test_interrupted_and_resumed_it_ends_at_the_same_trial(ledger, study_id, trials):
    study, writer = study_of(0.01, seed=4), LedgerWriter(ledger, study_id)
    whole = drive_of(study).run()
    assert len(whole.orders) > 20, "else the last interruption is after the end"
    drive_of(study, writer).run(trials)
    writer.flush()
    resumed = drive_of(study, writer).replay(ledger, study_id).run()
    writer.flush()
    assert len(ledger.trials(study_id)) == len(whole.orders)
    assert decisions(ledger, study_id) == [whole.sampler.settled]
    assert resumed.params == whole.params[-len(resumed.params) :]


def test_a_resume_of_a_search_that_ended_so_trains_what_was_running_and_nothing_else(ledger, study_id):
    study, writer = study_of(0.02), LedgerWriter(ledger, study_id)
    drive = drive_of(study, writer).run()
    writer.flush()
    writer.trial_resumed(7)  # as if it had been running when the others ended the search
    writer.flush()
    before = len(ledger.trials(study_id))
    resumed = drive_of(study, writer, decisions(ledger, study_id)).replay(ledger, study_id)
    assert [order.number for order in iter(resumed.ask, None)] == [7]
    assert resumed.sampler.settled == drive.sampler.settled
    writer.flush()
    assert len(ledger.trials(study_id)) == before and len(decisions(ledger, study_id)) == 1


def test_extended_by_more_trials_it_goes_on_for_as_many_as_at_the_start(ledger, study_id):
    writer = LedgerWriter(ledger, study_id)
    first = drive_of(study_of(0.02), writer).run()
    writer.flush()
    extended = drive_of(study_of(0.02, trials=80), writer, decisions(ledger, study_id)).replay(ledger, study_id).run()
    writer.flush()
    assert len(extended.orders) >= LEAST_ENDED
    assert [d.planned for d in decisions(ledger, study_id)][0] == 64
    assert len(ledger.trials(study_id)) == len(first.orders) + len(extended.orders)


def test_trials_without_a_value_count_as_ended_and_the_baseline_does_not():
    rule = GainRule(study_of(1e9))
    rule.ended(0, [0.5])
    for number in range(1, LEAST_ENDED):
        rule.ended(number, [1.0 / number])
    assert rule.decide() is None
    rule.ended(LEAST_ENDED, [])
    assert isinstance(rule.decide(), GainBelow)
