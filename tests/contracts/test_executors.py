"""What the executors must agree on: curves, decisions, reasons, and that one trial never touches another."""

import dataclasses
import math
from dataclasses import dataclass
from functools import partial

import pandas as pd
import pytest

from search.declaration.parts import Resources
from search.declaration.studies import find
from search.declaration.study import SAMPLERS, Study
from search.drive.continuation import extend_study
from search.drive.engine import conduct, resume
from search.drive.examples import load_data
from search.executors.lanes import LanesExecutor
from search.executors.ray_session import ray_session
from search.executors.timing import Timing
from search.face.live_view import Silent
from search.ledger import Ledger, sqlite_url
from search.ledger.events import EventKind
from search.ledger.paths import Paths
from spaces import Space, category, float_, int_
from tests.support.controls import SpentOnce
from tests.support.marks import some_slow
from trainables.data import DataSpec

DATA = DataSpec("digits", train_examples=300)

# float32 sums in another order differ by 1e-7 a step; 6 epochs of 5 batches at these rates left at most 2e-5.
RELATIVE = 1e-4


def small_study(name, **values):
    declared = find("regularization").model_dump()
    changes = {
        "name": name,
        "data": dataclasses.asdict(DATA),
        "budget": {"trials": 10, "max_epochs": 6, "time_s": None},
        "scheduler": {"name": "asha", "grace": 1, "reduction_factor": 2},
        "tracking": {"uri": None, "enabled": False},
        "seed": 3,
    }
    return Study.model_validate({**declared, **changes, **values})


@dataclass
class Recorded:
    trials: pd.DataFrame
    epochs: pd.DataFrame
    decisions: pd.DataFrame
    events: pd.DataFrame

    def curve(self, number):
        rows = self.epochs[self.epochs["number"] == number].sort_values("epoch")
        return rows["val_loss"].tolist()

    def reasons(self):
        return dict(zip(self.trials["number"], self.trials["stop_reason"], strict=True))


def search(study, home):
    conduct(study, home, load_data, view=Silent())
    with Ledger(sqlite_url(home / study.name / "ledger.db")) as ledger:
        row = ledger.study(study.name)
        return Recorded(
            ledger.trials_frame(row.id),
            ledger.epochs_frame(row.id),
            ledger.decisions_frame(row.id),
            ledger.events_frame(row.id),
        )


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """Ten random configurations without a scheduler, once by each executor."""
    home = tmp_path_factory.mktemp("fixed")
    plain = {"sampler": "random", "scheduler": {"name": "none", "grace": 1, "reduction_factor": 2}}
    return {
        "tune": search(small_study("tune", executor="tune", **plain), home),
        "lanes": search(small_study("lanes", executor="lanes", lanes={"lanes": 4, "mode": "stacked"}, **plain), home),
        "looped": search(small_study("looped", executor="lanes", lanes={"lanes": 3, "mode": "looped"}, **plain), home),
    }


def test_the_executors_propose_the_same_trials(fixed):
    columns = ["number", "params", "seed", "config_hash", "stop_reason"]
    tables = {name: recorded.trials[columns].to_dict("records") for name, recorded in fixed.items()}
    assert len(tables["tune"]) == 10
    assert tables["tune"] == tables["lanes"] == tables["looped"]


@pytest.mark.parametrize("executor", ["lanes", "looped"])
def test_the_executors_train_the_same_curves(fixed, executor):
    for number in range(10):
        curve = fixed[executor].curve(number)
        assert len(curve) == 6
        assert curve == pytest.approx(fixed["tune"].curve(number), rel=RELATIVE)


def test_one_trial_at_a_time_the_executors_take_the_same_decisions(tmp_path):
    one = {"resources": {"workers": 1}}
    tune = search(small_study("tune", executor="tune", **one), tmp_path)
    lanes = search(small_study("lanes", executor="lanes", lanes={"lanes": 1}, **one), tmp_path)
    columns = ["number", "epoch", "action"]
    assert lanes.decisions[columns].to_dict("records") == tune.decisions[columns].to_dict("records")
    assert lanes.reasons() == tune.reasons()
    assert {"stop", "continue"} == set(lanes.decisions["action"])
    values = lanes.decisions["value"].tolist()
    assert values == pytest.approx(tune.decisions["value"].tolist(), rel=RELATIVE)


BASELINES_LAST = {"space": Space((float_("learning_rate", 0.01, 0.1, baseline=1e-6, log=True),)).to_dict()}
"""A space whose baseline hardly learns: every scheduler would stop it."""


