"""``search stop``: the search of a study is ended, and no other process is taken for it."""

import fcntl
import json
import math
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest
from typer.testing import CliRunner

from benchmarks.report_page import record_study
from search.commands.verbs import app
from search.drive.lock import driver_lock
from search.drive.lookup import open_ledger
from search.drive.stop import driver_by, find_driver
from search.errors import RunError, UsageError, UserError
from search.ledger import Ledger
from search.ledger.events import EventKind
from search.ledger.outcome import SessionEnding
from search.ledger.paths import Paths
from tests.support.command import invoke

HOLD = """
import sys, time
from pathlib import Path
from search.drive.lock import driver_lock, starting_lock
from search.executors.control import Control
from search.ledger.paths import Paths

paths = Paths(Path(sys.argv[2]), "mine")
control = Control()
lock = starting_lock(paths) if sys.argv[1] == "starting" else driver_lock(paths.lock, "mine")
with lock, control.signals(on_second=lambda: print("at once")):
    print("holds", flush=True)
    while control.stopping is None or sys.argv[1] == "deaf":
        time.sleep(0.02)
print("cleanly")
"""
"""Drives a study as far as another process can tell; a deaf one heeds the second signal alone."""


@contextmanager
def driving(kind, home):
    """Start a process that holds a study's lock; yield it."""
    command = [sys.executable, "-c", HOLD, kind, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "holds\n"
            yield process
        finally:
            process.kill()


def refused(*arguments):
    done = CliRunner().invoke(app, ["stop", *map(str, arguments)], standalone_mode=False)
    (line,) = done.exception.errors
    return type(done.exception), line


def test_a_search_ends_as_by_ctrl_c_and_is_waited_for(tmp_path):
    record_study(tmp_path, "mine", trials=4, epochs=4, ending=SessionEnding.INTERRUPTED)
    with driving("driving", tmp_path) as process:
        lines = invoke("stop", "mine", "--home", tmp_path).stdout.splitlines()
        assert process.communicate()[0] == "cleanly\n"
        assert process.returncode == 0
    assert lines[0].startswith(f"stopping   mine: process {process.pid} on {socket.gethostname()} since ")
    assert lines[-2] == "stopped    mine: interrupted, 4 of 4 trials ended for good"
    assert lines[-1] == f"go on with python -m search resume mine --home {tmp_path}"


def test_now_ends_what_does_not_heed_the_first_signal(tmp_path):
    record_study(tmp_path, "mine", trials=4, epochs=4, ending=SessionEnding.INTERRUPTED)
    with driving("deaf", tmp_path) as process:
        invoke("stop", "mine", "--home", tmp_path, "--now")
        process.communicate()
        assert process.returncode == 130


def test_a_search_that_has_no_folder_yet_is_found_and_leaves_nothing(tmp_path):
    home = tmp_path / "above" / "home"
    with driving("starting", home) as process:
        said = invoke("stop", "mine", "--home", home).stdout
        process.communicate()
    assert "before there was anything to record" in said
    assert list(tmp_path.iterdir()) == []


def test_who_does_not_hold_the_lock_is_never_signalled(tmp_path):
    paths = record_study(tmp_path, "mine", trials=4, epochs=4)
    other = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time() + 100}
    paths.lock.write_text(json.dumps(other))
    kind, line = refused("mine", "--home", tmp_path)
    assert kind is RunError
    assert line == "mine is not being searched (done), so there is nothing to stop"


