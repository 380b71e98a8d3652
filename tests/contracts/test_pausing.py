"""What the executors must keep where a scheduler pauses trials: decisions, curves bit for bit, and nothing is lost."""

import json
import random

import pytest

from search.brain.choice import Choice
from search.brain.promotion import PromotionScheduler
from search.drive.engine import conduct
from search.drive.examples import load_data
from search.face.live_view import Silent
from search.ledger import Ledger, sqlite_url
from search.ledger.paths import Paths
from tests.contracts.test_executors import RELATIVE, breaking_numbers, breaking_study, search, small_study
from tests.search.test_resume import kill_and_resume, models, read, reference

PAUSING = ["promote", "freeze_thaw"]
SCHEDULERS = ["asha", "promote", "freeze_thaw", "median", "none"]
LANES = ("--executor", "lanes", "--lanes", "4", "--trials", "16", "--train-examples", "300")
TUNE = ("--executor", "tune", "--workers", "1", "--trials", "6", "--train-examples", "300")


def scheduled(name, **values):
    # what a choice takes depends on the clock: it is declared where two searches must choose the same
    more = {"epochs_a_choice": 2, "total_epochs": 30} if name == "freeze_thaw" else {}
    return {"scheduler": {"name": name, "grace": 1, "reduction_factor": 2, **more}, **values}


def typed(name):
    """Return the same as options."""
    more = ("--epochs-a-choice", "2", "--trials", "12")  # fewer than 9 would be for promote
    return ("--scheduler", name, *(more if name == "freeze_thaw" else ()))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_one_trial_at_a_time_the_executors_choose_the_same(tmp_path, monkeypatch, scheduler):
    monkeypatch.setattr("search.brain.choice_cost.WEIGHED_AFTER", 10)  # then choices are for two epochs each
    one = scheduled(scheduler, resources={"workers": 1})
    tune = search(small_study("tune", executor="tune", **one), tmp_path)
    lanes = search(small_study("lanes", executor="lanes", lanes={"lanes": 1}, **one), tmp_path)
    columns = ["number", "epoch", "action", "reason"] if scheduler in PAUSING else ["number", "epoch", "action"]
    assert lanes.decisions[columns].to_dict("records") == tune.decisions[columns].to_dict("records")
    assert (lanes.reasons(), len(lanes.epochs)) == (tune.reasons(), len(tune.epochs))
    for number in range(10):
        assert lanes.curve(number) == pytest.approx(tune.curve(number), rel=RELATIVE)


@pytest.mark.parametrize("values", [{}, {"paused_mb": 0}], ids=["in memory", "in the store"])
@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_every_second_round_another_half_trains_and_the_curves_are_those_without_a_pause(
    tmp_path, monkeypatch, values, mode
):
    monkeypatch.setattr(PromotionScheduler, "_choose", _alternating)
    lanes = {"executor": "lanes", "lanes": {"lanes": 4, "mode": mode}}
    study = small_study("paused", **scheduled("promote", **lanes))
    study = study.model_copy(update={"scheduler": study.scheduler.model_copy(update=values), "sampler": "random"})
    found = search(study, tmp_path)
    whole = search(
        small_study(
            "random", sampler="random", **scheduled("none", executor="lanes", lanes={"lanes": 4, "mode": mode})
        ),
        tmp_path,
    )
    pauses = found.decisions[found.decisions["action"] == "pause"]["number"].value_counts()
    assert pauses.max() == 5 and set(found.reasons().values()) == {"max_epochs"}
    for number in range(10):
        assert found.curve(number) == whole.curve(number), "bit for bit"
    kept = [models(tmp_path, name) for name in ("paused", "random")]
    assert kept[0] == kept[1] and len(kept[0]) == 4


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_on_ray_tune_a_trial_that_was_paused_five_times_is_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(PromotionScheduler, "_choose", _alternating)
    few = {
        "executor": "tune",
        "sampler": "random",
        "budget": {"trials": 4, "max_epochs": 6},
        "resources": {"workers": 2},
    }
    found = search(small_study("paused", **scheduled("promote", **few)), tmp_path)
    whole = search(small_study("whole", **scheduled("none", **few)), tmp_path)
    assert found.decisions[found.decisions["action"] == "pause"]["number"].value_counts().max() == 5
    assert found.reasons() == whole.reasons() == dict.fromkeys(range(4), "max_epochs")
    for number in range(4):
        assert found.curve(number) == whole.curve(number), "bit for bit"


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_on_ray_takes_up_what_another_paused(tmp_path, monkeypatch):
    monkeypatch.setattr(PromotionScheduler, "_choose", _alternating)
    lanes = {"executor": "lanes", "sampler": "random", "lanes": {"lanes": 2, "mode": "stacked"}}
    found = search(small_study("two", **scheduled("promote", **lanes, resources={"workers": 2})), tmp_path)
    whole = search(small_study("whole", **scheduled("none", **lanes)), tmp_path)
    assert (found.decisions["action"] == "resume").sum() >= 10
    assert found.reasons() == whole.reasons()
    for number in range(10):
        assert found.curve(number) == whole.curve(number), "bit for bit"


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_that_dies_takes_no_paused_trial_with_it(tmp_path, monkeypatch):
    """A process of its own holds the lanes and the paused states, and ends in the middle of an epoch, several times."""
    (marks := tmp_path / "marks").mkdir()
    monkeypatch.setenv("LANEWISE_TEST_MARKS", str(marks))
    monkeypatch.setattr(PromotionScheduler, "_choose", _alternating)
    whole = search(breaking_study("whole", "Looped"), tmp_path)
    promote = scheduled("promote", lanes={"lanes": 2})
    found = search(breaking_study("dies", "ExitsOnce", **promote), tmp_path)
    assert (found.events["kind"] == "worker_lost").sum() == len(breaking_numbers(found)) > 1
    assert (found.decisions["action"] == "pause").sum() > 20
    assert found.reasons() == whole.reasons() == dict.fromkeys(range(10), "max_epochs")
    for number in range(10):
        assert found.curve(number) == whole.curve(number), "bit for bit"