def assert_the_baseline_trains_to_its_end(home, executor, scheduler, sampler):
    found = search(
        small_study(
            f"{scheduler}-{sampler}",
            **BASELINES_LAST,
            executor=executor,
            sampler=sampler,
            scheduler={"name": scheduler, "grace": 1, "reduction_factor": 2},
            budget={"trials": 8, "max_epochs": 4, "time_s": None},
            lanes={"lanes": 4},
        ),
        home,
    )
    assert found.reasons()[0] == "max_epochs"
    assert len(found.curve(0)) == 4
    assert found.curve(0)[-1] > max(found.curve(number)[-1] for number in range(1, 8)), "else nobody would stop it"


@pytest.mark.parametrize("scheduler", ["asha", "median", "none"])
@pytest.mark.parametrize("sampler", some_slow(SAMPLERS, *SAMPLERS[1:]))
def test_the_baseline_trains_to_its_own_end_in_lanes(tmp_path, scheduler, sampler):
    assert_the_baseline_trains_to_its_end(tmp_path, "lanes", scheduler, sampler)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_the_baseline_trains_to_its_own_end_in_tune(tmp_path, scheduler):
    with ray_session(Resources()):  # one for all of them: its start takes longer than they do
        for sampler in SAMPLERS if scheduler == "asha" else SAMPLERS[:1]:
            assert_the_baseline_trains_to_its_end(tmp_path, "tune", scheduler, sampler)


def assert_little_gain_ends_the_search_and_a_resume_keeps_to_it(home, executor):
    budget = {"trials": 40, "max_epochs": 1, "until_gain_below": 1e9}
    none = {"name": "none", "grace": 1, "reduction_factor": 2}
    study = small_study("gain", executor=executor, budget=budget, scheduler=none, lanes={"lanes": 4})
    found, paths = search(study, home), Paths(home, "gain")
    ended = len(found.trials)
    assert 17 <= ended < 40
    assert found.events["kind"].tolist().count("gain_below") == 1
    assert set(found.trials["state"]) == {"COMPLETE"}, "those that ran train on"
    _, again = resume(paths, view=Silent(), load=load_data)
    assert (again.answer.trials, again.exit_code) == (ended, 0)
    more = partial(extend_study, trials=8, max_epochs=None, time_budget=None, set_=())
    _, extended = resume(paths, view=Silent(), load=load_data, change=more)
    assert ended + 16 <= extended.answer.trials <= 48
    with Ledger(paths.ledger_url) as ledger:
        events = ledger.events(ledger.study("gain").id, EventKind.GAIN_BELOW)
    assert [event.event.planned for event in events] == [40, 48][: len(events)]


def test_little_gain_ends_a_search_in_lanes(tmp_path):
    assert_little_gain_ends_the_search_and_a_resume_keeps_to_it(tmp_path, "lanes")


@pytest.mark.slow
def test_little_gain_ends_a_search_in_tune(tmp_path):
    with ray_session(Resources()):
        assert_little_gain_ends_the_search_and_a_resume_keeps_to_it(tmp_path, "tune")


AUDITED = {
    "budget": {"trials": 12, "max_epochs": 6, "time_s": None},
    "resources": {"workers": 1},
    "lanes": {"lanes": 1},
}
"""One trial at a time, so that two searches take the same decisions."""


def audited_study(name, executor, fraction):
    scheduler = {"name": "asha", "grace": 1, "reduction_factor": 2, "audit_fraction": fraction}
    return small_study(name, executor=executor, scheduler=scheduler, **AUDITED)


def audit_of(home, name):
    with Ledger(Paths(home, name).ledger_url) as ledger:
        row = ledger.study(name)
        events = ledger.events(row.id, EventKind.AUDIT_ENDED)
        return ledger.audit_epochs_frame(row.id), {event.trial: event.event.reason.value for event in events}


