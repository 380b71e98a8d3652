"""Ctrl-C and SIGTERM against the real command: exit code, ledger, MLflow, and no process left behind."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient

from search.ledger import Ledger, sqlite_url
from search.ledger.outcome import TrialState
from tests.support.ray_head import command_line

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

ENDLESS = ("--trials", "500", "--max-epochs", "500", "--scheduler", "none", "--train-examples", "300")
RAYS_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
LEFT_S = 10.0
"""How long the processes of a search may take to go after the search went."""


class Running:
    """``python -m search.run`` in a process group of its own, as a shell would start it."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
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
        self.process = subprocess.Popen(
            [*command, "--no-confirm", *ENDLESS, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.children: list[psutil.Process] = []

    def wait_until(self, ready, what: str) -> None:
        deadline = time.monotonic() + 120
        while not ready():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.1)

    def wait_until_it_trains(self, *, tracked: bool = True) -> None:
        self.wait_until(lambda: self._count("it/ledger.db", "epochs") > 0, "an epoch in the ledger")
        if tracked:
            self.wait_until(lambda: self._count("mlflow.db", "runs") > 1, "a trial in MLflow")
        else:
            log = self.home / "it" / "tracking.log"
            self.wait_until(lambda: log.is_file() and log.stat().st_size > 0, "a warning of the tracker")
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def _count(self, file: str, table: str) -> int:
        try:
            with closing(sqlite3.connect(f"file:{self.home / file}?mode=ro", uri=True)) as database:
                return database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        except sqlite3.Error:
            return 0  # not there yet

    def end(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, output

    def left(self) -> list[str]:
        """Return what still runs of what ran before the signal."""
        _, alive = psutil.wait_procs(self.children, timeout=LEFT_S)
        return [line[:100] for line in map(command_line, alive) if line]

    def kill(self) -> None:
        for process in self.children:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def start(tmp_path):
    started = []

    def start(*options, tracked=True):
        started.append(Running(tmp_path, *options))
        started[-1].wait_until_it_trains(tracked=tracked)
        return started[-1]

    yield start
    for running in started:
        running.kill()


def names(processes):
    words = ("raylet", "gcs_server", "search.tracking.follow")
    return {word for process in processes for word in words if word in command_line(process)}


def ledger_of(home):
    with Ledger(sqlite_url(home / "it" / "ledger.db")) as ledger:
        study_id = ledger.study("it").id
        return ledger.trials(study_id), ledger.sessions(study_id), ledger.epochs_frame(study_id)


def check_a_clean_stop(home):
    """Everything so far is in the ledger and in MLflow, and nothing claims to be running."""
    trials, sessions, epochs = ledger_of(home)
    assert [s.ending for s in sessions] == ["interrupted"]
    stopped = [t for t in trials if t.state is not TrialState.COMPLETE]
    assert stopped, "something was running"
    assert {(t.state, t.stop_reason) for t in stopped} == {(TrialState.CANCELLED, "user")}
    assert len(epochs) > 0
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("regularization").experiment_id], max_results=1000)
    children = [r for r in runs if "lanewise.trial" in r.data.tags]
    assert {int(r.data.tags["lanewise.trial"]) for r in children} == {t.number for t in trials}
    assert Counter(r.info.status for r in children)["KILLED"] == len(stopped)
    assert "RUNNING" not in {r.info.status for r in runs}
    points = sum(len(client.get_metric_history(r.info.run_id, "val_loss")) for r in children)
    assert points == len(epochs), "every epoch, once"


