"""What runs out of memory among others is tried once more, alone; every projection of the ledger follows."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from mlflow.tracking import MlflowClient
from ray._private.utils import get_system_memory, get_used_memory

from search.brain.scheduler import build_scheduler
from search.declaration.study import Study
from search.drive.continuation import extend_study
from search.drive.engine import resume
from search.drive.examples import load_data
from search.face.live_view import Silent
from search.ledger import Ledger, sqlite_url
from search.ledger.events import EventKind
from search.ledger.outcome import TrialState
from search.ledger.paths import Paths
from tests.search.executors.conftest import does, local_ray, make_study, record
from tests.support.controls import SpentOnce
from tests.support.scripted import epochs_written

LANES = {"executor": "lanes", "lanes": {"lanes": 3, "mode": "looped"}}
TUNE = {"executor": "tune", "resources": {"gpus_per_trial": 0.5}}
ASHA = {"name": "asha", "grace": 1, "reduction_factor": 2}


@pytest.fixture(scope="module", params=["lanes", pytest.param("tune", marks=[pytest.mark.slow, pytest.mark.cluster])])
def hungry(request, tmp_path_factory):
    """Ten trials, some of which run out of memory in their second epoch, once."""
    folder, home = tmp_path_factory.mktemp("diary"), tmp_path_factory.mktemp("home")
    tracking = {"uri": f"sqlite:///{home / 'mlflow.db'}", "enabled": True}
    values = {"budget": {"trials": 10, "max_epochs": 3}, "tracking": tracking}
    if request.param == "lanes":
        study = make_study(folder, "Hungry", space=does("trains", "hungers"), **LANES, **values)
        return record(study, home), epochs_written(folder), home
    with local_ray(num_cpus=2, num_gpus=1):
        study = make_study(folder, "Hungry", space=does("trains", "hungers"), **TUNE, **values)
        return record(study, home), epochs_written(folder), home


def of(recorded, behaviour):
    trials = [t for t in recorded.trials if t.params["does"] == behaviour]
    assert trials, f"the seed draws {Counter(t.params['does'] for t in recorded.trials)}"
    return trials


def test_trials_that_ran_out_of_memory_complete_when_they_are_tried_alone(hungry):
    recorded, _, _ = hungry
    assert {(t.state, t.stop_reason) for t in recorded.trials} == {(TrialState.COMPLETE, "max_epochs")}
    for trial in recorded.trials:
        level = trial.params["level"]
        assert recorded.curve(trial.number) == [level, level / 2, level / 3], "each epoch once"
        assert (trial.message, trial.traceback) == (None, None)
    assert recorded.result.answer.states == {"COMPLETE": 10}
    assert recorded.result.answer.failures == {}


def test_the_ledger_says_who_was_tried_alone(hungry):
    recorded, _, _ = hungry
    alone = recorded.events[recorded.events["kind"] == EventKind.TRIED_ALONE]
    messages = alone["message"].tolist()
    hungers = [t.number for t in of(recorded, "hungers")]
    assert alone["trial"].tolist() == hungers
    assert messages == [f"trial {n} ran out of memory; it is tried once more, alone" for n in hungers]


def test_nothing_else_runs_while_a_trial_is_tried_alone(hungry):
    recorded, epochs, _ = hungry
    hungers = {t.params["level"] for t in of(recorded, "hungers")}
    before, again = epochs[: -3 * len(hungers)], epochs[-3 * len(hungers) :]
    assert {e["level"] for e in again} == hungers, "from the start: there was no checkpoint"
    assert [e["epoch"] for e in again] == [1, 2, 3] * len(hungers), "one after the other"
    assert max(e["ended"] for e in before) <= min(e["began"] for e in again)
    assert all(a["ended"] <= b["began"] for a, b in zip(again, again[1:], strict=False))
    assert {e["held"] for e in again} == {1}


def test_a_trial_that_is_tried_alone_has_the_whole_gpu(hungry):
    recorded, epochs, _ = hungry
    last = {e["level"]: e["gpu"] for e in epochs if e["epoch"] == 3}
    shares = {t.params["does"]: last[t.params["level"]] for t in recorded.trials}
    assert shares in ({"trains": 0.5, "hungers": 1.0}, {"trains": 0, "hungers": 0}), "no Ray, no GPU to ask for"


def test_the_mlflow_run_of_a_trial_that_is_tried_alone_is_reopened(hungry):
    recorded, _, home = hungry
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("scripted").experiment_id])
    children = {int(r.data.tags["lanewise.trial"]): r for r in runs if "lanewise.trial" in r.data.tags}
    assert len(runs) == 11 and sorted(children) == list(range(10))
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert {r.data.tags["lanewise.stop_reason"] for r in children.values()} == {"max_epochs"}
    assert {r.data.tags.get("lanewise.message", "") for r in children.values()} == {""}
    for run in children.values():
        assert [m.step for m in client.get_metric_history(run.info.run_id, "val_loss")] == [1, 2, 3]


def resumed(home, change=None):
    with Ledger(sqlite_url(home / "here" / "ledger.db")) as ledger:
        resume(Paths(home, "here"), view=Silent(), load=load_data, change=change)
        row = ledger.study("here")
        tables = (ledger.epochs_frame(row.id), ledger.decisions_frame(row.id))
        kept = [t[[c for c in t.columns if c not in ("at", "seconds")]].to_json() for t in tables]
        trials = [replace(t, started_at=0, ended_at=0, revision=0, sampler_attrs={}) for t in ledger.trials(row.id)]
        return trials, kept, [event.trial for event in ledger.events(row.id, EventKind.TRIED_ALONE)]


def test_a_trial_that_runs_out_of_memory_alone_too_has_failed_and_is_not_tried_a_third_time(tmp_path):
    study = make_study(tmp_path, "Hungry", space=does("trains", "starves"), **LANES)
    recorded = record(study, tmp_path / "home")
    for trial in of(recorded, "starves"):
        assert (trial.state, trial.stop_reason) == (TrialState.FAILED, "out_of_memory")
        assert trial.message == "MemoryError: no room; it was alone on the device"
        assert "raise MemoryError" in trial.traceback
        assert recorded.curve(trial.number) == [trial.params["level"]]
    starve = len(of(recorded, "starves"))
    assert recorded.result.answer.failures == {"MemoryError: no room; it was alone on the device": starve}
    trials, _, alone = resumed(tmp_path / "home")
    assert [t.state for t in trials] == [t.state for t in recorded.trials]
    assert len(alone) == starve


def test_a_trial_that_fails_among_others_and_alone_counts_as_one_failure(tmp_path):
    study = make_study(
        tmp_path, "Hungry", space=does("starves"), budget={"trials": 2, "max_epochs": 3}, faults={"abort_after": 3}
    )
    recorded = record(study.model_copy(update={"executor": "lanes"}), tmp_path / "home")
    assert [s.ending for s in recorded.sessions] == ["done"], "two failed, and each of them twice"


def search_and_extend(folder, *, interrupted_at=None):
    """Search under ASHA, go on with what was interrupted, and then extend by five trials.

    Args:
        folder: of the search; must not be there yet.
        interrupted_at: stop once the trials have written so many epochs; None goes through.
    """
    folder.mkdir()
    study = make_study(
        folder,
        "Hungry",
        space=does("trains", "hungers"),
        budget={"trials": 12, "max_epochs": 9},
        scheduler=ASHA,
        sampler="tpe",
        seed=1,
        checkpoint_every_s=0,
        **LANES,
    )
    if interrupted_at is None:
        record(study, folder / "home")
    else:
        written = folder / "epochs.jsonl"
        spent = SpentOnce(lambda: written.exists() and len(epochs_written(folder)) >= interrupted_at)
        stopped = record(study, folder / "home", control=spent)
        assert EventKind.TRIED_ALONE in set(stopped.events["kind"]), "it was in the middle of that"
        cancelled = [t for t in stopped.trials if t.state is TrialState.CANCELLED]
        assert len(cancelled) == 1
        before = len(epochs_written(folder))
        resumed(folder / "home")
        assert {e["held"] for e in epochs_written(folder)[before:]} == {1}, "alone again"

    def more(study):
        return extend_study(study, trials=5, max_epochs=None, time_budget=None, set_=())

    return resumed(folder / "home", change=more)


def test_a_search_stopped_while_a_trial_runs_alone_resumes_to_the_same(tmp_path):
    trials, tables, numbers = search_and_extend(tmp_path / "whole")
    alone = [t for t in trials if t.number in numbers]
    assert {t.state for t in alone} == {TrialState.COMPLETE, TrialState.PRUNED}, "some were pruned in the end"
    assert len(trials) == 17
    written = epochs_written(tmp_path / "whole")
    first = next(i for i, e in enumerate(written) if e["held"] == 1 and e["epoch"] == 2)
    again, same, _ = search_and_extend(tmp_path / "stopped", interrupted_at=first + 1)
    assert again == trials
    assert [json.loads(t) for t in same] == [json.loads(t) for t in tables]


def test_the_rungs_after_trials_were_tried_alone_are_those_of_a_replay(tmp_path):
    _, _, alone = search_and_extend(tmp_path / "s")
    assert alone
    with Ledger(sqlite_url(tmp_path / "s" / "home" / "here" / "ledger.db")) as ledger:
        row = ledger.study("here")
        scheduler = build_scheduler(Study.model_validate(row.declaration))
        scheduler.replay(ledger.epochs(row.id), ledger.trials(row.id))
        decided = ledger.decisions_frame(row.id)
    assert scheduler.rungs()
    for rung, values in scheduler.rungs().items():
        recorded = decided[decided["epoch"] == rung].set_index("number")["value"].to_dict()
        assert {number: values[number] for number in recorded} == recorded


@pytest.fixture
def memory_monitor(monkeypatch):
    """Ray's own memory monitor, with a threshold close above what is used now."""
    used, total = get_used_memory(), get_system_memory()
    headroom = min(4e9, (total - used) / 2)  # enough for what else goes on, little enough to be reached soon
    monkeypatch.setenv("RAY_memory_usage_threshold", str((used + headroom) / total))
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    with local_ray(num_cpus=2):
        yield


@pytest.mark.cluster
@pytest.mark.long
@pytest.mark.parametrize("executor", ["lanes", "tune"])
def test_a_process_that_ray_ends_for_want_of_memory_is_no_end_of_the_search(memory_monitor, tmp_path, executor):
    study = make_study(
        tmp_path,
        "Greedy",
        space=does("hungers", "trains"),
        executor=executor,
        lanes={"lanes": 2},
        budget={"trials": 3, "max_epochs": 3},
    )
    recorded = record(study, tmp_path / "home")
    hungers = of(recorded, "hungers")
    assert [(t.stop_reason, t.message) for t in recorded.trials] == [("max_epochs", None)] * 3
    said = recorded.events["message"].tolist()
    if executor == "tune":
        tried = [f"trial {t.number} ran out of memory; it is tried once more, alone" for t in hungers]
        assert [m for m in said if m in tried] == tried
        assert "actor_lost" not in set(recorded.events["kind"]), "it was not tried again beside the others"
    else:
        lost = [m for m in said if m.startswith("worker 0 ran out of memory with 2 trials at once")]
        assert len(lost) == 1 and "killed due to the node running low on memory" in lost[0]
    for trial in recorded.trials:
        assert len(recorded.curve(trial.number)) == 3