def _alternating(self, lanes, seated, fresh, away):
    """Pause every trial after each of its epochs, and let those that waited longest come back."""
    begun = [n for n in seated if n not in self._curves]
    waiting = sorted(self.paused.difference(away, self._ended), key=lambda n: (len(self._curves[n]), n))
    reported = [n for n in seated if n in self._curves]
    free = lanes - len(begun)
    begin = (None,) * min(fresh, free)
    resume = waiting[: free - len(begin)]
    stay = reported[: free - len(begin) - len(resume)]
    return Choice(
        {n: self._decision(n, "pause", "another's turn") for n in reported if n not in stay},
        {n: self._decision(n, "continue", "nobody waits") for n in stay},
        {n: self._decision(n, "resume", "its turn") for n in resume},
        begin,
    )


def test_the_states_of_trials_are_told_and_those_that_wait_at_the_end_are_not_resumed(tmp_path):
    study = small_study("p", **scheduled("promote", executor="lanes", lanes={"lanes": 3}))
    states = []

    class Watching(Silent):
        def update(self, progress):
            states.append(dict(progress.states))

    conduct(study, tmp_path, load_data, view=Watching())
    assert any(counts.get("PAUSED") for counts in states)
    with Ledger(sqlite_url(tmp_path / "p" / "ledger.db")) as ledger:
        trials, decisions = ledger.trials_frame(1), ledger.decisions_frame(1)
    reasons = dict(zip(trials["number"], trials["stop_reason"], strict=True))
    assert set(reasons.values()) == {"not_resumed", "max_epochs"} and reasons[0] == "max_epochs"
    last = decisions.groupby("number")["action"].last()
    assert {n for n, reason in reasons.items() if reason == "not_resumed"} == set(last[last == "pause"].index)
    assert not list(Paths(tmp_path, "p").checkpoints.glob("trial_*/epoch_*.pt")), "what waited needs no state any more"


def test_a_search_whose_choices_are_for_several_epochs_keeps_to_that_after_a_kill(tmp_path):
    options = (*LANES, "--scheduler", "freeze_thaw")
    kill_and_resume(tmp_path, "weighed", options, [70, 85])
    ((_, told),) = read(tmp_path, "weighed", "select id, data from events where kind = 'choices_weighed'")
    each = json.loads(told)["epochs_a_choice"]
    with Ledger(sqlite_url(tmp_path / "weighed" / "ledger.db")) as ledger:
        decisions = ledger.decisions_frame(1)
    chosen = decisions[decisions["action"].isin(["continue", "resume"])].sort_values(["number", "epoch"])
    assert each >= 1 and len(chosen) > 20
    assert not chosen.duplicated(["number", "epoch"]).any()


@pytest.mark.parametrize("scheduler", PAUSING)
def test_a_killed_driver_resumes_to_the_same_pauses_in_lanes(tmp_path, scheduler):
    options = (*LANES, *typed(scheduler))
    expected = reference(tmp_path, options)
    total = len(expected[0])
    assert kill_and_resume(tmp_path, "killed", options, [total // 3, 2 * total // 3]) == expected
    assert {action for _, _, action, *_ in expected[2]} >= {"pause", "resume"}
    assert models(tmp_path, "killed") == models(tmp_path, "reference")


@pytest.mark.slow
@pytest.mark.timeout(1800)  # ten starts of Ray, on a machine that is busy with others
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("options", [LANES, pytest.param(TUNE, marks=pytest.mark.long)], ids=["lanes", "tune"])
def test_a_driver_killed_at_ten_random_moments_resumes_to_the_same_pauses(tmp_path, options, scheduler):
    options = (*options, *typed(scheduler))
    expected = reference(tmp_path, options, decides=scheduler != "none")
    moments = sorted(random.Random(5).sample(range(1, len(expected[0])), 10))
    assert kill_and_resume(tmp_path, "killed", options, moments) == expected
    assert models(tmp_path, "killed") == models(tmp_path, "reference")


@pytest.mark.parametrize(
    ("budget", "more", "line"),
    [
        (
            {"trials": 2},
            {},
            "freeze_thaw: 2 trials are fewer than 9: there is nothing to model; promote decides in its place",
        ),
        ({"max_epochs": 1}, {}, "freeze_thaw: trials of one epoch have no curves; promote decides in its place"),
        ({}, {"paused_mb": 0}, "trials that wait are written to the checkpoint store at once (--paused-mb 0)"),
    ],
    ids=["two trials", "one epoch", "no memory"],
)
def test_what_a_search_cannot_do_as_declared_is_one_line_of_it(tmp_path, budget, more, line):
    scheduler = {"name": "freeze_thaw", "grace": 1, **more}
    budget = {"trials": 9, "max_epochs": 3, **budget}
    study = small_study("told", scheduler=scheduler, budget=budget, executor="lanes", lanes={"lanes": 3})
    lines = []

    class Told(Silent):
        def say(self, line):
            lines.append(line)

    conduct(study, tmp_path, load_data, view=Told())
    assert lines.count(line) == 1