def check_it_listens_on_loopback_alone(running):
    processes = [psutil.Process(running.process.pid), *running.children]
    listening = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # Ray ends workers that idle
            listening |= {c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert listening, "Ray's servers"
    assert {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1", "::1"}


@pytest.mark.slow
def test_ctrl_c_stops_cleanly(start, tmp_path):
    running = start("--executor", "tune")
    assert names(running.children) == {"raylet", "gcs_server", "search.tracking.follow"}
    check_it_listens_on_loopback_alone(running)
    os.killpg(running.process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    code, output = running.end()
    assert code == 130, output
    assert "Traceback" not in output
    assert running.left() == []
    check_a_clean_stop(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["tune", "lanes"])
def test_sigterm_stops_cleanly(start, tmp_path, executor):
    running = start("--executor", executor)
    running.process.send_signal(signal.SIGTERM)
    code, output = running.end()
    assert code == 143, output
    assert "SIGTERM received" not in output, "Ray's own handler would abort the process"
    assert running.left() == []
    check_a_clean_stop(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["tune", "lanes"])
def test_ctrl_c_twice_stops_at_once(start, tmp_path, executor):
    running = start("--executor", executor)
    sent = time.monotonic()
    os.killpg(running.process.pid, signal.SIGINT)
    time.sleep(0.2)  # two at the same instant are one to the kernel
    os.killpg(running.process.pid, signal.SIGINT)
    code, output = running.end()
    assert code == 130, output
    assert time.monotonic() - sent < 3, "without waiting for an epoch, Ray or MLflow"
    assert running.left() == []
    trials, sessions, epochs = ledger_of(tmp_path)
    assert [s.ending for s in sessions] in ([None], ["interrupted"]), "either is resumed"
    assert trials and len(epochs)


def test_ctrl_c_stops_lanes_cleanly(start, tmp_path):
    running = start("--executor", "lanes")
    os.killpg(running.process.pid, signal.SIGINT)
    code, output = running.end()
    assert code == 130, output
    assert running.left() == []
    check_a_clean_stop(tmp_path)


@pytest.mark.slow
def test_a_signal_to_the_tracker_as_well_loses_nothing(start, tmp_path):
    """`ray job stop` signals the driver and each process below it that it can find; so does a shutdown."""
    running = start("--executor", "lanes")
    for process in [*running.children, psutil.Process(running.process.pid)]:
        process.send_signal(signal.SIGTERM)
    code, output = running.end()
    assert code == 143, output
    assert "not everything arrived" not in output
    assert running.left() == []
    check_a_clean_stop(tmp_path)


@pytest.fixture
def silent_server():
    """An MLflow server that takes calls and never answers, which is worse than none: each takes its time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.long
@pytest.mark.parametrize(
    ("executor", "signals", "expected"),
    [
        ("tune", [signal.SIGTERM], 143),
        ("lanes", [signal.SIGINT], 130),
        ("tune", [signal.SIGINT, signal.SIGINT], 130),
        ("lanes", [signal.SIGINT, signal.SIGINT], 130),
        ("tune", [signal.SIGKILL], -signal.SIGKILL),
        ("lanes", [signal.SIGKILL], -signal.SIGKILL),
    ],
    ids=["tune-SIGTERM", "lanes-SIGINT", "tune-twice", "lanes-twice", "tune-SIGKILL", "lanes-SIGKILL"],
)
def test_no_process_outlives_a_search_whose_mlflow_server_is_silent(
    start, tmp_path, silent_server, executor, signals, expected
):
    running = start("--executor", executor, "--tracking", silent_server, "--untracked-ok", tracked=False)
    assert "search.tracking.follow" in names(running.children)
    for number in signals:
        running.process.send_signal(number)
        time.sleep(0.2)  # two at the same instant are one to the kernel
    code, output = running.end()
    assert code == expected, output
    left = running.left()
    if signals == [signal.SIGKILL]:
        # Nobody is there to end Ray: two agents of its own try for a minute to tell its dead server of it.
        left = [line for line in left if not line.startswith(RAYS_AGENTS)]
    assert left == []
    trials, sessions, epochs = ledger_of(tmp_path)
    assert trials and len(epochs), "what was recorded stays"
    if signals in ([signal.SIGTERM], [signal.SIGINT]):
        assert [s.ending for s in sessions] == ["interrupted"]
        assert "not everything arrived (MLflow did not take it: " in output


@pytest.mark.slow
def test_ctrl_c_stops_lanes_on_ray_workers_cleanly(start, tmp_path):
    running = start("--executor", "lanes", "--workers", "2")
    assert names(running.children) == {"raylet", "gcs_server", "search.tracking.follow"}
    os.killpg(running.process.pid, signal.SIGINT)
    code, output = running.end()
    assert code == 130, output
    assert "Traceback" not in output
    assert running.left() == []
    check_a_clean_stop(tmp_path)
