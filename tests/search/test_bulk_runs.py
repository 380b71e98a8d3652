"""Runs that are written to MLflow's database at once hold what MLflow's own client writes, field by field."""

import math
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
import sqlalchemy as sa
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from search.declaration.studies import find
from search.ledger import FitRole, FitRow, Ledger, LedgerWriter, StudyFacts, sqlite_url
from search.ledger.audits import AuditWriter
from search.ledger.outcome import Outcome, SessionEnding, StopReason, TrialState
from search.tracking import database_writer, mlflow_tables
from search.tracking.client_writer import ClientWriter, NewRun, RunUpdate
from search.tracking.database_writer import DatabaseWriter
from search.tracking.follow import DRAIN_GRACE_S, sync
from search.tracking.mlflow_client import UNREACHABLE, Metric, Param
from search.tracking.mlflow_tables import COLUMNS, run_tables
from search.tracking.run_writer import run_writer
from search.tracking.store import POOL, open_store
from search.tracking.tracker import Tracker
from tests.support import postgres

ROOT = Path(__file__).parents[2]
LONG = "x" * 7_000
"""Longer than MLflow takes a parameter, which it cuts; a tag it takes whole."""


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """MLflow's database with its tables alone."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    open_store(f"sqlite:///{file}", artifacts=None, say=print)
    return file


@pytest.fixture
def store(empty, tmp_path):
    """Return the URI of a fresh database by its name."""

    def make(name="mlflow"):
        file = tmp_path / name / "mlflow.db"
        file.parent.mkdir()
        shutil.copy(empty, file)
        return f"sqlite:///{file}"

    return make


@pytest.fixture
def ledger(tmp_path):
    with Ledger(sqlite_url(tmp_path / "ledger.db"), create=True) as opened:
        yield opened


def record_study(ledger):
    study = find("regularization").model_copy(update={"name": "s"})
    facts = StudyFacts(uid="uid-s", versions={"python": "3"})
    return ledger.create_study("s", study.model_dump(mode="json"), fingerprint="f" * 64, facts=facts)


def begin(writer, number, **params):
    params = {"learning_rate": 0.1 / (number + 1), **params}
    writer.trial_started(number, params, config_hash=f"{number:016x}", seed=number, sampler_attrs={}, repeats=[])


def train(writer, number, losses, *, after=0):
    for epoch, loss in enumerate(losses, after + 1):
        metrics = {"train_loss": 1.0, "val_loss": loss, "val_accuracy": 0.5, "lr": 0.1}
        writer.epoch(number, epoch, seconds=0.01 * epoch, metrics=metrics)


def searched_in_stages(ledger):
    """Record a search of everything that a run can come to, and yield wherever a tracker may look."""
    study_id = record_study(ledger)
    writer, session = LedgerWriter(ledger, study_id), ledger.start_session(study_id)
    begin(writer, 0, schedule="constant")
    train(writer, 0, [1.0, 0.5, 0.7])
    begin(writer, 1, note=LONG)
    begin(writer, 2)
    train(writer, 2, [math.nan])
    writer.trial_ended(2, Outcome(StopReason.DIVERGED))
    begin(writer, 3)
    train(writer, 3, [math.inf, -math.inf, 0.9])
    writer.trial_ended(3, Outcome(StopReason.ERROR, message="ValueError: " + LONG, traceback="trace\nback"))
    writer.flush()
    yield
    train(writer, 0, [0.5, math.nan], after=3)
    writer.trial_ended(0, Outcome(StopReason.MAX_EPOCHS))
    train(writer, 1, [0.8, 0.6])
    writer.trial_resumed(3)
    writer.flush()
    yield
    writer.trial_ended(1, Outcome(StopReason.RUNG, rung=2))
    train(writer, 3, [0.9], after=3)
    writer.trial_ended(3, Outcome(StopReason.PATIENCE))
    begin(writer, 4)
    writer.trial_ended(4, Outcome(StopReason.USER))
    writer.flush()
    audit = AuditWriter(ledger, study_id)
    for epoch in (1, 2, 3):
        audit.epoch(1, epoch, seconds=0.1, metrics={"val_loss": 0.1 * epoch})
    audit.flush()
    ledger.add_fits(study_id, [confirmed(trial, pair) for trial in (0, 1) for pair in (0, 1)])
    ledger.end_session(session, SessionEnding.DONE)
    yield


def confirmed(trial, pair):
    return FitRow(
        role=FitRole.CONFIRM,
        trial=trial,
        config_hash=f"{trial:016x}",
        params={"learning_rate": 0.1 / (trial + 1)},
        seed=pair,
        split=pair,
        epochs=3,
        state=TrialState.COMPLETE,
        reason=None,
        message=None,
        metrics={"val_loss": 0.5, "test_loss": math.nan if pair else 0.6},
        seconds=1.0,
        train_examples=60,
        scored_examples=20,
        started_at=1e9 + pair,
        ended_at=1e9 + 10 + pair,
    )


def make_tracker(ledger, uri, folder):
    return Tracker(ledger, ledger.study("s"), uri, artifacts=folder / "artifacts")


def send_both_ways(ledger, uris, folder, monkeypatch):
    """Send a search while it goes on, at once to the first store and by the client to the second."""
    trackers = []
    for _ in searched_in_stages(ledger):
        if not trackers:
            trackers = [make_tracker(ledger, uri, folder) for uri in uris]
            trackers[0].update()
            with monkeypatch.context() as patch:
                patch.setattr(mlflow_tables, "KNOWN_SERIES", ())  # read once, before the first run
                trackers[1].update()
        assert all(tracker.update() for tracker in trackers)
    for tracker in trackers:
        sync(tracker, grace_s=DRAIN_GRACE_S)
    assert trackers[0].progress == trackers[1].progress


def all_rows(uri):
    """Return every row of MLflow's tables of runs, with the names of runs for their ids, which are random.

    What the tracker does not write at once has the time of its writing: the study's own run, and the groups.
    """
    engine = sa.create_engine(uri)
    with engine.connect() as connection:
        names = dict(connection.execute(sa.text("SELECT run_uuid, name FROM runs")).all())
        assert len(set(names.values())) == len(names)
        rows = {
            table: [dict(row) for row in connection.execute(sa.text(f"SELECT * FROM {table}")).mappings()]
            for table in COLUMNS
        }
    engine.dispose()
    timed = {run_id for run_id, name in names.items() if name in ("s", "confirmation")}
    for row in (row for found in rows.values() for row in found):
        if row["run_uuid"] in timed:
            row.update({column: 0 for column in ("timestamp", "end_time") if column in row})
        for column, value in row.items():
            if isinstance(value, str):
                for run_id, name in names.items():
                    value = value.replace(run_id, name)
                row[column] = value
    return {table: sorted(map(repr, map(sorted_items, found))) for table, found in rows.items()}


def sorted_items(row):
    return sorted(row.items())


def read_back(uri):
    """Return what MLflow's client reads of the runs, by their names, and how it sorts them."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("regularization").experiment_id
    runs = client.search_runs([experiment])
    names = {run.info.run_id: run.info.run_name for run in runs}
    found = {}
    for run in runs:
        history = {
            key: [(m.step, m.timestamp, repr(m.value)) for m in client.get_metric_history(run.info.run_id, key)]
            for key in run.data.metrics
        }
        tags = {key: names.get(value, value) for key, value in run.data.tags.items()}
        files = [file.path for file in client.list_artifacts(run.info.run_id)]
        info = (run.info.status, run.info.start_time, run.info.end_time, run.info.user_id, run.info.lifecycle_stage)
        metrics = {key: repr(value) for key, value in run.data.metrics.items()}
        found[run.info.run_name] = [info, run.data.params, tags, files, metrics, history]
    for name in ("s", "confirmation"):
        found[name] = [found[name][1:4], sorted(found[name][4])]
    for by in (
        "metrics.best_val_loss ASC",
        "metrics.val_loss DESC",
        "params.learning_rate ASC",
        "attributes.start_time",
    ):
        found[by] = [
            run.info.run_name for run in client.search_runs([experiment], order_by=[by, "attributes.run_name"])
        ]
    return found


