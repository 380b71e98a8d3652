"""Ledgers of schema version 1: shown as they are, migrated when a search goes on, and resumed to the same result."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
import sqlalchemy as sa
from mlflow.tracking import MlflowClient

from search.declaration.study import Study
from search.drive.engine import conduct, resume
from search.drive.examples import load_data
from search.drive.model_identity import model_of
from search.errors import LedgerError, RunError, StorageError
from search.face.live_view import Silent
from search.ledger import FitRole, Ledger, schema, sqlite_url
from search.ledger.events import EventKind, TriedAlone
from search.ledger.facts import with_notices
from search.ledger.outcome import SessionEnding, StopReason, TrialState
from search.ledger.paths import Paths
from search.report.comparable import FEWEST
from tests.support.old_ledgers import FOLDER, STUDIES, copy_of, dump, expected, resumed_by_the_older
from trainables.derive import derive

TABLES = {
    "trials": "select number, params, config_hash, seed, state, stop_reason, message from trials order by number",
    "epochs": "select number, epoch, metrics from epochs order by number, epoch",
    "decisions": "select number, epoch, action, value, cutoff, reason from decisions order by number, epoch",
}


def shown(home, verb, *options):
    """Return what a command prints, as where the expected output was made."""
    done = subprocess.run(
        [sys.executable, "-m", "search", verb, *options, "--home", str(home)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "TZ": "UTC", "COLUMNS": "110"},
    )
    return done.stdout.replace(str(home), "{home}")


def change(paths, statement, *values):
    with closing(sqlite3.connect(paths.ledger_file)) as connection, connection:
        connection.execute(statement, values)


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_shown_as_the_version_that_recorded_it_showed_it_and_no_file_is_touched(tmp_path, name):
    copy_of(name, tmp_path)
    before = files_of(tmp_path)
    assert shown(tmp_path, "show", name) == expected(name, "show.txt")
    found, as_it_was = json.loads(shown(tmp_path, "show", name, "--json")), json.loads(expected(name, "show.json"))
    if as_it_was["ending"] == "running":  # what was said of a process that was gone
        as_it_was["ending"] = "died"
    for newer in ("diverged", "divergence", "problem", "confirmation"):
        assert not found.pop(newer)
    pruning, expected_best = found.pop("pruning"), found.pop("expected")
    assert sum(outcome["epochs"] for outcome in pruning["outcomes"]) == found["epochs_trained"]
    assert (expected_best is None) == (found["trials"] < 9), "one of them the baseline"
    assert (found.pop("importance") is None) == (found["trials"] < FEWEST)
    for newer in ("why_not", "recommended_model"):
        assert found["checkpoints"].pop(newer) is None
    assert found.pop("folds") is None
    assert found.pop("smoothed") == {}
    improvements = found.pop("improvements")
    assert improvements[-1][1] == found["best"]["value"]
    for entry in (*found["top"], *(found[name] for name in ("best", "baseline") if found[name] is not None)):
        assert entry.pop("origin") is None, "nothing was begun with an earlier study's then"
        assert entry.pop("smoothed") is None, "nor had any a model of the curves"
    if as_it_was["data"] is not None:  # sentences alone, of before notices
        as_it_was["data"] = with_notices(as_it_was["data"])
    assert found == as_it_was
    assert files_of(tmp_path) == before


def test_the_list_is_what_it_was_and_no_file_is_touched(tmp_path):
    for name in STUDIES:
        copy_of(name, tmp_path)
    before = files_of(tmp_path)
    listed = {study["name"]: study for study in json.loads(shown(tmp_path, "list", "--json"))["recorded"]}
    as_it_was = (FOLDER / "expected" / "list.txt").read_text()
    assert sorted(listed) == sorted(STUDIES)
    for name, study in listed.items():
        (row,) = [line for line in as_it_was.splitlines() if line.startswith(f"  {name} ")]
        assert f"{study['trials']} of {study['planned']} " in row
        assert f" {study['metric']} {study['best']:.5g} " in row
        assert row.split()[-1] == study["ending"]
        if study["resume"] is not None:
            assert f"{name}: interrupted; go on with: {study['resume']}\n" in as_it_was
    assert files_of(tmp_path) == before


@pytest.fixture(scope="module")
def bit_for_bit(tmp_path_factory):
    """Whether this machine, and what is installed on it, computes as where the ledgers were made to the last digit."""
    home = tmp_path_factory.mktemp("control")
    with Ledger(sqlite_url(FOLDER / "home" / "finished" / "ledger.db")) as ledger:
        study = Study.model_validate(ledger.study("finished").declaration)
    conduct(study, home, load_data, view=Silent())
    old = FOLDER / "home" / "finished" / "ledger.db"
    return tables_of(old) == tables_of(home / "finished" / "ledger.db")


def tables_of(file):
    with closing(sqlite3.connect(file)) as connection:
        return {name: connection.execute(query).fetchall() for name, query in TABLES.items()}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow, pytest.mark.cluster] if n == "killed-in-tune" else ()) for n in STUDIES],
)
def test_a_study_resumes_to_the_result_that_the_version_that_recorded_it_comes_to(tmp_path, bit_for_bit, name):
    paths = copy_of(name, tmp_path)
    before = tables_of(paths.ledger_file)
    resume(paths, view=Silent(), load=load_data, accept_changed_model=True)
    found, old = tables_of(paths.ledger_file), resumed_by_the_older(name)
    assert set(before["epochs"]) <= set(found["epochs"]), "what was recorded stays"
    assert {state for _, _, _, _, state, *_ in found["trials"]} <= {"COMPLETE", "PRUNED"}
    refits = [json.loads(fit) for (fit,) in old.pop("refits")]
    with Ledger(paths.ledger_url) as ledger:
        row = ledger.study(name)
        fits = ledger.fits(row.id, FitRole.REFIT)
        assert [(f.params["model"], f.trial, f.split) for f in fits] == [
            (fit["choice"], fit["trial"], fit["split"]) for fit in refits
        ]
    if bit_for_bit:
        assert found == old
        assert [f.metrics["val_accuracy"] for f in fits] == [fit["value"] for fit in refits]


def test_a_migration_is_said_and_keeps_a_copy_of_the_ledger_as_it_was(tmp_path):
    paths, said = copy_of("finished", tmp_path), []

    class Hears(Silent):
        def say(self, text):
            said.append(text)

    before = dump(paths.ledger_file)
    resume(paths, view=Hears(), load=load_data, accept_changed_model=True)
    copy = paths.folder / "ledger.db.v1"
    assert dump(copy) == before
    line = f"the ledger was brought from schema version 1 to {schema.VERSION}; a copy of it as it was is in {copy}"
    assert line in said
    with Ledger(paths.ledger_url) as ledger:
        (event,) = ledger.events(1, EventKind.LEDGER_MIGRATED)
        assert event.message == line
    resume(paths, view=Hears(), load=load_data, accept_changed_model=True)
    assert said.count(line) == 1
    assert {path.name for path in paths.folder.glob("ledger.db*")} == {"ledger.db", "ledger.db.v1"}


def test_what_a_killed_driver_left_in_the_log_is_in_the_copy_and_in_what_is_migrated(tmp_path):
    paths = copy_of("finished", tmp_path)
    with closing(sqlite3.connect(paths.ledger_file)) as driver:
        driver.execute("update trials set message = 'only in the log' where number = 1")
        driver.commit()
        with Ledger(paths.ledger_url) as ledger:
            ledger.migrate()
            assert ledger.trials(1)[1].message == "only in the log"
        with Ledger(sqlite_url(paths.folder / "ledger.db.v1")) as copy:
            assert copy.trials(1)[1].message == "only in the log"


def test_reading_leaves_an_old_ledger_to_the_version_that_wrote_it_and_the_first_write_migrates_it(tmp_path):
    paths = copy_of("killed-in-lanes", tmp_path)
    before = paths.ledger_file.read_bytes()
    with Ledger(paths.ledger_url) as ledger:
        ledger.check_whole()
        assert [t.state for t in ledger.trials(1)] == [TrialState.RUNNING] * 3
        assert paths.ledger_file.read_bytes() == before
        assert ledger.end_lost_sessions(1) == 1
        assert [s.ending for s in ledger.sessions(1)] == [SessionEnding.DIED]
    assert (paths.folder / "ledger.db.v1").exists()
    with Ledger(paths.ledger_url) as ledger:
        assert ledger.migrate() is None
        assert len(ledger.epochs(1)) == 51


def test_every_fact_has_its_place_and_old_events_keep_their_sentence(tmp_path):
    with Ledger(copy_of("alone", tmp_path).ledger_url) as ledger:
        facts = ledger.study("alone").facts
        assert (facts.lanes, facts.lane_modes, facts.prepared) == (3, {}, {})
        assert facts.uid and facts.versions["python"] and facts.model["trainable"] == "tests.support.scripted:Hungry"
        assert facts.data["train"] == 100
        assert [(e.kind, e.message, e.event) for e in ledger.events(1)] == [
            (EventKind.LANES, "3 lanes, as asked for", None),
            (EventKind.LANES, "1 lanes, as asked for", None),
            (EventKind.TRIED_ALONE, TriedAlone(trial=2).sentence, TriedAlone(trial=2)),
        ]
    with Ledger(copy_of("refitted", tmp_path).ledger_url) as ledger:
        fits = ledger.fits(1, FitRole.REFIT)
        trials = {trial.number: trial for trial in ledger.trials(1)}
    assert [(f.trial, f.split, f.epochs) for f in fits] == [
        (3, 0, 1),
        (5, 0, 1),
        (4, 0, 1),
        (3, 1, 1),
        (5, 1, 1),
        (4, 1, 1),
    ]
    for fit in fits:
        assert (fit.params, fit.config_hash) == (trials[fit.trial].params, trials[fit.trial].config_hash)
        assert fit.seed == derive(0, "refit", fit.split)
        assert (fit.state, fit.reason, fit.message, fit.epochs) == (TrialState.COMPLETE, None, None, 1)
        assert (fit.train_examples, fit.scored_examples, fit.started_at) == (106, 36, None)


def test_a_refit_that_failed_and_what_a_trainable_prepared_are_migrated(tmp_path):
    paths = copy_of("refitted", tmp_path)
    first = "$.refits.fits[0]"
    change(paths, f"update studies set facts = json_remove(facts, '{first}.value', '{first}.seconds')")
    change(paths, f"update studies set facts = json_set(facts, '{first}.error', 'ValueError: no')")
    change(paths, "update studies set facts = json_set(facts, '$.stages', json('[1]'), '$.own', json('{\"x\": 1}'))")
    with Ledger(paths.ledger_url) as ledger:
        assert ledger.study("refitted").facts.prepared == {"stages": [1], "own": {"x": 1}}
        fit = ledger.fits(1, FitRole.REFIT)[0]
    assert (fit.state, fit.reason, fit.message) == (TrialState.FAILED, StopReason.ERROR, "ValueError: no")
    assert (fit.metrics, fit.seconds) == ({}, None)


def tables_in(url):
    """Return the columns of each table by name: type, whether NULL is allowed, default."""
    engine = sa.create_engine(url)
    try:
        inspector = sa.inspect(engine)
        return {
            table: {c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(table)}
            for table in inspector.get_table_names()
        }
    finally:
        engine.dispose()


def test_a_migrated_ledger_has_the_tables_of_a_new_one(tmp_path):
    paths = copy_of("finished", tmp_path)
    with Ledger(paths.ledger_url) as ledger:
        ledger.migrate()
    new = sqlite_url(tmp_path / "new.db")
    Ledger(new, create=True).close()
    assert tables_in(paths.ledger_url) == tables_in(new)


@pytest.mark.parametrize(
    ("host", "pid", "seen_s_ago", "refused"),
    [
        ("elsewhere", 77, 5, True),
        ("elsewhere", 77, 100, False),
        (None, os.getppid(), 5, True),
        (None, 2**22 + 1, 5, False),  # more than any process has
    ],
)
def test_a_ledger_that_an_older_process_may_still_write_is_not_migrated(tmp_path, host, pid, seen_s_ago, refused):
    paths = copy_of("killed-in-lanes", tmp_path)
    seen = time.time() - seen_s_ago
    values = host or socket.gethostname(), pid, seen
    change(paths, "update sessions set host = ?, pid = ?, seen_at = ?", *values)
    before = paths.ledger_file.read_bytes()
    with Ledger(paths.ledger_url) as ledger:
        if not refused:
            assert ledger.migrate() is not None
            return
        with pytest.raises(RunError, match=rf"cannot be migrated: process {pid} on \S+ since .* writes to it; wait"):
            ledger.migrate()
        assert len(ledger.trials(1)) == 3, "it is still read"
    assert paths.ledger_file.read_bytes() == before
    assert not (paths.folder / "ledger.db.v1").exists()


def test_a_migration_that_cannot_be_written_leaves_everything_as_it_was(tmp_path, monkeypatch):
    paths = copy_of("finished", tmp_path)
    before = dump(paths.ledger_file)
    with Ledger(paths.ledger_url) as ledger:
        monkeypatch.setattr("search.ledger.migrations.json.dumps", fails)
        with pytest.raises(StorageError, match=r"the ledger .* cannot be written: database or disk is full"):
            ledger.migrate()
        monkeypatch.undo()
        assert dump(paths.ledger_file) == before
        assert ledger.migrate() is not None


def fails(*_):
    raise sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update studies set facts = '{'", "JSONDecodeError"),
        ("update studies set facts = '[]'", "expected a JSON object"),
        ("update studies set facts = json_remove(facts, '$.versions')", "versions: Field required"),
        ("update studies set facts = json_set(facts, '$.lanes', 'x')", "lanes: "),
        ("update studies set facts = json_set(facts, '$.lane_modes', 5)", "lane_modes: "),
        ("update studies set facts = json_set(facts, '$.refits', 5)", "TypeError"),
        ("update studies set facts = json_set(facts, '$.refits', json('{\"chosen\": []}'))", "KeyError: 'fits'"),
        ("update events set kind = 'tried_alone', message = 'x'", "IndexError"),
        ("update events set kind = 'tried_alone', message = cast(x'ff' as text)", "Could not decode"),
        ("update trials set stop_reason = 'rung_x'", "a row of trials cannot be read"),
    ],
)
def test_a_damaged_one_is_refused_in_a_line_and_a_copy_is_kept(tmp_path, statement, said):
    paths = copy_of("finished", tmp_path)
    change(paths, statement)
    before = paths.ledger_file.read_bytes()
    with pytest.raises(LedgerError) as caught:
        resume(paths, view=Silent(), load=load_data)
    (line,) = caught.value.errors
    assert "is damaged (" in line and said in line
    (copy,) = paths.folder.glob("ledger.db.damaged-*")
    assert copy.read_bytes() == paths.ledger_file.read_bytes() == before


@pytest.mark.parametrize("written", [False, True])
def test_a_ledger_of_version_2_has_no_audit_and_gets_the_table_for_one(tmp_path, written):
    paths = copy_of("finished", tmp_path)
    with Ledger(paths.ledger_url) as ledger:
        ledger.migrate()
    change(paths, "drop table audit_epochs")
    change(paths, "update lanewise_meta set value = '2'")
    before = files_of(tmp_path)
    with Ledger(paths.ledger_url) as ledger:
        migrated = ledger.migrate() if written else None
        row = ledger.study("finished")
        assert ledger.audit_epochs(row.id) == [] and len(ledger.trials(row.id)) > 0
    if written:
        assert (migrated.old_version, migrated.new_version) == (2, schema.VERSION)
    else:
        assert files_of(tmp_path) == before


@pytest.mark.parametrize("written", [False, True])
def test_a_ledger_of_version_3_has_no_paused_trial_and_changes_its_number_alone(tmp_path, written):
    paths = copy_of("finished", tmp_path)
    with Ledger(paths.ledger_url) as ledger:
        ledger.migrate()
    change(paths, "update lanewise_meta set value = '3'")
    before = dump(paths.ledger_file)
    with Ledger(paths.ledger_url) as ledger:
        if written:
            ledger.migrate()
        row = ledger.study("finished")
        assert TrialState.PAUSED not in {trial.state for trial in ledger.trials(row.id)}
    changed = [line for line in dump(paths.ledger_file) if line not in before]
    assert len(changed) == written and all(f"'{schema.VERSION}'" in line for line in changed)


def test_a_new_study_in_a_shared_ledger_of_an_older_version_migrates_it(tmp_path):
    paths = copy_of("finished", tmp_path)
    with Ledger(paths.ledger_url) as ledger:
        declared = Study.model_validate(ledger.study("finished").declaration)
    study = declared.model_copy(update={"name": "second", "ledger": paths.ledger_url})
    conduct(study, tmp_path, load_data, view=Silent())
    with Ledger(paths.ledger_url) as ledger:
        assert [row.name for row in ledger.studies()] == ["finished", "second"]
        assert ledger.study("second").facts.model == model_of("mlp")
    assert (paths.folder / "ledger.db.v1").exists()


def test_a_study_whose_last_driver_died_as_it_took_over_is_sent_to_mlflow(tmp_path):
    paths = copy_of("died", tmp_path)
    before = paths.ledger_file.read_bytes()
    assert "is up to date; 20 epochs" in shown(tmp_path, "sync", "died")
    assert paths.ledger_file.read_bytes() == before
    client = MlflowClient(Paths(tmp_path, "died").mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("regularization").experiment_id])
    parent, child = sorted(runs, key=lambda run: "lanewise.trial" in run.data.tags)
    assert (parent.info.status, parent.data.tags["lanewise.state"]) == ("KILLED", "died")
    assert child.info.status == "RUNNING", "a resume goes on with it"
