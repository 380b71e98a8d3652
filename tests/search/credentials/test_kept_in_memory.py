"""What this process was given with an address is used, and in no text, file, command line or ledger."""

import json
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from search.credentials import put_back, take_out
from search.declaration.study import Resources, Tracking
from search.errors import RunError, UsageError, UserError
from search.ledger import Ledger, LedgerWriter, schema, sqlite_url
from search.ledger.events import CheckpointNote, EventKind
from search.ledger.outcome import Outcome, StopReason
from search.ledger.paths import Paths
from search.ledger.printed_commands import extend_command, mlflow_command, resume_command, sync_command
from search.ledger.private_files import make_private_file, make_private_folder, openness
from search.ledger.stored_credentials import remove_credentials
from search.tracking.login import client_uri
from tests.support.command import invoke
from tests.support.facts import FACTS

SECRET = "S3CRETpw"
DATABASE = f"postgresql+psycopg://lw:{SECRET}@127.0.0.1:1/db"
SERVER = f"http://bob:{SECRET}@127.0.0.1:1"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_command_line_is_masked_for_other_processes_and_for_libraries_and_read_as_typed():
    code = (
        "import sys; from pathlib import Path; from search.credentials import mask_command_line as mask; "
        "print(mask(), mask(), sep='\\n'); print(sys.argv, sys.orig_argv, Path('/proc/self/cmdline').read_bytes())"
    )
    typed = ["--ledger", DATABASE, f"--tracking={SERVER}", "--name", "ü", "lw:half@" + SECRET]
    done = subprocess.run([sys.executable, "-c", code, *typed], capture_output=True, text=True, check=True)
    read, again, shown = done.stdout.splitlines()
    assert read == again == str(typed)
    assert SECRET not in shown and "postgresql+psycopg://lw:***@127.0.0.1:1/db" in shown and "half" not in shown
    if sys.platform == "linux":
        assert shown.count("--tracking=http://***@127.0.0.1:1") == 3


def test_paths_open_the_ledger_with_the_password_and_show_it_without():
    paths = Paths(Path("home"), "a", DATABASE)
    assert paths.ledger_url == DATABASE
    assert paths.ledger == "postgresql+psycopg://lw:***@127.0.0.1:1/db"
    assert SECRET not in repr(paths)
    with pytest.raises(UsageError, match=r"--ledger 'postgresql://\*\*\*' has more than one @"):
        Paths(Path("home"), "a", "postgresql://lw:half@half@host/db")


def test_printed_commands_have_no_password_and_say_where_one_can_be():
    paths = Paths(Path("home"), "a", DATABASE)
    uri = take_out(SERVER)
    for command in (resume_command(paths), extend_command(paths, "--trials 4"), sync_command(paths, uri)):
        before, mark, comment = command.partition("  # ")
        assert "--ledger postgresql+psycopg://lw@127.0.0.1:1/db" in before
        assert mark and "PGPASSWORD" in comment and SECRET not in command
    assert "--trials 4" in before or "extend" not in before
    assert "MLFLOW_TRACKING_PASSWORD" in sync_command(paths, uri) and "MLFLOW_TRACKING_PASSWORD" in mlflow_command(uri)
    assert "#" not in resume_command(Paths(Path("home"), "a"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (DATABASE, r"ledger postgresql\+psycopg://lw:\*\*\*@127.0.0.1:1/db cannot be opened: "),
        (f"postgresql://lw:{SECRET}", "is no database URL, such as"),
        (f"lw:{SECRET}@host/db", "is no database URL, such as"),
        (f"nonsense://lw:{SECRET}@host/db", "is no database URL, such as"),
        (f"host=h password={SECRET}", "is no database URL, such as"),
    ],
)
def test_a_ledger_that_cannot_be_opened_is_said_without_its_password(url, said):
    with pytest.raises(RunError, match=said) as raised:
        Ledger(url)
    assert SECRET not in str(raised.value) and raised.value.__suppress_context__


def test_an_error_of_any_library_is_masked_where_it_becomes_ours():
    error = UserError(f"MLflow did not take it: GET {SERVER}/api?token={SECRET} failed, 'password={SECRET}'")
    assert SECRET not in str(error) and "MLflow did not take it: GET http://***@127.0.0.1:1/api?token=***" in str(error)


def test_no_part_of_a_study_holds_credentials():
    assert Tracking(uri=SERVER).uri == "http://127.0.0.1:1" and put_back("http://127.0.0.1:1") == SERVER
    assert Resources(address=f"ray://bob:{SECRET}@host:1").address == "ray://host:1"
    assert Resources(address="localhost:port").address == "localhost:port", "said when it is joined"


