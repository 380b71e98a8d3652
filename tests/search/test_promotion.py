"""ASHA's promotion form: what is compared, who is promoted, and that a replay of the ledger chooses the same."""

import math
import random

import pytest

from search.brain.scheduler import build_scheduler
from search.ledger.outcome import StopReason, TrialState
from search.ledger.rows import DecisionRow, EpochRow, TrialRow
from tests.search.conftest import make_study
from trainables.report import EpochReport

LONGEST = 9


def study(grace=1, eta=3, mode="min", epochs=LONGEST):
    metric = "val_loss" if mode == "min" else "val_accuracy"
    scheduler = {"name": "promote", "grace": grace, "reduction_factor": eta}
    return make_study(
        scheduler=scheduler, budget={"max_epochs": epochs, "trials": 500}, objective={"metric": metric, "mode": mode}
    )


class Played:
    """A scheduler that is played to in rounds, and all that it was told and said.

    Args:
        study: with the scheduler.
        value: trial, epoch -> what it reports.
    """

    def __init__(self, study, value, *, lanes=4, trials=30):
        self.study, self.value, self.lanes, self.trials = study, value, lanes, trials
        self.scheduler = build_scheduler(study)
        self.epochs, self.decisions, self.rounds = [], [], []
        self.age, self.seated, self.begun, self.ended = {}, [], 0, set()

    def report(self, number):
        epoch = self.age[number] = self.age.get(number, 0) + 1
        metric = self.study.objective.metric
        stop = "max_epochs" if epoch == self.study.budget.max_epochs else None
        report = EpochReport(epoch, {metric: self.value(number, epoch)}, 0.0, stop)
        self.epochs.append(EpochRow(len(self.epochs) + 1, number, epoch, 0.0, 0.0, report.metrics))
        if stop is None:
            assert self.scheduler.decide(number, report) is None
        else:
            self.scheduler.complete(number, report)
            self.ended.add(number)
            self.seated.remove(number)

    def choose(self):
        choice = self.scheduler.choose(self.lanes, sorted(self.seated), self.trials - self.begun)
        for decisions in (choice.pause, choice.go_on, choice.resume):
            self.decisions += [(number, d) for number, d in decisions.items()]
        assert not choice.pause.keys() - set(self.seated) and not choice.resume.keys() & set(self.seated)
        self.seated = [n for n in self.seated if n not in choice.pause] + list(choice.resume)
        for _ in choice.begin:
            self.scheduler.add(self.begun)
            self.seated.append(self.begun)
            self.begun += 1
        assert len(self.seated) <= self.lanes
        self.rounds.append(sorted(self.seated))
        return choice

    def play(self, rounds=10_000):
        for _ in range(rounds):
            self.choose()
            if not self.seated:
                break
            for number in sorted(self.seated):
                self.report(number)
        return self

    def rows(self):
        """Return the trials as a ledger has them at this moment."""
        paused = self.scheduler.paused
        return [
            TrialRow(
                number=n,
                params={},
                config_hash="",
                seed=0,
                sampler_attrs={},
                repeats=[],
                state=(
                    TrialState.COMPLETE if n in self.ended else TrialState.PAUSED if n in paused else TrialState.RUNNING
                ),
                reason=StopReason.MAX_EPOCHS if n in self.ended else None,
                rung=None,
                message=None,
                traceback=None,
                started_at=0.0,
                ended_at=None,
                revision=0,
            )
            for n in range(self.begun)
        ]


