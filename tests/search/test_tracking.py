"""MLflow as its own client sees it, after the tracker fed it from a ledger."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest
import sqlalchemy as sa
from mlflow.tracking import MlflowClient

from search.declaration.parts import Tracking
from search.declaration.studies import find
from search.declaration.study import Objective
from search.drive.lock import driver_lock
from search.errors import RunError
from search.ledger import Ledger, LedgerWriter, StudyFacts, schema, sqlite_url
from search.ledger.audits import AuditWriter
from search.ledger.outcome import Outcome, SessionEnding, StopReason
from search.ledger.paths import Paths
from search.tracking.follow import DRAIN_GRACE_S, send_to_new_store, sync
from search.tracking.process import UID, TrackerProcess, check_server
from search.tracking.tracker import Tracker
from tests.search.test_comparison import refit
from tests.support.facts import FACTS

METRICS = ("train_loss", "val_loss", "val_accuracy", "lr", "epoch_seconds")


@pytest.fixture
def ledger(tmp_path):
    with Ledger(sqlite_url(tmp_path / "ledger.db"), create=True) as opened:
        yield opened


def record_study(ledger, name="s", uri=None):
    study = find("regularization").model_copy(update={"name": name, "tracking": Tracking(uri=uri)})
    facts = StudyFacts(uid=f"uid-{name}", versions={"python": "3"})
    study_id = ledger.create_study(name, study.model_dump(mode="json"), fingerprint="f" * 64, facts=facts)
    return study_id, LedgerWriter(ledger, study_id), ledger.start_session(study_id)


def record_trial(writer, number, losses, outcome):
    params = {"learning_rate": 0.1 / (number + 1), "batch_norm": bool(number % 2)}
    writer.trial_started(number, params, config_hash=f"{number:016x}", seed=number, sampler_attrs={}, repeats=[])
    for epoch, loss in enumerate(losses, 1):
        metrics = {"train_loss": loss, "val_loss": loss, "val_accuracy": 0.5, "lr": 0.1}
        writer.epoch(number, epoch, seconds=0.01, metrics=metrics)
    if outcome is not None:
        writer.trial_ended(number, outcome)


def four_endings(writer):
    record_trial(writer, 0, [1.0, 0.8, 0.9], Outcome(StopReason.MAX_EPOCHS))
    record_trial(writer, 1, [1.0, 0.7, 0.6], Outcome(StopReason.RUNG, rung=3))
    record_trial(writer, 2, [math.nan], Outcome(StopReason.DIVERGED))
    record_trial(writer, 3, [1.0], Outcome(StopReason.ERROR, message="ValueError: no", traceback="trace\nback"))
    writer.flush()


def make_tracker(ledger, tmp_path, name="s"):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    return Tracker(ledger, ledger.study(name), uri, artifacts=tmp_path / "artifacts"), MlflowClient(uri)


def tracker_uri(tmp_path):
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def children_and_parent(client, name="s"):
    experiment = client.get_experiment_by_name("regularization")
    runs = client.search_runs([experiment.experiment_id], f"tags.`lanewise.study` = '{name}'", max_results=1000)
    parents = [r for r in runs if "lanewise.trial" not in r.data.tags]
    children = {int(r.data.tags["lanewise.trial"]): r for r in runs if "lanewise.trial" in r.data.tags}
    assert len(children) == len(runs) - len(parents), "a trial has one run"
    (parent,) = parents
    return children, parent


def points(client, run):
    return {name: [m.step for m in client.get_metric_history(run.info.run_id, name)] for name in METRICS}


def test_mlflow_runs_have_the_states_tags_and_metric_points_of_the_ledger(ledger, tmp_path):
    study_id, writer, session = record_study(ledger)
    four_endings(writer)
    ledger.end_session(session, SessionEnding.DONE)
    tracker, client = make_tracker(ledger, tmp_path)
    sync(tracker, grace_s=DRAIN_GRACE_S)
    children, parent = children_and_parent(client)
    assert {n: r.info.status for n, r in children.items()} == {0: "FINISHED", 1: "KILLED", 2: "KILLED", 3: "FAILED"}
    reasons = {n: r.data.tags["lanewise.stop_reason"] for n, r in children.items()}
    assert reasons == {0: "max_epochs", 1: "rung_3", 2: "diverged", 3: "error"}
    for number, run in children.items():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["lanewise.config_hash"] == f"{number:016x}"
        assert run.data.tags["lanewise.seed"] == str(number)
        trained = [e.epoch for e in ledger.epochs(study_id) if e.number == number]
        assert points(client, run) == dict.fromkeys(METRICS, trained)
    best = {n: (r.data.metrics.get("best_val_loss"), r.data.metrics.get("best_epoch")) for n, r in children.items()}
    assert best == {0: (0.8, 2.0), 1: (0.6, 3.0), 2: (None, None), 3: (1.0, 1.0)}
    assert children[1].data.params["batch_norm"] == "True"
    assert children[1].data.params["hidden"] == "64-32", "settings are there too"
    assert math.isnan(client.get_metric_history(children[2].info.run_id, "val_loss")[0].value)
    assert children[3].data.tags["lanewise.message"] == "ValueError: no"
    assert [f.path for f in client.list_artifacts(children[3].info.run_id)] == ["traceback.txt"]


def test_the_parent_run_holds_the_best_value_the_baseline_and_the_leaderboard(ledger, tmp_path):
    _, writer, session = record_study(ledger)
    four_endings(writer)
    ledger.end_session(session, SessionEnding.DONE)
    tracker, client = make_tracker(ledger, tmp_path)
    sync(tracker, grace_s=DRAIN_GRACE_S)
    _, parent = children_and_parent(client)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["lanewise.data_fingerprint"] == "f" * 64
    assert parent.data.tags["lanewise.best_trial"] == "1"
    assert parent.data.metrics == {"best_val_loss": 0.6, "baseline_val_loss": 0.8}
    assert [d.dataset.name for d in parent.inputs.dataset_inputs] == ["digits"]
    artifacts = {f.path for f in client.list_artifacts(parent.info.run_id)}
    assert artifacts == {"leaderboard.csv", "study.json"}
    board = (tmp_path / "artifacts" / parent.info.run_id / "artifacts" / "leaderboard.csv").read_text()
    assert board.splitlines()[1].startswith("1,1,0.6,3,3,PRUNED,rung_3,")


def test_the_front_of_several_objectives_is_beside_the_leaderboard(ledger, tmp_path):
    study = find("regularization").model_copy(update={"name": "s", "further": (Objective(metric="lr"),)})
    facts = StudyFacts(uid="uid-s", versions={"python": "3"})
    study_id = ledger.create_study("s", study.model_dump(mode="json"), fingerprint="f" * 64, facts=facts)
    writer, session = LedgerWriter(ledger, study_id), ledger.start_session(study_id)
    four_endings(writer)
    ledger.end_session(session, SessionEnding.DONE)
    tracker, client = make_tracker(ledger, tmp_path)
    sync(tracker, grace_s=DRAIN_GRACE_S)
    _, parent = children_and_parent(client)
    assert parent.data.params["objective"] == "val_loss min, lr min"
    front = (tmp_path / "artifacts" / parent.info.run_id / "artifacts" / "pareto.csv").read_text().splitlines()
    assert front[0].startswith("number,epoch,epochs,state,stop_reason,")
    assert front[0].endswith("value_val_loss,value_lr")
    assert [line.split(",")[0] for line in front[1:]] == ["1"]


def test_a_second_sync_adds_nothing_to_mlflow(ledger, tmp_path):
    _, writer, session = record_study(ledger)
    four_endings(writer)
    ledger.end_session(session, SessionEnding.DONE)
    first, client = make_tracker(ledger, tmp_path)
    sync(first, grace_s=DRAIN_GRACE_S)
    before = {n: points(client, r) for n, r in children_and_parent(client)[0].items()}
    again, _ = make_tracker(ledger, tmp_path)
    sync(again, grace_s=DRAIN_GRACE_S)
    assert again.progress == 0
    children, parent = children_and_parent(client)
    assert {n: points(client, r) for n, r in children.items()} == before
    assert [m.value for m in client.get_metric_history(parent.info.run_id, "best_val_loss")] == [0.6]


def test_a_tracker_that_died_in_the_middle_is_continued_by_the_next(ledger, tmp_path):
    _, writer, session = record_study(ledger)
    record_trial(writer, 0, [1.0, 0.9], None)
    writer.flush()
    first, client = make_tracker(ledger, tmp_path)
    first.update()
    assert children_and_parent(client)[0][0].info.status == "RUNNING"
    writer.epoch(0, 3, seconds=0.01, metrics={"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5, "lr": 0.1})
    writer.trial_ended(0, Outcome(StopReason.PATIENCE))
    record_trial(writer, 1, [1.0], Outcome(StopReason.USER))
    writer.flush()
    ledger.end_session(session, SessionEnding.INTERRUPTED)
    second, _ = make_tracker(ledger, tmp_path)
    sync(second, grace_s=DRAIN_GRACE_S)
    children, parent = children_and_parent(client)
    assert points(client, children[0]) == dict.fromkeys(METRICS, [1, 2, 3])
    assert (children[0].info.status, children[1].info.status) == ("FINISHED", "KILLED")
    assert parent.info.status == "KILLED"


@pytest.mark.parametrize("by", ["the same tracker", "a later one"])
def test_a_failed_trial_that_is_tried_again_has_its_run_reopened(ledger, tmp_path, by):
    _, writer, session = record_study(ledger)
    record_trial(writer, 0, [1.0], Outcome(StopReason.OUT_OF_MEMORY, message="MemoryError: no", traceback="trace"))
    writer.flush()
    tracker, client = make_tracker(ledger, tmp_path)
    tracker.update()
    (failed,) = children_and_parent(client)[0].values()
    assert (failed.info.status, failed.data.tags["lanewise.message"]) == ("FAILED", "MemoryError: no")
    writer.trial_resumed(0)
    writer.flush()
    if by == "a later one":
        tracker, _ = make_tracker(ledger, tmp_path)
    tracker.update()
    (again,) = children_and_parent(client)[0].values()
    assert (again.info.run_id, again.info.status) == (failed.info.run_id, "RUNNING")
    writer.epoch(0, 2, seconds=0.01, metrics={"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5, "lr": 0.1})
    writer.trial_ended(0, Outcome(StopReason.MAX_EPOCHS))
    writer.flush()
    ledger.end_session(session, SessionEnding.DONE)
    sync(tracker, grace_s=DRAIN_GRACE_S)
    (ended,) = children_and_parent(client)[0].values()
    assert (ended.info.run_id, ended.info.status) == (failed.info.run_id, "FINISHED")
    assert ended.data.tags["lanewise.message"] == "", "it did not fail after all"
    assert points(client, ended) == dict.fromkeys(METRICS, [1, 2])


def test_two_studies_of_one_name_on_one_server_stay_apart(tmp_path):
    for home in ("a", "b"):
        (tmp_path / home).mkdir()
        with Ledger(sqlite_url(tmp_path / home / "ledger.db"), create=True) as ledger:
            study = find("regularization").model_copy(update={"name": "s"})
            facts = StudyFacts(uid=home, versions={})
            study_id = ledger.create_study("s", study.model_dump(mode="json"), fingerprint="f", facts=facts)
            writer = LedgerWriter(ledger, study_id)
            record_trial(writer, 0, [1.0], Outcome(StopReason.MAX_EPOCHS))
            writer.flush()
            tracker, client = make_tracker(ledger, tmp_path)
            sync(tracker, grace_s=DRAIN_GRACE_S)
    experiment = client.get_experiment_by_name("regularization")
    runs = client.search_runs([experiment.experiment_id])
    assert Counter(r.data.tags[UID] for r in runs) == {"a": 2, "b": 2}


def test_the_tracking_process_sends_the_rest_when_the_search_ends(ledger, tmp_path):
    _, writer, session = record_study(ledger)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with TrackerProcess(uri, artifacts=tmp_path / "artifacts") as tracker:
        tracker.begin(ledger.url, "s", home=tmp_path, log=tmp_path / "log")
        four_endings(writer)
        ledger.end_session(session, SessionEnding.DONE)
        assert tracker.finish() is None
    children, parent = children_and_parent(MlflowClient(uri))
    assert len(children) == 4
    assert parent.info.status == "FINISHED"


def test_the_tracking_process_says_what_did_not_arrive(ledger, tmp_path):
    _, writer, session = record_study(ledger)
    four_endings(writer)
    ledger.end_session(session, SessionEnding.DONE)
    not_a_database = tmp_path / "of_the_user.db"  # which is not ours to put aside
    not_a_database.write_bytes(b"something else" * 500)
    uri = f"sqlite:///{not_a_database}"
    with TrackerProcess(uri, artifacts=tmp_path / "a") as tracker:
        tracker.begin(ledger.url, "s", home=tmp_path, log=tmp_path / "log")
        reason = tracker.finish()
    assert reason is not None
    assert "MLflow did not take it" in reason
    assert "not a database" in reason


def test_a_run_that_was_deleted_is_restored_and_nothing_is_sent_twice(ledger, tmp_path):
    _, writer, session = record_study(ledger)
    four_endings(writer)
    ledger.end_session(session, SessionEnding.DONE)
    tracker, client = make_tracker(ledger, tmp_path)
    sync(tracker, grace_s=DRAIN_GRACE_S)
    before, parent = children_and_parent(client)
    for run in (parent, before[1], before[3]):
        client.delete_run(run.info.run_id)
    notes = []
    again = Tracker(ledger, ledger.study("s"), tracker_uri(tmp_path), artifacts=tmp_path / "a", say=notes.append)
    sync(again, grace_s=DRAIN_GRACE_S)
    after, restored = children_and_parent(client)
    assert again.progress == 0
    assert restored.info.run_id == parent.info.run_id
    assert {n: r.info.run_id for n, r in after.items()} == {n: r.info.run_id for n, r in before.items()}
    assert notes == ["restored 3 of the runs of s, which had been deleted in MLflow"]


def test_the_other_studies_of_a_home_are_sent_to_a_store_that_was_made_anew(tmp_path):
    for name in ("s", "other", "elsewhere", "searched"):
        (tmp_path / name).mkdir()
        with Ledger(Paths(tmp_path, name).ledger_url, create=True) as ledger:
            uri = "http://127.0.0.1:1" if name == "elsewhere" else None
            record_study(ledger, name=name, uri=uri)[1].flush()
    Paths(tmp_path, "s").mlflow_artifacts.parent.joinpath("mlflow.db").write_bytes(b"broken" * 100)
    with driver_lock(Paths(tmp_path, "searched").lock, "searched"), Ledger(Paths(tmp_path, "s").ledger_url) as ledger:
        notes, paths = [], Paths(tmp_path, "s")
        tracker = Tracker(
            ledger, ledger.study("s"), paths.mlflow_uri, artifacts=paths.mlflow_artifacts, say=notes.append
        )
        sync(tracker, grace_s=DRAIN_GRACE_S)
        send_to_new_store(tracker, tmp_path, "s", say=notes.append)
    assert [note.partition(" ")[0] for note in notes] == ["MLflow's", "sent"]
    assert notes[1] == "sent to the new database as well: other"
    client = MlflowClient(paths.mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("regularization").experiment_id])
    assert sorted(run.data.tags["lanewise.study"] for run in runs) == ["other", "s"]


DRIVER = """
import sys, time
from pathlib import Path
from search.tracking.process import TrackerProcess
url, folder = sys.argv[1], Path(sys.argv[2])
tracker = TrackerProcess(f"sqlite:///{folder / 'mlflow.db'}", artifacts=folder)
tracker.begin(url, "s", home=folder, log=folder / "log")
print(tracker.pid, flush=True)
time.sleep(600)
"""


def test_the_tracking_process_ends_soon_after_a_killed_driver(ledger, tmp_path):
    _, writer, _ = record_study(ledger)
    four_endings(writer)
    command = [sys.executable, "-c", DRIVER, ledger.url, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        child = psutil.Process(int(driver.stdout.readline()))
        time.sleep(0.5)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    # It may still be importing MLflow, which takes long on a busy machine; the wait returns as soon as it is gone.
    _, alive = psutil.wait_procs([child], timeout=90)
    assert alive == []


def test_an_mlflow_server_that_does_not_answer_is_named(unused_port):
    uri = f"http://127.0.0.1:{unused_port}"
    with pytest.raises(RunError, match=r"does not answer.*--tracking offline.*search sync NAME"):
        check_server(uri)


@pytest.fixture
def unused_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_an_mlflow_store_in_a_file_needs_no_server():
    check_server(f"sqlite:///{os.devnull}")


def test_a_comparison_is_logged_to_the_parent_as_a_table_and_a_plot(tmp_path, ledger):
    study = find("sklearn_comparison").model_copy(update={"name": "s"})
    study_id = ledger.create_study("s", study.model_dump(mode="json"), fingerprint="f", facts=FACTS)
    tracker, client = make_tracker(ledger, tmp_path)  # it read the study before there was anything to compare
    writer, models = LedgerWriter(ledger, study_id), ("svm", "knn")
    for number, model in enumerate(models):
        params = {"model": model}
        writer.trial_started(number, params, config_hash=model, seed=0, sampler_attrs={}, repeats=[])
        writer.epoch(number, 1, seconds=0.1, metrics={"val_accuracy": 1.0})
    writer.flush()
    fits = [
        refit(model, number, split, 0.9 - number / 10 + split / 100)
        for number, model in enumerate(models)
        for split in range(3)
    ]
    ledger.add_fits(study_id, fits)
    for _ in range(2):  # sending twice adds nothing
        sync(tracker, grace_s=DRAIN_GRACE_S)
    (parent,) = parents(client, "sklearn_comparison")
    folder = tmp_path / "artifacts" / parent.info.run_id / "artifacts"
    assert {f.path for f in client.list_artifacts(parent.info.run_id)} >= {"comparison.csv", "comparison.png"}
    assert (folder / "comparison.png").read_bytes()[1:4] == b"PNG"
    table = (folder / "comparison.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in table] == ["choice", "svm", "knn"]
    assert parent.data.tags["lanewise.comparison"].startswith(
        "svm has the best mean val_accuracy over 3 of 5 splits, 0.91;"
    )


def test_a_curve_is_logged_to_the_parent_as_a_table_and_a_figure_and_again_by_a_sync(tmp_path, ledger):
    study = find("schedules").model_copy(update={"name": "s", "curve": "patience"})
    study_id = ledger.create_study("s", study.model_dump(mode="json"), fingerprint="f", facts=FACTS)
    writer, session = LedgerWriter(ledger, study_id), ledger.start_session(study_id)
    for number, patience in enumerate((0, 3, 5, 3)):
        params = {"patience": patience}
        writer.trial_started(number, params, config_hash=str(number), seed=0, sampler_attrs={}, repeats=[])
        metrics = {"val_loss": 1 - number / 10, "val_accuracy": number / 5}
        writer.epoch(number, 1, seconds=0.1, metrics=metrics)
        writer.trial_ended(number, Outcome(StopReason.MAX_EPOCHS))
    writer.flush()
    tracker, client = make_tracker(ledger, tmp_path)
    tracker.update()
    (parent,) = parents(client, "schedules")
    assert [f.path for f in client.list_artifacts(parent.info.run_id)] == ["study.json"], "sent once, at the end"
    ledger.end_session(session, SessionEnding.DONE)
    folder = tmp_path / "artifacts" / parent.info.run_id / "artifacts"
    for stages, named in (([], ""), (["a", "b", "c"], "everything (features only)")):
        with ledger.writing() as connection:
            connection.execute(sa.update(schema.studies).values(prepared=json.dumps({"stages": stages})))
        sync(make_tracker(ledger, tmp_path)[0], grace_s=DRAIN_GRACE_S)
        files = {f.path for f in client.list_artifacts(parent.info.run_id)}
        assert files == {"leaderboard.csv", "patience.csv", "patience.png", "study.json"}
        assert (folder / "patience.png").read_bytes()[1:4] == b"PNG"
        table = (folder / "patience.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in table] == ["patience", "0", "3", "5", "10", "baseline"]
        assert table[2].startswith(f"3,{named},2,0,0.6,3,")
    (parent,) = parents(client, "schedules")
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["lanewise.curve"].startswith(
        "best at patience 3: val_accuracy 0.6 against 0 of the baseline"
    )


def parents(client, experiment):
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return [run for run in runs if "lanewise.trial" not in run.data.tags]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_pruned_trial_that_is_audited_gets_its_further_epochs_once_and_stays_killed(ledger, tmp_path, restarted):
    study_id, writer, session = record_study(ledger)
    four_endings(writer)
    tracker, client = make_tracker(ledger, tmp_path)
    tracker.update()
    audit = AuditWriter(ledger, study_id)
    for epochs in ((1, 2, 3, 4), (5,)):  # from the first one on; the rung was at 3
        for epoch in epochs:
            metrics = {"train_loss": 0.5, "val_loss": 1 / epoch, "val_accuracy": 0.5, "lr": 0.1}
            audit.epoch(1, epoch, seconds=0.01, metrics=metrics)
        audit.flush()
        if restarted:
            tracker, client = make_tracker(ledger, tmp_path)
        assert tracker.update()
    audit.trial_ended(1, Outcome(StopReason.MAX_EPOCHS))
    audit.flush()
    ended_at = ledger.trials(study_id)[1].ended_at
    ledger.end_session(session, SessionEnding.DONE)
    sync(tracker, grace_s=DRAIN_GRACE_S)
    children, _ = children_and_parent(client)
    run = children[1]
    assert points(client, run) == dict.fromkeys(METRICS, [1, 2, 3, 4, 5])
    losses = [m.value for m in client.get_metric_history(run.info.run_id, "val_loss")]
    assert losses == [1.0, 0.7, 0.6, 1 / 4, 1 / 5], "those up to the rung are the trial's own"
    assert (run.info.status, run.info.end_time) == ("KILLED", int(ended_at * 1000))
    assert (run.data.tags["lanewise.stop_reason"], run.data.tags["lanewise.audited"]) == ("rung_3", "true")
    assert "lanewise.audited" not in children[0].data.tags