def assert_audited_trials_train_on_and_count_for_nothing(home, executor):
    plain = search(small_study("plain", executor=executor, scheduler=ASHA, **AUDITED), home)
    found = search(audited_study("audited", executor, 0.5), home)
    for frame, columns in (
        ("trials", ["number", "state", "stop_reason", "params", "seed", "config_hash"]),
        ("epochs", ["number", "epoch", "train_loss", "val_loss"]),
        ("decisions", ["number", "epoch", "action", "value", "cutoff"]),
    ):
        assert getattr(found, frame)[columns].equals(getattr(plain, frame)[columns]), "bit for bit, in the same order"
    epochs, ended = audit_of(home, "audited")
    pruned = {n for n, reason in found.reasons().items() if reason.startswith("rung_")}
    assert set() < set(ended) < pruned, "some of those that were pruned, and no other"
    drawn = found.decisions[found.decisions["reason"].str.contains("drawn for the audit")]
    assert set(drawn["number"]) == set(ended) and set(drawn["action"]) == {"stop"}
    assert set(ended.values()) == {"max_epochs"}
    for number in ended:
        whole = epochs[epochs["number"] == number]
        assert whole["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
        before = found.curve(number)
        assert whole["val_loss"].tolist()[: len(before)] == before, "bit for bit"
    assert not Paths(home, "audited").audit.exists()
    models = [sorted(p.name for p in Paths(home, n).checkpoints.glob("*")) for n in ("plain", "audited")]
    assert models[0] == models[1] != []


ASHA = {"name": "asha", "grace": 1, "reduction_factor": 2}


def test_pruned_trials_that_are_audited_train_on_and_count_for_nothing_in_lanes(tmp_path):
    assert_audited_trials_train_on_and_count_for_nothing(tmp_path, "lanes")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pruned_trials_that_are_audited_train_on_and_count_for_nothing_in_tune(tmp_path):
    with ray_session(Resources()):
        assert_audited_trials_train_on_and_count_for_nothing(tmp_path, "tune")


@pytest.mark.parametrize("epochs", [1, 8, 13])
def test_an_audit_that_is_interrupted_goes_on_where_it_was(tmp_path, epochs):
    study, paths = audited_study("stopped", "lanes", 1.0), Paths(tmp_path, "stopped")
    expected = search(audited_study("whole", "lanes", 1.0), tmp_path)
    control = SpentOnce(lambda: paths.ledger_file.exists() and len(audit_of(tmp_path, "stopped")[0]) >= epochs)
    at_once = LanesExecutor(timing=Timing(settle_every_s=0))  # the ledger, which the control looks at, has every epoch
    first = conduct(study, tmp_path, load_data, view=Silent(), control=control, executor=at_once).answer
    before, ended = audit_of(tmp_path, "stopped")
    assert len(before) >= epochs and len(ended) < sum(expected.trials["state"] == "PRUNED")
    _, result = resume(paths, view=Silent(), load=load_data)
    after, ended = audit_of(tmp_path, "stopped")
    columns = ["number", "epoch", "val_loss"]
    assert after[: len(before)][columns].equals(before[columns])
    whole, _ = audit_of(tmp_path, "whole")
    ordered = [frame.sort_values(["number", "epoch"], ignore_index=True)[columns] for frame in (after, whole)]
    assert ordered[0].equals(ordered[1]), "the same rows, none twice"
    assert set(ended) == set(expected.trials["number"][expected.trials["state"] == "PRUNED"])
    assert (result.answer.best, result.answer.top, result.answer.states) == (first.best, first.top, first.states)
    assert result.answer.pruning.audit.trained == len(ended)


def test_the_number_of_lanes_is_no_part_of_a_curve(fixed, tmp_path):
    plain = {"sampler": "random", "scheduler": {"name": "none", "grace": 1, "reduction_factor": 2}}
    other = search(small_study("l7", executor="lanes", lanes={"lanes": 7, "mode": "stacked"}, **plain), tmp_path)
    for number in range(10):
        assert other.curve(number) == fixed["lanes"].curve(number), "bit for bit"


BREAKING = Space(
    (
        float_("learning_rate", 1e-3, 1e-1, log=True, baseline=1e-2),
        float_("dropout", 0.0, 0.5, baseline=0.1),
        category("schedule", ("plateau",), baseline="plateau"),
        int_("plateau_patience", 4, 5, baseline=4),  # 5 marks the trials that break, see faulty.py
    )
)


def breaking_study(name, trainable, **values):
    changes = {"space": BREAKING, "sampler": "random", "trainable": f"tests.contracts.faulty:{trainable}"}
    none = {"name": "none", "grace": 1, "reduction_factor": 2}
    return small_study(name, **{"scheduler": none, "executor": "lanes", "lanes": {"lanes": 4}, **changes, **values})


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return search(breaking_study("unbroken", "Looped"), tmp_path_factory.mktemp("unbroken"))


def breaking_numbers(recorded):
    return {
        n
        for n, p in zip(recorded.trials["number"], recorded.trials["params"], strict=True)
        if p["plateau_patience"] == 5
    }


@pytest.mark.parametrize(
    ("trainable", "reason"),
    [("Raises", "error"), pytest.param("OutOfMemory", "out_of_memory", marks=pytest.mark.slow)],
)
def test_a_trial_that_raises_fails_alone(unbroken, tmp_path, trainable, reason):
    broken = search(breaking_study("broken", trainable), tmp_path)
    wrong = breaking_numbers(broken)
    assert 0 < len(wrong) < 10
    assert {n for n, r in broken.reasons().items() if r == reason} == wrong
    for number in range(10):
        expected = unbroken.curve(number)
        assert broken.curve(number) == (expected[:2] if number in wrong else expected), "bit for bit"
    message = broken.trials.set_index("number").loc[min(wrong), "message"]
    assert message in ("ValueError: this trial is wrong", "MemoryError: no room; it was alone on the device")


def test_a_trial_that_diverges_leaves_its_neighbours_bit_for_bit(tmp_path):
    plain = {"sampler": "random", "scheduler": {"name": "none", "grace": 1, "reduction_factor": 2}}
    lanes = {"executor": "lanes", "lanes": {"lanes": 5, "mode": "stacked"}}
    wild = small_study("s", **plain).space.with_parameters(
        {"learning_rate": float_("learning_rate", 1e-4, 1e12, log=True, baseline=1e-3)}
    )
    recorded = search(small_study("wild", space=wild, **plain, **lanes), tmp_path)
    diverged = {n for n, r in recorded.reasons().items() if r == "diverged"}
    assert 0 < len(diverged) < 10
    assert all(not math.isfinite(recorded.curve(n)[-1]) or len(recorded.curve(n)) < 6 for n in diverged)
    alone = search(
        small_study("alone", space=wild, **plain, executor="lanes", lanes={"lanes": 1, "mode": "stacked"}), tmp_path
    )
    for number in set(range(10)) - diverged:
        assert recorded.curve(number) == alone.curve(number), "bit for bit"


def test_too_many_failures_end_the_search_with_one_line(tmp_path):
    from search.errors import RunError

    study = breaking_study("poisoned", "Raises", faults={"abort_after": 1})
    with pytest.raises(RunError, match=r"the search was ended: \d trials? failed \(--abort-after-failures 1\)"):
        search(study, tmp_path)
    with Ledger(sqlite_url(tmp_path / "poisoned" / "ledger.db")) as ledger:
        row = ledger.study("poisoned")
        events = ledger.events_frame(row.id)
        assert "aborted" in set(events["kind"])
        assert [session.ending for session in ledger.sessions(row.id)] == ["failed"]


@pytest.mark.cluster
@pytest.mark.slow
def test_a_trial_that_takes_its_process_down_is_tried_again_and_then_fails_alone(unbroken, tmp_path):
    """Looped lanes: the worker is a process of its own; its other trials go on where they were."""
    broken = search(breaking_study("exits", "Exits", faults={"max_failures": 1}), tmp_path)
    wrong = breaking_numbers(broken)
    assert {n for n, r in broken.reasons().items() if r == "error"} == wrong
    for number in range(10):
        expected = unbroken.curve(number)
        assert broken.curve(number) == (expected[:2] if number in wrong else expected), "bit for bit"
    messages = broken.trials.set_index("number").loc[sorted(wrong), "message"]
    assert all(m.startswith("its worker process died while training it, 2 times") for m in messages)
    assert (broken.events["kind"] == "worker_lost").sum() == 2 * len(wrong)


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("executor", ["lanes", "tune"])
def test_a_trial_that_hangs_is_ended_and_its_slot_is_used_again(unbroken, tmp_path, executor):
    broken = search(breaking_study("hangs", "Hangs", executor=executor, faults={"trial_timeout_s": 5.0}), tmp_path)
    wrong = breaking_numbers(broken)
    assert {n for n, r in broken.reasons().items() if r == "error"} == wrong
    for number in range(10):
        expected = unbroken.curve(number)
        assert broken.curve(number) == (expected[:2] if number in wrong else expected), "bit for bit"
    messages = set(broken.trials.set_index("number").loc[sorted(wrong), "message"])
    assert messages == {"no report in 5 s (--trial-timeout)"}


@pytest.mark.cluster
@pytest.mark.slow
def test_a_process_that_exits_in_tune_is_started_again_and_then_fails_alone(unbroken, tmp_path):
    broken = search(breaking_study("exits", "Exits", executor="tune", faults={"max_failures": 1}), tmp_path)
    wrong = breaking_numbers(broken)
    assert {n for n, r in broken.reasons().items() if r == "error"} == wrong
    for number in range(10):
        expected = unbroken.curve(number)
        assert broken.curve(number) == (expected[:2] if number in wrong else expected), "bit for bit"
    assert (broken.events["kind"] == "actor_lost").sum() == len(wrong)
    for message in broken.trials.set_index("number").loc[sorted(wrong), "message"]:
        assert message.startswith("its actor died, 2 times (--max-failures 1): ")


@pytest.mark.cluster
@pytest.mark.slow
def test_lanes_on_two_ray_workers_train_the_same_curves(fixed, tmp_path):
    plain = {"sampler": "random", "scheduler": {"name": "none", "grace": 1, "reduction_factor": 2}}
    two = {"executor": "lanes", "lanes": {"lanes": 3, "mode": "stacked"}, "resources": {"workers": 2}}
    spread = search(small_study("two", **plain, **two), tmp_path)
    assert spread.reasons() == fixed["lanes"].reasons()
    for number in range(10):
        assert spread.curve(number) == fixed["lanes"].curve(number), "bit for bit"
