import math
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from search.errors import RunError
from search.ledger import FitRole, FitRow, Ledger, LedgerWriter, StudyFacts, schema, sqlite_url
from search.ledger.events import EventKind, SpaceExhausted, TriedAlone
from search.ledger.migrations import MIGRATIONS
from search.ledger.outcome import Outcome, SessionEnding, StopReason, TrialState
from tests.support.facts import DATA, FACTS

METRICS = {"val_loss": 0.5, "val_accuracy": 0.75, "lr": 1e-3}


@pytest.fixture
def writer(ledger, study_id):
    return LedgerWriter(ledger, study_id)


def start(writer, number, params=None, **values):
    defaults = {"config_hash": f"{number:016x}", "seed": 2**62 + number, "sampler_attrs": {}, "repeats": []}
    writer.trial_started(number, params or {"dropout": 0.5}, **{**defaults, **values})


def another_reader(ledger):
    """Return a ledger with connections of its own: it sees what was committed and nothing else."""
    return Ledger(ledger.url)


def counts(ledger, study_id):
    with another_reader(ledger) as other:
        return (
            len(other.trials(study_id)),
            len(other.epochs(study_id)),
            len(other.decisions_frame(study_id)),
            len(other.events_frame(study_id)),
        )


def test_a_study_reads_back_as_it_was_declared(ledger):
    declaration = {"kind": "k", "space": {"a": {"low": 0.1}}, "none": None, "flags": [True, 1, 1.5]}
    facts = StudyFacts(
        uid="x", versions={"torch": "2"}, prepared={"stages": ["a"], "own": {"b": [1.5, None]}}, data=DATA
    )
    study_id = ledger.create_study("one", declaration, fingerprint="a" * 64, facts=facts)
    ledger.create_study("two", {}, fingerprint="b" * 64, facts=FACTS)
    row = ledger.study("one")
    assert (row.id, row.name, row.declaration, row.fingerprint) == (study_id, "one", declaration, "a" * 64)
    assert row.facts == facts
    assert (row.facts.lanes, row.facts.lane_modes, row.facts.model) == (None, {}, None)
    assert [r.name for r in ledger.studies()] == ["one", "two"]


def test_a_second_study_of_one_name_is_refused(ledger):
    ledger.create_study("one", {}, fingerprint="", facts=FACTS)
    with pytest.raises(RunError, match=r"study 'one' exists in ledger .*; choose another --name"):
        ledger.create_study("one", {}, fingerprint="", facts=FACTS)


def test_a_study_that_the_ledger_does_not_hold_is_an_error_of_the_user(ledger):
    with pytest.raises(RunError, match=r"no study 'nowhere' in ledger .*ledger\.db"):
        ledger.study("nowhere")


def test_a_session_reads_back_with_its_ending(ledger, study_id):
    first = ledger.start_session(study_id)
    second = ledger.start_session(study_id)
    ledger.end_session(first, SessionEnding.INTERRUPTED)
    rows = ledger.sessions(study_id)
    assert [(r.id, r.ending, r.ended_at is None) for r in rows] == [
        (first, SessionEnding.INTERRUPTED, False),
        (second, None, True),
    ]


def test_everything_of_a_trial_reads_back(ledger, study_id, writer):
    params = {"dropout": 0.1 + 0.2, "schedule": "step", "step_size": 3, "batch_norm": True}
    attrs = {"trial": {"tpe:x": [1, 2]}, "study": {}}
    start(writer, 0, params, config_hash="c" * 16, seed=2**63 - 1, sampler_attrs=attrs, repeats=[(0, 0.5), (0, None)])
    writer.epoch(0, 1, seconds=0.25, metrics=METRICS)
    writer.epoch(0, 2, seconds=0.5, metrics=METRICS)
    writer.decision(0, 2, action="stop", reason="misses", value=0.5, cutoff=0.25)
    writer.trial_ended(0, Outcome(StopReason.RUNG, rung=2))
    writer.flush()

    (trial,) = ledger.trials(study_id)
    assert (trial.number, trial.params, trial.config_hash, trial.seed) == (0, params, "c" * 16, 2**63 - 1)
    assert (trial.sampler_attrs, trial.repeats) == (attrs, [(0, 0.5), (0, None)])
    assert (trial.state, trial.stop_reason) == (TrialState.PRUNED, "rung_2")
    assert (trial.reason, trial.rung) == (StopReason.RUNG, 2)
    assert (trial.message, trial.traceback) == (None, None)
    assert trial.started_at <= trial.ended_at
    assert [(e.number, e.epoch, e.seconds, e.metrics) for e in ledger.epochs(study_id)] == [
        (0, 1, 0.25, METRICS),
        (0, 2, 0.5, METRICS),
    ]
    (decision,) = ledger.decisions_frame(study_id).to_dict("records")
    assert {k: v for k, v in decision.items() if k != "at"} == {
        "number": 0,
        "epoch": 2,
        "action": "stop",
        "value": 0.5,
        "cutoff": 0.25,
        "reason": "misses",
    }