def test_mlflows_client_finds_a_servers_credentials_in_its_own_variables(monkeypatch):
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "other")
    assert client_uri("http://127.0.0.1:2/a") == "http://127.0.0.1:2/a"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "other", "what a user set for it stays where the address has none"
    assert client_uri(take_out("http://b%40b:p%2Fw@127.0.0.1:3")) == "http://127.0.0.1:3"
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("b@b", "p/w")
    assert client_uri(take_out(DATABASE)) == DATABASE


def test_the_trackers_log_is_masked_tracebacks_included():
    from search.tracking.follow import MaskingFormatter

    try:
        raise ValueError(f"no answer from {SERVER}")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "at %s", (DATABASE,), sys.exc_info())
    text = MaskingFormatter("%(message)s").format(record)
    assert "ValueError: no answer from http://***@127.0.0.1:1" in text and SECRET not in text


@pytest.fixture
def older(tmp_path):
    """A ledger in which an older Lanewise stored addresses as they were given: its study, an event, a message."""
    declaration = {"ledger": DATABASE, "tracking": {"uri": SERVER}, "resources": {"address": None}, "question": "a?b=1"}
    ledger = Ledger(sqlite_url(tmp_path / "ledger.db"), create=True)
    study = ledger.create_study("a", declaration, fingerprint="f", facts=FACTS)
    writer = LedgerWriter(ledger, study)
    writer.trial_started(0, {}, config_hash="0", seed=0, sampler_attrs={}, repeats=[])
    writer.trial_ended(0, Outcome(StopReason.ERROR, message="m", traceback="t"))
    writer.event(CheckpointNote(trial=0, note=f"new {SERVER} is masked at once"))
    writer.flush()
    with ledger.writing() as connection:
        said = {"message": f"tracking.uri: {SERVER} -> {SERVER}/x"}
        row = {"study_id": study, "at": 0.0, "level": "info", "kind": "redeclared", "data": json.dumps(said)}
        assert SECRET not in str(connection.execute(sa.select(schema.events)).all())
        connection.execute(sa.insert(schema.events).values(row))
        connection.execute(sa.update(schema.trials).values(message=f"at {DATABASE}", traceback=f"File\n{DATABASE}\n"))
    yield ledger
    ledger.close()


def test_what_an_older_version_stored_is_not_read_and_leaves_the_file_when_a_search_writes(older, tmp_path):
    study, trial, events = older.study("a"), older.trials(1)[0], older.events(1)
    assert study.declaration["ledger"] == "postgresql+psycopg://lw@127.0.0.1:1/db"
    assert study.declaration["tracking"]["uri"] == "http://127.0.0.1:1" and study.declaration["question"] == "a?b=1"
    assert (trial.message, SECRET in trial.traceback) == ("at postgresql+psycopg://lw:***@127.0.0.1:1/db", False)
    assert events[-1].message == "tracking.uri: http://***@127.0.0.1:1 -> http://***@127.0.0.1:1/x"
    assert SECRET in on_disk(tmp_path), "a reader changes nothing"
    removed = remove_credentials(older)
    assert removed is not None and removed.texts == 4
    assert SECRET not in on_disk(tmp_path)
    assert (older.study("a").declaration, older.trials(1)[0], older.events(1)) == (study.declaration, trial, events)
    assert remove_credentials(older) is None


def on_disk(folder):
    return "".join(file.read_bytes().decode("latin1") for file in folder.iterdir())


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_what_may_hold_a_secret_is_the_users_alone_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        make_private_folder(tmp_path / "home")
        make_private_file(tmp_path / "home" / "log")
        with Ledger(sqlite_url(tmp_path / "home" / "ledger.db"), create=True) as ledger, ledger.reading():
            modes = {file.name: mode(file) for file in (tmp_path / "home").iterdir()}
    finally:
        os.umask(before)
    assert mode(tmp_path / "home") == 0o700
    assert {"log", "ledger.db"} <= modes.keys() and set(modes.values()) == {0o600}
    assert openness(tmp_path / "home") is None


def test_a_home_that_is_there_stays_as_it_is_and_is_said_to_be_open(tmp_path):
    home = tmp_path / "home of all"
    home.mkdir()
    home.chmod(0o755)
    (home / "log").write_text("kept")
    (home / "log").chmod(0o644)
    make_private_folder(home)
    make_private_file(home / "log")
    assert (mode(home), mode(home / "log"), (home / "log").read_text()) == (0o755, 0o644, "kept")
    small = ("--trials", "1", "--max-epochs", "3", "--tracking", "offline")
    said = invoke("run", "regularization", "--name", "a", "--home", home, *small).output
    assert f"other users of this machine may look into {home} (mode 755); to close it: chmod 700 '{home}'" in said
    assert mode(home / "a" / "ledger.db") == 0o600
    with Ledger(sqlite_url(home / "a" / "ledger.db")) as ledger:
        assert not ledger.events(1, EventKind.CREDENTIALS_REMOVED)
