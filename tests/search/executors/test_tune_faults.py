"""A search on Ray Tune whose trials fail, diverge, stall or run out, and one that is run twice."""

import dataclasses
import math
from collections import Counter

import pytest

from search.declaration.studies import find
from search.declaration.study import Study
from search.ledger.outcome import TrialState
from spaces import Space, category
from tests.search.executors.conftest import DATA, does, local_ray, make_study, record
from tests.support.controls import SpentOnce
from tests.support.scripted import diary

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def two_cores():
    with local_ray(num_cpus=2):
        yield


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Sixteen trials, most of them wrong in one way or another."""
    folder, home = tmp_path_factory.mktemp("diary"), tmp_path_factory.mktemp("home")
    space = does("trains", "raises", "diverges", "refuses")
    return record(make_study(folder, space=space, budget={"trials": 16, "max_epochs": 3}), home)


def of(recorded, behaviour):
    trials = [t for t in recorded.trials if t.params["does"] == behaviour]
    assert trials, f"the seed draws {Counter(t.params['does'] for t in recorded.trials)}"
    return trials


def test_a_search_with_faulty_trials_has_exactly_as_many_as_were_asked_for(faulty):
    assert [t.number for t in faulty.trials] == list(range(16))
    assert all(t.state.ended for t in faulty.trials)
    assert [s.ending for s in faulty.sessions] == ["done"]


def test_a_trial_that_raises_is_failed_with_its_message_and_traceback(faulty):
    for trial in of(faulty, "raises"):
        assert (trial.state, trial.stop_reason) == (TrialState.FAILED, "error")
        assert trial.message == "ValueError: is wrong"
        assert "raise ValueError" in trial.traceback
        assert "tests/support/scripted.py" in trial.traceback
        assert faulty.curve(trial.number) == [trial.params["level"]], "what it reported before stays"


def test_a_trial_that_cannot_start_is_failed_with_its_message_and_traceback(faulty):
    for trial in of(faulty, "refuses"):
        assert (trial.state, trial.stop_reason) == (TrialState.FAILED, "error")
        assert trial.message == "LookupError: no such layer"
        assert "raise LookupError" in trial.traceback
        assert faulty.curve(trial.number) == []


def test_trials_beside_faulty_ones_train_to_their_end(faulty):
    for trial in of(faulty, "trains"):
        level = trial.params["level"]
        assert (trial.state, trial.stop_reason) == (TrialState.COMPLETE, "max_epochs")
        assert (trial.message, trial.traceback) == (None, None)
        assert faulty.curve(trial.number) == [level, level / 2, level / 3]


def test_a_loss_that_is_no_number_ends_its_trial_at_once_as_diverged(faulty):
    for trial in of(faulty, "diverges"):
        assert (trial.state, trial.stop_reason) == (TrialState.PRUNED, "diverged")
        first, second = faulty.curve(trial.number)
        assert first == trial.params["level"]
        assert math.isnan(second)


def test_the_answer_counts_the_failures(faulty):
    answer = faulty.result.answer
    assert answer.failures == {
        "ValueError: is wrong": len(of(faulty, "raises")),
        "LookupError: no such layer": len(of(faulty, "refuses")),
    }
    assert answer.states == dict(Counter(t.state.value for t in faulty.trials))


def test_where_every_trial_fails_the_search_still_ends(tmp_path):
    recorded = record(make_study(tmp_path, space=does("refuses")), tmp_path / "home")
    assert [t.state for t in recorded.trials] == [TrialState.FAILED] * 6
    assert recorded.result.answer.best is None
    assert recorded.result.ending == "done"


def test_a_space_without_further_points_ends_the_search_cleanly(tmp_path):
    space = Space((category("does", ("trains", "raises", "diverges"), baseline="trains"),))
    recorded = record(make_study(tmp_path, space=space, budget={"trials": 50, "max_epochs": 2}), tmp_path / "home")
    assert sorted(t.params["does"] for t in recorded.trials) == ["diverges", "raises", "trains"]
    (message,) = recorded.events[recorded.events["kind"] == "space_exhausted"]["message"]
    assert message == "the space has no more points after 3 trials"
    assert recorded.result.ending == "done"


def test_a_used_up_budget_ends_the_search_where_it_stands(tmp_path):
    study = make_study(tmp_path, space=does("stalls"), budget={"trials": 50, "max_epochs": 10**6})
    spent = SpentOnce(lambda: len(diary(tmp_path)) >= 2)
    recorded = record(study, tmp_path / "home", control=spent)
    assert len(recorded.trials) == 2
    assert {(t.state, t.stop_reason) for t in recorded.trials} == {(TrialState.CANCELLED, "budget")}
    assert all(len(recorded.curve(t.number)) >= 1 for t in recorded.trials)
    assert (recorded.result.ending, recorded.result.exit_code) == ("done", 0)


def test_an_epoch_at_a_rung_is_decided_on_though_the_search_is_being_stopped(tmp_path):
    """Tune does not ask its scheduler then, and a resume takes what the ledger has for decided on."""
    spent = SpentOnce(lambda: diary(tmp_path))  # before the first report arrives
    asha = {"name": "asha", "grace": 1, "reduction_factor": 2}
    study = make_study(tmp_path, scheduler=asha, budget={"trials": 6, "max_epochs": 4}, resources={"workers": 1})
    recorded = record(study, tmp_path / "home", control=spent)
    assert recorded.epochs[["number", "epoch"]].to_numpy().tolist() == [[0, 1]]
    assert recorded.decisions[["number", "epoch", "reason"]].to_numpy().tolist() == [[0, 1, "first at rung 1"]]
    assert [(t.state, t.stop_reason) for t in recorded.trials] == [(TrialState.CANCELLED, "budget")]


def test_an_actor_serves_one_trial_after_the_other(tmp_path):
    recorded = record(make_study(tmp_path, resources={"workers": 1}), tmp_path / "home")
    entries = diary(tmp_path)
    assert len(entries) == len(recorded.trials) == 6
    assert len({e["pid"] for e in entries}) == 1


def test_an_actor_that_is_slow_to_start_is_waited_for(tmp_path):
    """Ray Tune alone takes it back for every trial that ends meanwhile, and never has a second one."""
    study = make_study(tmp_path, "SlowSecond", budget={"trials": 16, "max_epochs": 1})
    recorded = record(study, tmp_path / "home")
    assert [t.stop_reason for t in recorded.trials] == ["max_epochs"] * 16, [t.message for t in recorded.trials]
    pids = Counter(e["pid"] for e in diary(tmp_path))
    assert len(pids) == 2
    assert max(pids.values()) >= 5, "the first went on meanwhile"


@pytest.mark.slow
def test_an_actor_that_dies_while_it_is_handed_a_trial_counts_once_and_the_trial_waits(tmp_path):
    """Tune alone hears of it twice and gives the trial up."""
    study = make_study(tmp_path, "DiesWhenReused", resources={"workers": 1}, faults={"max_failures": 1})
    recorded = record(study, tmp_path / "home")
    assert [t.stop_reason for t in recorded.trials] == ["max_epochs"] * 6, [t.message for t in recorded.trials]
    lost = recorded.events[recorded.events["kind"] == "actor_lost"]
    assert len(lost) == 2
    for event in lost.itertuples():
        assert "its worker process has died" in event.message
        assert event.message.endswith("it is started again in 0.5 s (failure 1, --max-failures 1)")
        number = int(event.message.split()[1].rstrip(":"))
        first = recorded.epochs[recorded.epochs["number"] == number]["at"].min()
        assert first - event.at >= 0.5


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """The real trainable, sampler and scheduler, one trial at a time."""
    changes = {
        "name": "same",
        "data": dataclasses.asdict(dataclasses.replace(DATA, train_examples=300)),
        "budget": {"trials": 12, "max_epochs": 6},
        "scheduler": {"name": "asha", "grace": 1, "reduction_factor": 2},
        "resources": {"workers": 1},
        "executor": "tune",
        "tracking": {"enabled": False},
        "seed": 5,
    }
    study = Study.model_validate({**find("regularization").model_dump(), **changes})
    return [record(study, tmp_path_factory.mktemp("home")) for _ in range(2)]


def test_the_same_study_has_the_same_trials(twice):
    def facts(recorded):
        return [(t.number, t.params, t.seed, t.config_hash, t.state, t.stop_reason) for t in recorded.trials]

    one, other = twice
    assert len(facts(one)) == 12
    assert facts(one) == facts(other)


def test_the_same_study_has_the_same_curves_to_the_last_bit(twice):
    columns = ["number", "epoch", "train_loss", "val_loss", "val_accuracy", "lr"]
    one, other = (r.epochs[columns].to_dict("records") for r in twice)
    assert len(one) > 12
    assert one == other


def test_the_same_study_takes_the_same_decisions(twice):
    columns = ["number", "epoch", "action", "value", "cutoff", "reason"]
    one, other = (r.decisions[columns].astype({"cutoff": str}).to_dict("records") for r in twice)
    assert {d["action"] for d in one} == {"stop", "continue"}
    assert one == other