def test_a_failure_keeps_its_message_and_traceback(ledger, study_id, writer):
    start(writer, 0)
    writer.trial_ended(0, Outcome(StopReason.ERROR, message="ValueError: no", traceback="Traceback ...\n  line"))
    writer.flush()
    (trial,) = ledger.trials(study_id)
    assert (trial.state, trial.stop_reason) == (TrialState.FAILED, "error")
    assert (trial.message, trial.traceback) == ("ValueError: no", "Traceback ...\n  line")


@pytest.mark.parametrize("reason", StopReason)
def test_every_stop_reason_of_a_trial_reads_back(ledger, study_id, writer, reason):
    start(writer, 0)
    writer.flush()
    outcome = Outcome(reason, rung=3)
    writer.trial_ended(0, outcome)
    writer.flush()
    (trial,) = ledger.trials(study_id)
    assert (trial.state, trial.stop_reason) == (outcome.state, outcome.label)


FLOATS = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(min_size=1, max_size=8), FLOATS, max_size=4), FLOATS)
def test_any_metrics_read_back_bit_for_bit(ledger, metrics, value):
    study_id = ledger.create_study(f"s{len(ledger.studies())}", {}, fingerprint="", facts=FACTS)
    writer = LedgerWriter(ledger, study_id)
    start(writer, 0, {"x": value if math.isfinite(value) else 0.0})
    writer.epoch(0, 1, seconds=0.0, metrics=metrics)
    writer.flush()
    (epoch,) = ledger.epochs(study_id)
    # As text: it tells -0.0 from 0.0, and NaN is equal to itself.
    assert repr(epoch.metrics) == repr(metrics)
    (trial,) = ledger.trials(study_id)
    assert repr(trial.params["x"]) == repr(value if math.isfinite(value) else 0.0)


def test_nan_and_infinity_arrive_in_the_frames(ledger, study_id, writer):
    start(writer, 0)
    for epoch, loss in enumerate([math.nan, math.inf, 1.0], 1):
        writer.epoch(0, epoch, seconds=0.0, metrics={"val_loss": loss})
    writer.decision(0, 1, action="continue", reason="first")
    writer.flush()
    losses = ledger.epochs_frame(study_id)["val_loss"].tolist()
    assert math.isnan(losses[0])
    assert losses[1:] == [math.inf, 1.0]
    assert pd.isna(ledger.decisions_frame(study_id)["cutoff"]).all()


def test_a_batch_is_seen_as_a_whole_once_it_is_flushed(ledger, study_id, writer):
    start(writer, 0)
    writer.epoch(0, 1, seconds=0.1, metrics=METRICS)
    writer.decision(0, 1, action="stop", reason="r")
    writer.trial_ended(0, Outcome(StopReason.RUNG, rung=1))
    writer.event(SpaceExhausted(trials=1))
    assert counts(ledger, study_id) == (0, 0, 0, 0)
    writer.flush()
    assert counts(ledger, study_id) == (1, 1, 1, 1)


def test_a_batch_that_fails_is_not_seen_at_all_and_not_lost(ledger, study_id, writer):
    # A second connection holds the write lock, as a database on a full disk would: it cannot be written.
    start(writer, 0)
    writer.epoch(0, 1, seconds=0.1, metrics=METRICS)
    blocker = sqlite3.connect(ledger.engine.url.database, isolation_level=None)
    with ledger.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(RunError) as caught:
        writer.flush()
    (line,) = caught.value.errors
    assert "cannot be written: database is locked; everything recorded before stays" in line
    blocker.execute("ROLLBACK")
    blocker.close()
    assert counts(ledger, study_id) == (0, 0, 0, 0)
    writer.flush()
    assert counts(ledger, study_id) == (1, 1, 0, 0)


def test_one_batch_is_one_transaction(ledger, study_id, writer):
    commits = []
    sa.event.listen(ledger.engine, "commit", commits.append)
    for number in range(50):
        start(writer, number)
        for epoch in range(1, 11):
            writer.epoch(number, epoch, seconds=0.1, metrics=METRICS)
        writer.trial_ended(number, Outcome(StopReason.MAX_EPOCHS))
    writer.flush()
    assert len(commits) == 1
    assert counts(ledger, study_id) == (50, 500, 0, 0)
    writer.flush()
    assert len(commits) == 1  # an empty batch writes nothing


