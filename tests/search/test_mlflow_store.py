"""MLflow's own database in a home: any path, made once, mended where its making broke, and where the home is now."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from search.ledger.paths import Paths, reserved
from search.ledger.printed_commands import mlflow_command
from search.tracking.experiment import open_experiment
from search.tracking.probe import try_store
from search.tracking.process import Patience, TrackerProcess
from search.tracking.store import database_file, open_store

ODD = ("what?x=1", "100%20off", "%", "#", 'it\'s "a" b;c\\d', "ünï 日本", "a&b=c+d", " [x] ~$HOME", "file:x@y:z")


def opened(home, notes=None):
    """Open the store of a home; return the client and the id of an experiment."""
    paths, say = Paths(home, "s"), (notes if notes is not None else []).append
    client, _ = open_store(paths.mlflow_uri, artifacts=paths.mlflow_artifacts, say=say)
    return client, open_experiment(client, "kind", artifacts=paths.mlflow_artifacts, say=say)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home whose store has one run."""
    home = tmp_path_factory.mktemp("first") / "home"
    client, experiment = opened(home)
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "before", "a.txt")
    return home, run.info.run_id


def text_in(home, run_id):
    return next((home / "mlflow-artifacts" / run_id / "artifacts").glob("*.txt")).read_text()


@pytest.mark.parametrize("name", ODD)
def test_a_home_of_any_name_holds_its_store_and_one_that_was_moved_is_looked_for_where_it_is(made, tmp_path, name):
    home, run_id = tmp_path / name / "home", made[1]
    shutil.copytree(made[0], home)
    notes = []
    client, experiment = opened(home, notes)
    added = client.create_run(experiment).info.run_id
    client.log_text(added, "added", "c.txt")
    assert database_file(Paths(home, "s").mlflow_uri) == home / "mlflow.db"
    assert text_in(home, added) == "added"
    place = home / "mlflow-artifacts" / run_id / "artifacts"
    assert client.get_run(run_id).info.artifact_uri == place.as_uri()
    assert text_in(home, run_id) == "before"
    assert [note.partition(" are looked for in ")[0] for note in notes] == ["MLflow's artifacts"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [name], "nothing lies beside it"
    assert len(mlflow_command(Paths(home, "s").mlflow_uri).splitlines()) == 1


def half_made(database):
    database.execute("DELETE FROM alembic_version")


def earlier(database):
    database.execute("UPDATE alembic_version SET version_num = 'never'")
    database.execute("DELETE FROM runs")


@pytest.mark.parametrize("breaks", [half_made, earlier, None])
def test_a_database_whose_making_broke_is_put_aside_and_made_anew(made, tmp_path, breaks):
    home = tmp_path / "home"
    home.mkdir()
    file = home / "mlflow.db"
    if breaks is None:
        file.write_bytes(b"no database" * 400)
    else:
        shutil.copy(made[0] / "mlflow.db", file)
        with closing(sqlite3.connect(file)) as database, database:
            breaks(database)
    before, notes = file.read_bytes(), []
    client, experiment = opened(home, notes)
    assert client.search_runs([experiment]) == []
    (aside,) = home.glob("mlflow.db.broken-*")
    assert aside.read_bytes() == before
    assert notes[0].startswith(f"MLflow's database {file} could not be used (")
    assert notes[0].endswith(f"): it is now {aside}, and made anew")


def test_a_database_of_another_version_that_holds_runs_stays_as_it_is(made, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(made[0], home)
    with closing(sqlite3.connect(home / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'never'")
    before = (home / "mlflow.db").read_bytes()
    with pytest.raises(Exception, match="never"):
        opened(home)
    assert (home / "mlflow.db").read_bytes() == before
    assert not list(home.glob("*broken*"))


MAKE = (
    "import sys; from tests.search.test_mlflow_store import opened; from pathlib import Path; opened(Path(sys.argv[1]))"
)


@pytest.mark.slow
def test_processes_that_open_a_fresh_home_at_once_make_one_store(tmp_path):
    started = [subprocess.Popen([sys.executable, "-c", MAKE, str(tmp_path / "home")]) for _ in range(4)]
    assert [process.wait(timeout=120) for process in started] == [0] * 4
    client, experiment = opened(tmp_path / "home")
    assert [found.experiment_id for found in client.search_experiments() if found.name == "kind"] == [experiment]
    assert not list((tmp_path / "home").glob("*broken*"))


def test_an_experiment_that_was_deleted_is_restored_with_its_runs(made, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(made[0], home)
    client, experiment = opened(home)
    client.delete_experiment(experiment)
    notes = []
    client, again = opened(home, notes)
    assert again == experiment
    assert [run.info.lifecycle_stage for run in client.search_runs([experiment])] == ["active"]
    assert notes == ["restored the experiment kind, which had been deleted in MLflow"]


class Answers(BaseHTTPRequestHandler):
    """A server that is well by its own account and is none of MLflow's."""

    def do_GET(self):
        code, body = (200, b"OK") if self.path == "/health" else self.server.says
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        """Say nothing."""


@pytest.mark.parametrize("says", [(401, b"who?"), (500, b"oh"), (200, b"<html>login</html>"), (404, b"")])
def test_a_server_that_is_well_and_takes_nothing_is_of_no_use(says):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.says = says
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        why = try_store(f"http://127.0.0.1:{server.server_port}", "kind", artifacts=None, say=print)
    finally:
        server.shutdown()
        server.server_close()
    assert why is not None
    assert len(why.splitlines()) == 1
    assert len(why) <= 240


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("nonsense", "it is no URI of a server or a database"),
        ("./mlruns", "it is no URI of a server or a database"),
        ("sqlite://", "in memory"),
        ("sqlite:////nowhere/at/all/x.db", "unable to open"),
        ("postgresql+psycopg://lw@127.0.0.1:1/x", "onnection refused"),
        ("mysql+nodriver://h/x", ""),
        ("s3://bucket/x", "unsupported URI"),
    ],
)
def test_a_uri_that_leads_nowhere_is_of_no_use(uri, why):
    found = try_store(uri, "kind", artifacts=None, say=print)
    assert found is not None
    assert why in found


def test_a_store_that_is_of_use_is_written_to_and_read(made):
    paths = Paths(made[0], "s")
    assert try_store(paths.mlflow_uri, "kind", artifacts=paths.mlflow_artifacts, say=print) is None


@pytest.mark.parametrize("impatient", [True, False])
def test_a_tracker_that_stands_still_holds_no_search(tmp_path, impatient):
    patience = Patience(stalled_s=0.3) if impatient else None
    with TrackerProcess(f"sqlite:///{tmp_path}/mlflow.db", artifacts=None, patience=patience) as tracker:
        child = psutil.Process(tracker.pid)
        child.send_signal(signal.SIGSTOP)
        tracker.begin("sqlite:///absent.db", "s", home=tmp_path, log=tmp_path / "log")
        why = tracker.finish(stopping=lambda: not impatient)
    assert why == ("nothing got through for 0.3 s" if impatient else "a signal ended the sending")
    assert not child.is_running()


@pytest.mark.parametrize("name", ["mlflow.db", "MLflow.db", "mlflow.db-wal", "mlflow.db.lock", "mlflow-artifacts"])
def test_no_study_has_the_name_of_what_else_lies_in_a_home(name):
    assert reserved(name)
    assert not reserved(f"my-{name}")
