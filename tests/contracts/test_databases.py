"""The ledger on every database that it may be kept in: one suite."""

import math
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import sqlalchemy as sa

from search.errors import RunError
from search.ledger import FitRole, Ledger, LedgerWriter, schema, sqlite_url
from search.ledger.events import TriedAlone
from search.ledger.outcome import Outcome, SessionEnding, StopReason, TrialState
from tests.support import postgres
from tests.support.facts import FACTS
from tests.support.marks import some_slow
from tests.support.old_ledgers import FOLDER


@pytest.fixture(scope="module")
def postgres_url():
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL on this machine")
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "ledger.db")
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def study(url, request):
    """A ledger, the id of a new study in it, and a writer; studies of other tests lie beside it."""
    with Ledger(url, create=True) as ledger:
        study_id = ledger.create_study(request.node.name, {"a": [1]}, fingerprint="f" * 64, facts=FACTS)
        yield ledger, study_id, LedgerWriter(ledger, study_id)


def start(writer, number):
    writer.trial_started(
        number, {"dropout": 0.1}, config_hash="0" * 16, seed=2**62, sampler_attrs={"trial": {}}, repeats=[(0, None)]
    )


def test_a_trial_with_its_epoch_decision_and_event_reads_back(study, request):
    ledger, study_id, writer = study
    start(writer, 0)
    writer.epoch(0, 1, seconds=0.5, metrics={"val_loss": math.nan, "lr": 1e-300})
    writer.decision(0, 1, action="stop", reason="why", value=0.1, cutoff=None)
    writer.event(TriedAlone(trial=0))
    writer.flush()
    with Ledger(ledger.url) as reader:
        (trial,) = reader.trials(study_id)
        (epoch,) = reader.epochs(study_id)
        assert reader.study(request.node.name).declaration == {"a": [1]}
        assert (trial.params, trial.seed, trial.repeats) == ({"dropout": 0.1}, 2**62, [(0, None)])
        assert trial.state is TrialState.RUNNING
        assert math.isnan(epoch.metrics["val_loss"]) and epoch.metrics["lr"] == 1e-300
        assert reader.decisions_frame(study_id)["cutoff"].isna().all()
        assert reader.events(study_id)[0].event == TriedAlone(trial=0)


def test_a_batch_is_seen_once_it_is_flushed_and_epochs_keep_their_order(study):
    ledger, study_id, writer = study
    for number in range(3):
        start(writer, number)
    for epoch in (1, 2):
        for number in (2, 0, 1):
            writer.epoch(number, epoch, seconds=0.1, metrics={"val_loss": 1.0})
    assert ledger.epochs(study_id) == []
    writer.flush()
    assert [(e.number, e.epoch) for e in ledger.epochs(study_id)] == [(2, 1), (0, 1), (1, 1), (2, 2), (0, 2), (1, 2)]


def test_the_trials_after_a_revision_are_those_that_later_batches_changed(study):
    ledger, study_id, writer = study
    start(writer, 0)
    start(writer, 1)
    writer.flush()
    seen = max(t.revision for t in ledger.trials(study_id))
    writer.trial_ended(1, Outcome(StopReason.RUNG, rung=3))
    writer.flush()
    (changed,) = ledger.trials(study_id, after_revision=seen)
    assert (changed.number, changed.stop_reason, changed.state) == (1, "rung_3", TrialState.PRUNED)


def test_an_epoch_is_recorded_once_and_a_failed_batch_is_not_seen_at_all(study):
    ledger, study_id, writer = study
    start(writer, 0)
    writer.epoch(0, 1, seconds=0.1, metrics={"val_loss": 1.0})
    writer.flush()
    writer.epoch(0, 2, seconds=0.1, metrics={"val_loss": 1.0})
    writer.epoch(0, 1, seconds=0.1, metrics={"val_loss": 2.0})
    with pytest.raises(Exception, match="(?i)unique"):
        writer.flush()
    assert [e.epoch for e in ledger.epochs(study_id)] == [1]


def test_a_second_study_of_one_name_is_refused(study, request):
    ledger, _, _ = study
    with pytest.raises(RunError, match=r"exists in ledger .*; choose another --name"):
        ledger.create_study(request.node.name, {}, fingerprint="", facts=FACTS)


def test_a_lost_session_ends_when_it_was_last_seen(study):
    ledger, study_id, _ = study
    session = ledger.start_session(study_id)
    writer = LedgerWriter(ledger, study_id, session=session)
    start(writer, 0)
    writer.flush()
    assert ledger.end_lost_sessions(study_id) == 1
    (row,) = ledger.sessions(study_id)
    assert row.ending is SessionEnding.DIED
    assert row.ended_at == row.seen_at >= row.started_at
    assert ledger.seconds_used(study_id) == row.ended_at - row.started_at