@pytest.mark.parametrize(("flush_every_s", "trials"), [(math.inf, 0), (0.0, 1)])
def test_flush_if_due_writes_no_batch_before_its_time(ledger, study_id, flush_every_s, trials):
    writer = LedgerWriter(ledger, study_id, flush_every_s=flush_every_s)
    start(writer, 0)
    writer.flush_if_due()
    assert counts(ledger, study_id) == (trials, 0, 0, 0)


def test_an_epoch_of_a_trial_cannot_be_recorded_twice(ledger, study_id, writer):
    start(writer, 0)
    writer.epoch(0, 1, seconds=0.1, metrics=METRICS)
    writer.flush()
    writer.epoch(0, 1, seconds=0.1, metrics=METRICS)
    with pytest.raises(sa.exc.IntegrityError):
        writer.flush()
    assert counts(ledger, study_id) == (1, 1, 0, 0)


def test_epochs_keep_the_order_in_which_they_were_reported(ledger, study_id, writer):
    for number in range(3):
        start(writer, number)
    reported = [(0, 1), (2, 1), (0, 2), (1, 1), (2, 2)]
    for i, (number, epoch) in enumerate(reported):
        writer.epoch(number, epoch, seconds=0.0, metrics=METRICS)
        if i == 2:
            writer.flush()
    writer.flush()
    rows = ledger.epochs(study_id)
    assert [(r.number, r.epoch) for r in rows] == reported
    assert [r.id for r in rows] == sorted(r.id for r in rows)
    assert ledger.epochs(study_id, after_id=rows[1].id) == rows[2:]


def test_revisions_name_the_trials_that_changed_since(ledger, study_id, writer):
    start(writer, 0)
    start(writer, 1)
    writer.flush()
    seen = max(t.revision for t in ledger.trials(study_id))
    assert ledger.trials(study_id, after_revision=seen) == []
    writer.trial_ended(1, Outcome(StopReason.PATIENCE))
    start(writer, 2)
    writer.flush()
    assert [t.number for t in ledger.trials(study_id, after_revision=seen)] == [1, 2]


def test_a_new_writer_goes_on_with_later_revisions(ledger, study_id, writer):
    start(writer, 0)
    writer.flush()
    seen = ledger.trials(study_id)[0].revision
    again = LedgerWriter(ledger, study_id)
    again.trial_ended(0, Outcome(StopReason.USER))
    again.flush()
    assert ledger.trials(study_id)[0].revision > seen


def test_studies_of_one_ledger_do_not_see_each_other(ledger, study_id, writer):
    other_id = ledger.create_study("other", {}, fingerprint="", facts=FACTS)
    other = LedgerWriter(ledger, other_id)
    for each in (writer, other):
        start(each, 0)
        each.epoch(0, 1, seconds=0.0, metrics=METRICS)
        each.flush()
    other.trial_ended(0, Outcome(StopReason.ERROR))
    other.flush()
    assert ledger.trials(study_id)[0].state is TrialState.RUNNING
    assert ledger.trials(other_id)[0].state is TrialState.FAILED
    assert len(ledger.epochs(study_id)) == len(ledger.epochs(other_id)) == 1


def test_readers_do_not_wait_for_the_writer(ledger, study_id, writer):
    start(writer, 0)
    writer.flush()
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(schema.trials).values(state="FAILED"))
        with ThreadPoolExecutor(1) as pool:
            (trial,) = pool.submit(lambda: another_reader(ledger).trials(study_id)).result()
    assert trial.state is TrialState.RUNNING


def test_sqlite_is_in_wal_and_syncs_every_transaction(ledger):
    with ledger.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_the_trials_frame_has_a_column_for_each_parameter(ledger, study_id, writer):
    start(writer, 0, {"dropout": 0.5, "schedule": "none"})
    start(writer, 1, {"dropout": 0.25, "schedule": "step", "step_size": 3})
    writer.trial_ended(1, Outcome(StopReason.MAX_EPOCHS))
    writer.flush()
    frame = ledger.trials_frame(study_id)
    assert frame["number"].tolist() == [0, 1]
    assert frame["state"].tolist() == ["RUNNING", "COMPLETE"]
    assert frame["params_dropout"].tolist() == [0.5, 0.25]
    assert pd.isna(frame["params_step_size"][0])
    assert frame["params_step_size"][1] == 3
    assert frame["params"].tolist() == [
        {"dropout": 0.5, "schedule": "none"},
        {"dropout": 0.25, "schedule": "step", "step_size": 3},
    ]