def lock_of(**changes):
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
    return json.dumps({**mine, **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [
        *(lock_of(pid=pid) for pid in (-1, 0, math.inf, -math.inf, math.nan, 10**30, "x", None, [])),
        *(lock_of(since=since) for since in (math.inf, math.nan, 1e300, "x", None)),
        *(b"", b"{", b"[]", b"\xff\xfe\xfa", b'{"host": "\xff"}', b"[" * 100_000),
    ],
    ids=[f"kind {i}" for i in range(20)],
)
def test_a_damaged_lock_names_nobody(tmp_path, content):
    paths = Paths(tmp_path, "mine")
    paths.folder.mkdir()
    paths.lock.write_bytes(content)
    assert driver_by(paths.lock) is None
    with paths.lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with (
            pytest.raises(RunError, match="study 'mine' is being searched by another process; wait for it to end"),
            driver_lock(paths.lock, "mine"),
        ):
            pass


def test_a_study_whose_lock_is_damaged_is_said_not_to_be_searched(tmp_path):
    paths = record_study(tmp_path, "mine", trials=4, epochs=4)
    paths.lock.write_bytes(b"\xff{")
    assert refused("mine", "--home", tmp_path)[1].startswith("mine is not being searched (done), so there is nothing")


def test_a_process_that_began_after_the_lock_was_taken_is_another(tmp_path):
    paths = record_study(tmp_path, "mine", trials=4, epochs=4, ending=SessionEnding.INTERRUPTED)
    earlier = {"host": socket.gethostname(), "pid": os.getpid(), "since": 1.0}
    paths.lock.write_text(json.dumps(earlier))
    with paths.lock.open():
        line = refused("mine", "--home", tmp_path)[1]
    assert line.startswith("mine is not being searched (interrupted), so there is nothing to stop; go on with: ")


def test_the_driver_is_found_from_another_home_of_its_database(tmp_path):
    paths = record_study(tmp_path / "home", "mine", trials=4, epochs=4)
    elsewhere = Paths(tmp_path / "other", "mine", paths.ledger_url)
    with driver_lock(paths.lock, "mine"), Ledger(paths.ledger_url) as ledger:
        ledger.start_session(ledger.study("mine").id)
        driver = find_driver(elsewhere)
        assert (driver.holder.pid, driver.lock) == (os.getpid(), paths.lock)
        assert driver.is_driving


def test_a_search_of_another_machine_is_said_to_be_one(tmp_path):
    paths = record_study(tmp_path, "mine", trials=4, epochs=4)
    with Ledger(paths.ledger_url) as ledger:
        ledger.start_session(ledger.study("mine").id)
        with ledger.writing() as connection:
            connection.exec_driver_sql("UPDATE sessions SET host = 'another' WHERE ended_at IS NULL")
    kind, line = refused("mine", "--home", tmp_path)
    assert kind is RunError
    assert line.startswith(f"mine is being searched by process {os.getpid()} on another since ")
    assert line.endswith(": stop it there")


def test_a_study_that_is_not_there_is_said_not_to_be(tmp_path):
    record_study(tmp_path, "mine", trials=1, epochs=3)
    kind, line = refused("mime", "--home", tmp_path)
    assert kind is UsageError
    assert "Did you mean 'mine'?" in line


def has_ended_trials(ledger, study):
    return sum(trial.state.ended for trial in ledger.trials(study)) > 1


def is_confirming(ledger, study):
    return bool(ledger.events(study, EventKind.CONFIRM_BEGUN))


def wait_until(ready, paths, process):
    """Wait until a ledger that a process is about to make shows what is waited for."""
    while process.poll() is None:
        with suppress(UserError), open_ledger(paths) as ledger:
            if ready(ledger, ledger.study(paths.name).id):
                return
        time.sleep(0.1)
    raise AssertionError(process.communicate()[0])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("trials", "ready"), [(500, has_ended_trials), (4, is_confirming)])
def test_a_real_search_is_stopped_while_it_searches_and_while_it_confirms(tmp_path, trials, ready):
    size = ["--trials", str(trials), "--max-epochs", "500", "--scheduler", "none", "--set", "patience=500"]
    where = ["--name", "mine", "--home", str(tmp_path), "--tracking", "offline", "--lanes", "2"]
    run = [sys.executable, "-m", "search.run", "regularization", *size, *where]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as search:
        try:
            paths = Paths(tmp_path, "mine")
            wait_until(ready, paths, search)
            said = invoke("stop", "mine", "--home", tmp_path).stdout
            search.communicate()
        finally:
            search.kill()
    assert search.returncode == 130
    assert "stopped    mine: interrupted, " in said
    with Ledger(paths.ledger_url) as ledger:
        assert ledger.sessions(ledger.study("mine").id)[-1].ending is SessionEnding.INTERRUPTED