def test_a_session_alive_on_another_host_is_named(study):
    ledger, study_id, _ = study
    session = ledger.start_session(study_id)
    with ledger.engine.begin() as connection:
        table = schema.sessions
        connection.execute(sa.update(table).where(table.c.id == session).values(host="elsewhere", pid=77))
    with pytest.raises(RunError, match=r"by process 77 on elsewhere since \d"):
        ledger.refuse_while_driven_elsewhere(study_id)


def test_a_clock_that_was_set_back_keeps_nobody_out_and_gives_no_time_away(study):
    ledger, study_id, _ = study
    session = ledger.start_session(study_id)
    with ledger.engine.begin() as connection:
        table, now = schema.sessions, time.time()
        values = {"host": "elsewhere", "pid": 77, "started_at": now + 7200, "seen_at": now + 3600}
        connection.execute(sa.update(table).where(table.c.id == session).values(**values))
    ledger.refuse_while_driven_elsewhere(study_id)
    (row,) = ledger.sessions(study_id)
    assert not row.may_be_alive
    assert ledger.seconds_used(study_id) == 0.0


@pytest.mark.parametrize("url", some_slow(["sqlite", "postgresql"], "sqlite"), indirect=True)
def test_a_whole_search_is_kept_shown_and_extended_from_the_command_line(url, tmp_path):
    if url.startswith("sqlite"):
        (tmp_path / "elsewhere").mkdir()
        url = sqlite_url(tmp_path / "elsewhere" / "shared.db")
    home = ("--home", str(tmp_path), "--ledger", url)

    def lanewise(module, *arguments):
        command = [sys.executable, "-m", module, *arguments, *home]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    small = ("--trials", "4", "--max-epochs", "3", "--tracking", "offline")
    lanewise("search.run", "regularization", "--name", "shared", *small)
    assert "shared: 4 trials" in lanewise("search", "show", "shared")
    assert "shared: 6 trials" in lanewise("search", "extend", "shared", "--trials", "2")
    assert "shared" in lanewise("search", "list")
    assert not (tmp_path / "shared" / "ledger.db").exists()


def test_a_database_of_the_encoding_sql_ascii_holds_a_ledger_too(postgres_url):
    """As ``initdb`` makes one in the locale C; what the server says of itself comes in bytes then."""
    server = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE plain ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    server.dispose()
    with Ledger(server.url.set(database="plain").render_as_string(hide_password=False), create=True) as ledger:
        assert ledger.studies() == []


@pytest.fixture
def old_url(postgres_url):
    """A database of its own on the server, with what an older Lanewise recorded in tables of schema version 1."""
    server = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE old")
    url = server.url.set(database="old")
    source, target = sa.create_engine(sqlite_url(FOLDER / "home" / "refitted" / "ledger.db")), sa.create_engine(url)
    tables = sa.MetaData()
    tables.reflect(source)
    tables.create_all(target)
    with source.connect() as old, target.begin() as connection:
        for table in tables.sorted_tables:
            if rows := [row._asdict() for row in old.execute(sa.select(table))]:
                connection.execute(sa.insert(table), rows)
            if "id" in table.c:
                numbered = f"pg_get_serial_sequence('{table.name}', 'id')"
                connection.exec_driver_sql(f"SELECT setval({numbered}, (SELECT max(id) FROM {table.name}) + 1)")
    yield url.render_as_string(hide_password=False)
    target.dispose()
    with server.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE old WITH (FORCE)")
    for engine in (source, server):
        engine.dispose()


def test_an_old_database_of_a_server_is_read_as_it_is_and_migrated_by_a_write(old_url):
    with Ledger(old_url) as reader, Ledger(sqlite_url(FOLDER / "home" / "refitted" / "ledger.db")) as same:
        assert reader.study("refitted").facts == same.study("refitted").facts
        for read in (Ledger.trials, Ledger.epochs, Ledger.sessions, Ledger.events):
            assert read(reader, 1) == read(same, 1)
        fits = reader.fits(1, FitRole.REFIT)
        assert fits == same.fits(1, FitRole.REFIT) and len(fits) == 6
    with Ledger(old_url) as ledger:
        migrated = ledger.migrate()
        assert migrated.sentence == f"the ledger was brought from schema version 1 to {schema.VERSION}"
        writer = LedgerWriter(ledger, 1)
        writer.event(TriedAlone(trial=0))
        writer.flush()
        ledger.add_fits(1, [replace(fits[0], split=4)])
    with Ledger(old_url) as again:
        assert again.migrate() is None
        assert again.events(1)[-1].event == TriedAlone(trial=0)
        assert again.fits(1, FitRole.REFIT) == [*fits, replace(fits[0], split=4)]
        assert len(again.trials(1)) == 6


def test_a_database_server_that_is_not_there_is_refused_in_one_line():
    with pytest.raises(RunError, match=r"ledger postgresql\+psycopg://u:\*\*\*@127.0.0.1:1/x cannot be opened: "):
        Ledger("postgresql+psycopg://u:secret@127.0.0.1:1/x")


def test_a_text_that_is_no_database_url_is_refused_in_one_line():
    with pytest.raises(RunError, match=r"ledger 'postgres' is no database URL"):
        Ledger("postgres")