def test_the_epochs_frame_has_a_column_for_each_metric(ledger, study_id, writer):
    start(writer, 0)
    writer.epoch(0, 1, seconds=0.25, metrics=METRICS)
    writer.flush()
    (row,) = ledger.epochs_frame(study_id).to_dict("records")
    assert {k: v for k, v in row.items() if k != "at"} == {"number": 0, "epoch": 1, "seconds": 0.25, **METRICS}


def test_frames_of_a_study_without_trials_are_empty_and_have_their_columns(ledger, study_id):
    assert ledger.trials_frame(study_id).empty
    assert {"number", "state", "stop_reason", "message"} <= set(ledger.trials_frame(study_id))
    assert list(ledger.epochs_frame(study_id)) == ["number", "epoch", "seconds", "at"]
    assert list(ledger.decisions_frame(study_id)) == ["number", "epoch", "action", "value", "cutoff", "reason", "at"]
    assert list(ledger.events_frame(study_id)) == ["at", "level", "kind", "trial", "message"]


def test_events_read_back_as_records_and_are_shown_as_sentences(ledger, study_id, writer):
    events = [SpaceExhausted(trials=12), TriedAlone(trial=3)]
    for each in events:
        writer.event(each)
    writer.flush()
    assert [row.event for row in ledger.events(study_id)] == events
    assert [row.trial for row in ledger.events(study_id, EventKind.TRIED_ALONE)] == [3]
    frame = ledger.events_frame(study_id)
    assert frame[["level", "kind", "message"]].values.tolist() == [
        ["info", "space_exhausted", "the space has no more points after 12 trials"],
        ["warning", "tried_alone", "trial 3 ran out of memory; it is tried once more, alone"],
    ]
    assert frame["trial"].tolist()[1] == 3 and pd.isna(frame["trial"][0])


def test_what_a_session_settles_is_written_with_its_batch_and_leaves_the_other_facts(ledger, study_id, writer):
    before = ledger.study("here").facts
    writer.lanes_chosen(4)
    writer.lane_modes_measured({"wide": "looped"})
    assert ledger.study("here").facts == before
    writer.flush()
    ledger.accept_model(study_id, {"trainable": "mlp", "lanewise": "9"})
    changes = {"lanes": 4, "lane_modes": {"wide": "looped"}, "model": {"trainable": "mlp", "lanewise": "9"}}
    assert ledger.study("here").facts == before.model_copy(update=changes)


FIT = FitRow(
    role=FitRole.REFIT,
    trial=None,
    config_hash="0" * 16,
    params={"x": 0.5},
    seed=2**62,
    split=1,
    epochs=3,
    state=TrialState.COMPLETE,
    reason=None,
    message=None,
    metrics={"val_loss": 0.25},
    seconds=0.5,
    train_examples=60,
    scored_examples=20,
    started_at=1.0,
    ended_at=2.0,
)


def test_fits_read_back_in_the_order_they_were_recorded_all_of_a_call_or_none(ledger, study_id):
    failed = {"state": TrialState.FAILED, "reason": StopReason.ERROR, "message": "no", "metrics": {}, "seconds": None}
    fits = [FIT, replace(FIT, split=0, trial=4, **failed)]
    ledger.add_fits(study_id, fits)
    assert ledger.fits(study_id, FitRole.REFIT) == fits
    with pytest.raises(sa.exc.IntegrityError):
        ledger.add_fits(study_id, [replace(FIT, split=2), FIT])
    assert ledger.fits(study_id, FitRole.REFIT) == fits


def open_error(path):
    with pytest.raises(RunError) as caught:
        Ledger(sqlite_url(path))
    (line,) = caught.value.errors
    return line


def test_opening_an_absent_ledger_makes_no_file(tmp_path):
    assert open_error(tmp_path / "ledger.db") == f"no ledger at {tmp_path / 'ledger.db'}"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "x.db").write_text("these are words, and many of them, but no database " * 100)
    assert open_error(tmp_path / "x.db") == f"ledger {tmp_path / 'x.db'} cannot be opened: file is not a database"


def test_a_database_of_something_else_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    line = open_error(tmp_path / "x.db")
    assert line.startswith(f"ledger {tmp_path / 'x.db'} cannot be opened: no such table: lanewise_meta")


