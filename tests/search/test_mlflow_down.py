"""MLflow down at the start of a search, in its middle, or when it goes on: nothing of the search is lost or slowed."""

import contextlib
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from mlflow.tracking import MlflowClient

from search.errors import RunError
from search.ledger import Ledger, sqlite_url
from search.tracking.process import UID, check_server
from tests.support.mlflow_server import MlflowServer, check_same
from tests.support.wire import Wire

SEARCH = ("--executor", "lanes", "--lanes", "4", "--trials", "4", "--scheduler", "none", "--train-examples", "300")
ENDLESS = ("--max-epochs", "100000", "--set", "hidden=512-512")  # not so many epochs a second


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as server:
        yield server.start()


@pytest.fixture
def wire(server):
    with Wire(server.port) as wire:
        yield wire


@pytest.fixture
def start():
    """Start searches whose MLflow server is at ``uri``; what is left of them at the end is killed."""
    started = []

    def start(home, uri, *options):
        command = [
            sys.executable,
            "-m",
            "search.run",
            "--no-confirm",
            "regularization",
            "--home",
            str(home),
            "--name",
            "it",
        ]
        command += ["--no-confirm", "--tracking", uri, *SEARCH, *options]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def run(home, verb, *options):
    """Run another verb; return its exit code and what it printed."""
    command = [sys.executable, "-m", "search", verb, "it", "--home", str(home), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    return done.returncode, done.stdout


def succeed(process, code=0):
    output, _ = process.communicate(timeout=150)
    assert process.returncode == code, output
    return output


def count(home, table):
    try:
        with closing(sqlite3.connect(f"file:{home / 'it' / 'ledger.db'}?mode=ro", uri=True)) as database:
            return database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
    except sqlite3.Error:
        return 0  # not there yet


def wait_until(ready, process, what):
    deadline = time.monotonic() + 60
    while not ready():
        assert process.poll() is None, f"it ended before {what}: {process.communicate()[0]}"
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def arrived(uri, home):
    """Return the last epoch that the server has of trial 0; 0 where it knows nothing yet."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("regularization")
    if experiment is None or not (home / "it" / "ledger.db").is_file():
        return 0
    with Ledger(sqlite_url(home / "it" / "ledger.db")) as ledger:
        studies = ledger.studies()
    if not studies:
        return 0
    uid = studies[0].facts.uid
    found = client.search_runs([experiment.experiment_id], f"tags.`{UID}` = '{uid}' and tags.`lanewise.trial` = '0'")
    points = client.get_metric_history(found[0].info.run_id, "val_loss") if found else []
    return max((m.step for m in points), default=0)


def same(uri, home):
    return check_same(uri, sqlite_url(home / "it" / "ledger.db"), "it", "regularization")


def stop(process):
    process.send_signal(signal.SIGINT)
    return succeed(process, 130)


def test_down_in_the_middle_nothing_is_lost_or_sent_twice(start, server, wire, tmp_path):
    process = start(tmp_path, wire.join().uri, *ENDLESS, "--json")
    wait_until(lambda: arrived(server.uri, tmp_path) > 0, process, "an epoch arrived")
    wire.cut()
    before = count(tmp_path, "epochs")
    wait_until(lambda: count(tmp_path, "epochs") > before + 10, process, "it went on without the server")
    meanwhile = count(tmp_path, "epochs")
    wire.join()
    wait_until(lambda: arrived(server.uri, tmp_path) * 4 >= meanwhile, process, "the server had what it missed")
    answer = json.loads(stop(process).splitlines()[-1])
    assert answer["untracked"] is None
    assert answer["states"] == {"CANCELLED": 4}
    assert 0 < answer["longest_stall_s"] < answer["wall_s"]
    assert same(server.uri, tmp_path) == count(tmp_path, "epochs") * 5


def test_down_at_the_start_it_is_refused_within_five_seconds_with_what_to_do(start, wire, tmp_path):
    output = succeed(start(tmp_path / "home", wire.uri), 1)
    assert output.startswith(f"error: the MLflow server at {wire.uri} does not answer (")
    assert "--tracking offline" in output
    assert "python -m search sync NAME" in output
    assert "--untracked-ok" in output
    assert not (tmp_path / "home").exists(), "nothing was started"


@pytest.mark.slow
def test_down_from_start_to_end_it_searches_if_asked_to_and_sync_sends_it_all_once(start, server, wire, tmp_path):
    output = succeed(start(tmp_path, wire.uri, "--untracked-ok", "--max-epochs", "5"))
    sync = f"python -m search sync it --home {tmp_path}"
    assert f"the MLflow server at {wire.uri} does not answer (" in output
    assert f"searching all the same (--untracked-ok): the runs are sent when it does, or later by: {sync}" in output
    assert "not everything arrived (MLflow did not take it: " in output
    assert f"to send the rest: {sync}" in output
    assert count(tmp_path, "epochs") == 20
    code, output = run(tmp_path, "resume")
    assert code == 0
    assert "searching all the same (--untracked-ok)" in output, "as it was declared"
    wire.join()
    assert arrived(server.uri, tmp_path) == 0
    code, output = run(tmp_path, "sync")
    assert (code, output) == (0, f"it: MLflow at {wire.uri} is up to date; 24 epochs and endings were sent\n")
    assert same(server.uri, tmp_path) == 100
    code, output = run(tmp_path, "sync")
    assert "up to date; 0 epochs and endings were sent" in output
    assert same(server.uri, tmp_path) == 100


@pytest.mark.slow
def test_up_in_the_middle_everything_arrives_by_itself(start, server, wire, tmp_path):
    process = start(tmp_path, wire.uri, *ENDLESS, "--untracked-ok")
    wait_until(lambda: count(tmp_path, "epochs") > 0, process, "an epoch without a server")
    wire.join()
    wait_until(lambda: arrived(server.uri, tmp_path) > 0, process, "an epoch arrived")
    output = stop(process)
    assert "searching all the same (--untracked-ok)" in output
    assert "not everything arrived" not in output
    assert same(server.uri, tmp_path) == count(tmp_path, "epochs") * 5


@pytest.mark.slow
def test_a_study_that_needs_its_server_goes_on_without_it_only_if_asked_to(start, server, wire, tmp_path):
    succeed(start(tmp_path, wire.join().uri, "--max-epochs", "3"))
    wire.cut()
    before = count(tmp_path, "sessions")
    for verb in (("resume",), ("extend", "--trials", "1")):
        code, output = run(tmp_path, *verb)
        assert code == 1
        assert output.startswith(f"error: the MLflow server at {wire.uri} does not answer (")
        assert "start it, or go on without it: --untracked-ok" in output
        assert "Traceback" not in output
    assert count(tmp_path, "sessions") == before, "nothing was started"
    code, output = run(tmp_path, "extend", "--trials", "1", "--untracked-ok")
    assert code == 0, output
    assert "searching all the same (--untracked-ok)" in output
    assert (count(tmp_path, "trials"), count(tmp_path, "epochs")) == (5, 15)
    code, output = run(tmp_path, "sync")
    assert code == 1
    assert output == (
        f"error: the MLflow server at {wire.uri} does not answer ([Errno 111] Connection refused); "
        "start it, or name another with --tracking\n"
    )
    wire.join()
    assert run(tmp_path, "sync")[0] == 0
    assert same(server.uri, tmp_path) == 75


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"])
def test_a_server_that_takes_calls_and_is_of_no_use_is_not_there(says):
    """One that hangs, which may take five seconds, and a proxy with nothing behind it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        calls = []

        def answer():
            with contextlib.suppress(OSError):
                calls.append(listener.accept()[0])
                calls[0].recv(65536)
                calls[0].sendall(says)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(RunError, match=r"does not answer \((no answer in 5 s|timed out|HTTP 503)\); start it"):
            check_server(uri)
        for call in calls:
            call.close()