def drawn(seed):
    """Return noisy curves that fall, at levels of their own."""

    def value(number, epoch):
        rng = random.Random(f"{seed}-{number}")
        level = rng.random()
        return level + 1 / epoch + random.Random(f"{seed}-{number}-{epoch}").gauss(0, 0.05)

    return value


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_trial_trains_on_only_while_it_is_among_the_best_of_its_rung(lanes):
    played = Played(study(), drawn(1), lanes=lanes, trials=27).play()
    best = {
        rung: sorted(
            (min(played.value(n, e) for e in range(1, rung + 1)), n) for n, age in played.age.items() if age >= rung
        )
        for rung in (1, 3)
    }
    assert [len(best[rung]) for rung in (1, 3)] >= [27, 9]
    for rung in (1, 3):
        first = {n for _, n in best[rung][: len(best[rung]) // 3]}
        passed = {n for n, age in played.age.items() if age > rung}
        assert first <= passed, "whoever belongs to the best third at the end was promoted"
    assert played.age[0] == LONGEST, "the baseline goes on to its own end"
    assert len(played.epochs) < 27 * LONGEST / 2


def test_the_higher_rung_is_promoted_first_and_at_a_rung_the_best():
    values = {0: 0.5, 1: 0.4, 2: 0.3, 3: 0.9, 4: 0.8, 5: 0.7}
    played = Played(study(), lambda n, e: values.get(n, 1.0 + n), lanes=1, trials=12)
    played.play(3)
    assert (played.rounds, played.age) == ([[0], [1], [2]], {0: 1, 1: 1, 2: 1})
    choice = played.choose()
    assert list(choice.go_on) == [2], "of three the best has just reported: it keeps its lane"
    assert choice.go_on[2].reason == "among the best 1 of 3 at rung 1"
    assert (choice.go_on[2].value, choice.go_on[2].cutoff, choice.go_on[2].epoch) == (0.3, 0.3, 1)


def test_who_is_paused_and_resumed_is_said_with_what_it_was_compared_with():
    def values(number, epoch):
        return {0: 0.5, 1: 0.6, 2: 0.7, 3: 0.2}[number] / epoch

    played = Played(
        study(eta=2), lambda n, e: {0: 0.5, 1: 0.6, 2: 0.7, 3: 0.2}.get(n, 0.9) / e, lanes=1, trials=4
    ).play()
    said = [(n, d.epoch, d.action, d.reason) for n, d in played.decisions][:5]
    assert said == [
        (0, 1, "pause", "first at rung 1"),
        (1, 1, "pause", "not among the best 1 of 2 at rung 1"),
        (0, 1, "resume", "among the best 1 of 2 at rung 1"),
        (0, 2, "pause", "first at rung 2"),
        (2, 1, "pause", "not among the best 1 of 3 at rung 1"),
    ]


def test_higher_is_better_where_the_objective_says_so():
    played = Played(study(mode="max"), lambda n, e: n / 100, lanes=1, trials=9).play()
    assert played.age[8] == LONGEST and played.age[1] == 1
    assert played.scheduler.rungs()[1] == {n: n / 100 for n in range(9)}


def test_a_value_that_is_no_number_is_never_promoted():
    played = Played(study(), lambda n, e: math.nan if n % 2 else 1.0, lanes=2, trials=12).play()
    assert {played.age[n] for n in range(1, 12, 2)} == {1}


def test_a_trial_that_diverged_holds_no_place_at_a_rung():
    played = Played(study(), lambda n, e: n + 1.0, lanes=1, trials=9).play(4)
    played.scheduler.complete(1, EpochReport(2, {"val_loss": math.nan}, 0.0, "diverged"))
    assert 1 not in played.scheduler.rungs()[1]


def test_paused_trials_that_are_away_are_not_chosen():
    played = Played(study(), lambda n, e: 1.0 + n, lanes=1, trials=3).play(3)
    assert played.scheduler.paused == {0, 1}
    choice = played.scheduler.choose(1, [2], 0, away=[0])
    assert not choice.resume
    assert list(played.scheduler.choose(1, [], 0).resume) == [0]


@pytest.mark.parametrize("rounds", [1, 2, 5, 11, 17, 23])
@pytest.mark.parametrize("chosen", [False, True])
def test_a_replay_chooses_as_the_search_that_was_not_interrupted(rounds, chosen):
    played = Played(study(eta=2), drawn(3)).play(rounds)
    if chosen:  # the ledger may have the choice of a round that was not trained any more
        played.choose()
    again = build_scheduler(played.study)
    decisions = [DecisionRow(n, d.epoch, d.action) for n, d in played.decisions]
    again.replay(played.epochs, played.rows(), decisions)
    seated, fresh = sorted(played.seated), played.trials - played.begun
    assert again.paused == played.scheduler.paused
    expected = played.scheduler.choose(4, seated, fresh)
    found = again.choose(4, seated, fresh)
    assert (found, again.rungs()) == (expected, played.scheduler.rungs())


def test_ten_thousand_trials_take_no_time_to_compare():
    played = Played(study(epochs=3), drawn(2), lanes=16, trials=3000).play()
    assert len(played.age) == 3000


def test_the_baseline_waits_for_nobody_where_time_may_end_the_search():
    """At that moment it would be where its first rung was, and nothing could be compared with it."""
    declared = make_study(
        scheduler={"name": "promote", "grace": 1, "reduction_factor": 3},
        budget={"max_epochs": LONGEST, "trials": 500, "time_s": 60.0},
    )
    played = Played(declared, lambda number, epoch: 9.0 - number / 100).play(rounds=LONGEST)
    assert played.age[0] == LONGEST and 0 in played.ended
    assert {number for number, decision in played.decisions if decision.action == "pause"} >= {1, 2, 3}
    assert not any(number == 0 for number, _ in played.decisions)