def test_a_ledger_without_its_version_is_refused(ledger):
    with ledger.engine.begin() as connection:
        connection.execute(sa.delete(schema.meta))
    path = ledger.engine.url.database
    with pytest.raises(RunError, match="is a database, but no Lanewise ledger"):
        Ledger(ledger.url)
    assert path in str(ledger.url)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The bytes of a ledger of many pages."""
    path = tmp_path_factory.mktemp("large") / "ledger.db"
    with Ledger(sqlite_url(path), create=True) as ledger:
        writer = LedgerWriter(ledger, ledger.create_study("s", {}, fingerprint="", facts=FACTS))
        for number in range(200):
            start(writer, number)
        writer.flush()
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_a_truncated_ledger_cannot_be_opened(tmp_path, large, share):
    path = tmp_path / "ledger.db"
    path.write_bytes(large[: int(len(large) * share)])
    line = open_error(path)
    assert line.startswith(f"ledger {path} cannot be opened: ")
    assert line.endswith("no such table: lanewise_meta" if share == 0 else "database disk image is malformed")


@pytest.mark.parametrize("missing", [1, 100, 2000, 4095])
def test_a_ledger_that_lost_a_part_of_its_last_page_is_found_damaged_and_copied(tmp_path, large, missing):
    path = tmp_path / "ledger.db"
    path.write_bytes(large[:-missing])
    with Ledger(sqlite_url(path)) as ledger, pytest.raises(RunError, match=r"ledger\.db is damaged \(") as caught:
        ledger.check_whole()
    (copy,) = tmp_path.glob("ledger.db.damaged-*")
    assert copy.read_bytes() == large[:-missing]
    assert str(copy) in str(caught.value)


def test_a_whole_ledger_is_found_whole(tmp_path, large):
    path = tmp_path / "ledger.db"
    path.write_bytes(large)
    with Ledger(sqlite_url(path)) as ledger:
        ledger.check_whole()
    assert list(tmp_path.glob("*.damaged-*")) == []


@pytest.mark.parametrize(
    ("version", "age"), [(schema.VERSION + 1, "newer"), (min(MIGRATIONS) - 1, "older"), (99, "newer")]
)
@pytest.mark.parametrize("create", [False, True])
def test_a_ledger_of_an_unknown_schema_version_is_refused_and_the_version_named(ledger, version, age, create):
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(schema.meta).values(value=str(version)))
    with pytest.raises(RunError) as caught:
        Ledger(ledger.url, create=create)
    (line,) = caught.value.errors
    assert f"has schema version {version}, {age} than the {schema.VERSION} of this Lanewise" in line
    assert "open it with the version that wrote it" in line


def test_opening_a_ledger_again_keeps_what_is_in_it(ledger, study_id):
    with Ledger(ledger.url, create=True) as again:
        assert [s.id for s in again.studies()] == [study_id]


def test_nobody_reads_tables_without_their_version(tmp_path):
    file = tmp_path / "ledger.db"
    seen = set()

    def look(*_):
        """What another process would see after each statement."""
        names = other.execute("select name from sqlite_master where type = 'table'").fetchall()
        versions = other.execute("select value from lanewise_meta").fetchall() if names else []
        seen.add((len(names), len(versions)))

    other = sqlite3.connect(file, check_same_thread=False)
    other.execute("pragma journal_mode=wal")
    event.listen(sa.engine.Engine, "after_cursor_execute", look)
    try:
        Ledger(sqlite_url(file), create=True).close()
    finally:
        event.remove(sa.engine.Engine, "after_cursor_execute", look)
        other.close()
    assert seen == {(0, 0), (len(schema.metadata.tables), 1)}


def test_something_of_the_newest_changes_with_whatever_is_recorded_of_the_study_and_of_no_other(
    ledger, writer, study_id
):
    other = ledger.create_study("other", {}, fingerprint="b" * 64, facts=FACTS)
    seen = [ledger.newest(study_id)]
    session = ledger.start_session(study_id)
    for record in (
        lambda: start(writer, 0),
        lambda: writer.epoch(0, 1, seconds=0.1, metrics=METRICS),
        lambda: writer.trial_ended(0, Outcome(StopReason.MAX_EPOCHS)),
        lambda: writer.event(SpaceExhausted(trials=1)),
        lambda: ledger.add_fits(study_id, [FIT]),
        lambda: ledger.end_session(session, SessionEnding.DONE),
    ):
        seen.append(ledger.newest(study_id))
        record()
        writer.flush()
    seen.append(ledger.newest(study_id))
    assert len(set(seen)) == 8
    LedgerWriter(ledger, other).event(SpaceExhausted(trials=1))
    assert ledger.newest(study_id) == seen[-1]