def check_same(ledger, uris, folder, monkeypatch):
    send_both_ways(ledger, uris, folder, monkeypatch)
    at_once, by_client = (read_back(uri) for uri in uris)
    assert at_once == by_client
    rows, expected = (all_rows(uri) for uri in uris)
    for table in COLUMNS:
        assert rows[table] == expected[table], table
    assert at_once["trial 2"][4]["val_loss"] == "nan"
    assert len(at_once["trial 1"][1]["note"]) == 6_000
    assert at_once["trial 3"][3] == ["traceback.txt"]
    assert at_once["metrics.best_val_loss ASC"][:3] == ["s", "trial 0", "trial 1"]


def test_every_column_and_all_that_the_client_reads_is_the_same_either_way(ledger, store, tmp_path, monkeypatch):
    check_same(ledger, [store("bulk"), store("client")], tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.skipif(postgres.binaries() is None, reason="needs PostgreSQL")
def test_it_is_the_same_in_postgresql(ledger, tmp_path, monkeypatch):
    monkeypatch.setenv(POOL, "NullPool")  # a server ends once nobody is connected
    with postgres.server() as url:
        admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(sa.text("CREATE DATABASE other"))
        admin.dispose()
        uris = [url, url.rpartition("/")[0] + "/other"]
        assert isinstance(run_writer(open_store(url, artifacts=None, say=print)[0]), DatabaseWriter)
        check_same(ledger, uris, tmp_path, monkeypatch)


def test_the_installed_mlflow_is_one_whose_runs_were_compared(store):
    client = MlflowClient(store())
    why = f"MLflow {mlflow.__version__}: once the test above passes with it, it belongs in KNOWN_SERIES"
    assert run_tables(client) is not None, why


@pytest.mark.parametrize("change", ["series", "columns", "database"])
def test_an_mlflow_that_is_not_known_gets_its_runs_through_its_client(change, store, monkeypatch, caplog):
    client = MlflowClient(store())
    if change == "series":
        monkeypatch.setattr(mlflow_tables, "KNOWN_SERIES", ("3.16",))
    elif change == "columns":
        monkeypatch.setitem(mlflow_tables.COLUMNS, "metrics", "key value")
    else:
        monkeypatch.delitem(mlflow_tables.INSERT, "sqlite")
    with caplog.at_level("WARNING", logger="lanewise.tracking"):
        assert type(run_writer(client)) is ClientWriter
    assert "runs are written one by one: the tables of MLflow" in caplog.text


def kept(uri):
    """Return the study's trials: of each its name, status, and the steps of its points."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("regularization").experiment_id
    runs = [run for run in client.search_runs([experiment]) if "lanewise.trial" in run.data.tags]
    return sorted(
        (run.info.run_name, run.info.status, [m.step for m in client.get_metric_history(run.info.run_id, "val_loss")])
        for run in runs
    )


def record_five(ledger):
    study_id = record_study(ledger)
    writer = LedgerWriter(ledger, study_id)
    for number in range(5):
        begin(writer, number)
        train(writer, number, [1.0, 0.9])
        writer.trial_ended(number, Outcome(StopReason.MAX_EPOCHS))
    writer.flush()
    return [(f"trial {number}", "FINISHED", [1, 2]) for number in range(5)]


@pytest.mark.parametrize("committed", [0, 1, 4])
def test_what_dies_between_two_transactions_is_gone_on_with_and_nothing_is_there_twice(
    ledger, store, tmp_path, monkeypatch, committed
):
    expected, uri = record_five(ledger), store()
    monkeypatch.setattr(database_writer, "METRICS_PER_TRANSACTION", 1)  # a run each
    tracker = make_tracker(ledger, uri, tmp_path)
    write, calls = DatabaseWriter._write_at_once, []

    def dying(self, updates):
        calls.append(updates)
        if len(calls) > committed:
            raise KeyboardInterrupt
        return write(self, updates)

    with monkeypatch.context() as patch:
        patch.setattr(DatabaseWriter, "_write_at_once", dying)
        with pytest.raises(KeyboardInterrupt):
            tracker.update()
    assert kept(uri) == expected[:committed]
    assert make_tracker(ledger, uri, tmp_path).update()
    assert kept(uri) == expected


KILLED = """
import os, signal, sys
from pathlib import Path
import sqlalchemy as sa
from search.ledger import Ledger
from search.tracking import database_writer
from search.tracking.tracker import Tracker
url, uri, folder = sys.argv[1:]
database_writer.METRICS_PER_TRANSACTION = 1
counted = []

@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def kill_in_the_third_run(connection, cursor, statement, parameters, context, executemany):
    counted.append(statement.startswith("INSERT INTO latest_metrics"))
    if sum(counted) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

ledger = Ledger(url)
Tracker(ledger, ledger.study("s"), uri, artifacts=Path(folder)).update()
"""


@pytest.mark.slow
def test_a_tracker_that_is_killed_within_a_transaction_leaves_none_of_it(ledger, store, tmp_path):
    expected, uri = record_five(ledger), store()
    command = [sys.executable, "-c", KILLED, ledger.url, uri, str(tmp_path / "artifacts")]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert kept(uri) == expected[:2]
    assert make_tracker(ledger, uri, tmp_path).update()
    assert kept(uri) == expected


def test_what_mlflow_refuses_is_refused_in_its_own_words_and_what_came_before_is_there(ledger, store, tmp_path):
    expected, uri = record_five(ledger), store()
    writer = LedgerWriter(ledger, ledger.study("s").id)
    begin(writer, 5)
    writer.epoch(5, 1, seconds=0.1, metrics={"val_loss": 1.0, "no!": 1.0})
    writer.flush()
    tracker = make_tracker(ledger, uri, tmp_path)
    for _ in range(2):
        with pytest.raises(MlflowException, match=r"Invalid value \"no!\" for parameter 'metrics\[1\].name'"):
            tracker.update()
        tracker.forget()
    assert kept(uri) == [*expected, ("trial 5", "RUNNING", [])]


def test_a_run_that_is_deleted_while_its_trial_goes_on_is_restored(ledger, store, tmp_path):
    study_id, uri, notes = record_study(ledger), store(), []
    writer = LedgerWriter(ledger, study_id)
    begin(writer, 0)
    train(writer, 0, [1.0])
    writer.flush()
    tracker = Tracker(ledger, ledger.study("s"), uri, artifacts=tmp_path, say=notes.append)
    tracker.update()
    client = MlflowClient(uri)
    (run,) = [r for r in client.search_runs(["1"]) if r.info.run_name == "trial 0"]
    client.delete_run(run.info.run_id)
    train(writer, 0, [0.9], after=1)
    writer.flush()
    with pytest.raises(UNREACHABLE, match="must be in the 'active' state"):
        tracker.update()
    tracker.forget()
    assert tracker.update()
    assert kept(uri) == [("trial 0", "RUNNING", [1, 2])]
    assert notes == ["restored 1 of the runs of s, which had been deleted in MLflow"]


def test_parameters_of_a_run_that_is_there_are_compared_with_its_own(store):
    client = MlflowClient(store())
    writer, experiment = run_writer(client), client.create_experiment("e")
    first = RunUpdate(new=NewRun(experiment, "r", 1, {}), params=[Param("a", "1")], metrics=[Metric("m", 1.0, 1, 1)])
    writer.write([first])
    same = RunUpdate(first.run_id, params=[Param("a", "1"), Param("b", "2")], metrics=[Metric("m", 1.0, 1, 1)])
    writer.write([same])
    assert client.get_run(first.run_id).data.params == {"a": "1", "b": "2"}
    assert len(client.get_metric_history(first.run_id, "m")) == 1
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        writer.write([RunUpdate(first.run_id, params=[Param("a", "2")])])


def test_it_waits_for_others_who_write_and_they_read_meanwhile(ledger, store, tmp_path):
    expected, uri = record_five(ledger), store()
    tracker = make_tracker(ledger, uri, tmp_path)
    file, held = uri.removeprefix("sqlite:///"), threading.Event()
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")

        def let_go():
            held.wait(0.5)
            other.execute("COMMIT")

        thread = threading.Thread(target=let_go)
        thread.start()
        assert tracker.update()
        thread.join()
    assert kept(uri) == expected
