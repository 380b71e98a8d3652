"""A search as a job of a real Ray head: submitted, refused, waiting for a GPU, stopped."""

import sqlite3
import time
from contextlib import closing

import pytest
from mlflow.tracking import MlflowClient

from search.ledger import Ledger, sqlite_url
from search.ledger.outcome import TrialState
from tests.support.ray_head import RayHead, command_line

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]

SEARCH = ("python", "-m", "search.run", "--no-confirm", "regularization", "--address", "auto", "--name", "it")

OF_SEARCHES = ("search.run", "search.tracking.follow", "_Inner", "LaneHost")
"""In the command lines of the processes of a search: the last two are Ray's names for what trains."""


@pytest.fixture(scope="module")
def head():
    head = RayHead("--num-cpus=2")
    yield head
    assert head.end() == []


def ledger_of(home):
    with Ledger(sqlite_url(home / "it" / "ledger.db")) as ledger:
        study_id = ledger.study("it").id
        return ledger.trials(study_id), ledger.sessions(study_id), ledger.epochs_frame(study_id)


def mlflow_statuses(home):
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("regularization").experiment_id], max_results=1000)
    return [r.info.status for r in runs]


def submit(head, job_id, *options, wait=True, environment=None):
    waiting = () if wait else ("--no-wait",)
    where = ("--address", head.url, "--submission-id", job_id)
    return head.ray("job", "submit", *where, *waiting, "--", *SEARCH, *options, environment=environment)


def wait_until(ready, what, head, job_id):
    deadline = time.monotonic() + 120
    while not ready():
        job = head.job(job_id)
        assert job["status"] in ("PENDING", "RUNNING"), job["logs"]
        assert time.monotonic() < deadline, f"waited in vain for {what}: {job['logs']}"
        time.sleep(0.2)


def epochs_in(home):
    try:
        with closing(sqlite3.connect(f"file:{home / 'it' / 'ledger.db'}?mode=ro", uri=True)) as database:
            return database.execute("SELECT COUNT(*) FROM epochs").fetchone()[0]
    except sqlite3.Error:
        return 0  # not there yet


def left_of_searches(head):
    """Return the processes of searches that the head still has, after a while for them to go."""
    deadline = time.monotonic() + 10
    while True:
        lines = [command_line(p) for p in head.processes()]
        left = [line for line in lines if any(name in line for name in OF_SEARCHES)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def test_a_job_searches_on_the_cluster(head, tmp_path):
    done = submit(head, "searches", "--trials", "4", "--max-epochs", "3", "--home", str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert head.job("searches")["status"] == "SUCCEEDED"
    trials, sessions, epochs = ledger_of(tmp_path)
    assert [(t.number, t.state) for t in trials] == [(n, TrialState.COMPLETE) for n in range(4)]
    assert [s.ending for s in sessions] == ["done"]
    assert len(epochs) == 12
    assert mlflow_statuses(tmp_path) == ["FINISHED"] * 5
    assert left_of_searches(head) == []


def test_a_job_is_refused_without_the_token(head, tmp_path):
    before = len(head.ask("/api/jobs/", token=head.token)[1])
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64)
    absent = {"HOME": str(tmp_path), "RAY_AUTH_TOKEN_PATH": ""}
    for environment in (absent, {"RAY_AUTH_TOKEN_PATH": str(wrong)}, {**absent, "RAY_AUTH_MODE": "disabled"}):
        done = submit(head, "refused", "--home", str(tmp_path / "home"), environment=environment)
        assert done.returncode != 0
        assert "AuthenticationError" in done.stdout
    assert head.ask("/api/jobs/", data={"entrypoint": "true"})[0] == 401
    assert head.ask("/api/jobs/", data={"entrypoint": "true"}, token="0" * 64)[0] == 403
    assert len(head.ask("/api/jobs/", token=head.token)[1]) == before
    assert not (tmp_path / "home").exists()


def test_a_job_that_is_stopped_ends_as_interrupted(head, tmp_path):
    endless = ("--trials", "500", "--max-epochs", "500", "--scheduler", "none", "--home", str(tmp_path))
    assert submit(head, "stopped", *endless, wait=False).returncode == 0
    wait_until(lambda: epochs_in(tmp_path) > 0, "an epoch", head, "stopped")
    assert head.ray("job", "stop", "--address", head.url, "stopped").returncode == 0
    job = head.job("stopped")
    assert job["status"] == "STOPPED"
    assert "Traceback" not in job["logs"]
    assert "not everything arrived" not in job["logs"]
    trials, sessions, _ = ledger_of(tmp_path)
    assert [s.ending for s in sessions] == ["interrupted"]
    cut = [t for t in trials if t.state is not TrialState.COMPLETE]
    assert cut
    assert {(t.state, t.stop_reason) for t in cut} == {(TrialState.CANCELLED, "user")}
    assert "RUNNING" not in mlflow_statuses(tmp_path)
    assert left_of_searches(head) == []


@pytest.mark.parametrize(
    ("share", "asked"),
    [
        (("--gpus-per-trial", "0.25"), "a trial takes 1 CPU and 0.25 GPU"),
        (("--gpus-per-worker", "1"), "a worker takes 1 CPU and 1 GPU"),
    ],
)
def test_a_search_that_waits_for_a_gpu_says_so_and_can_be_stopped(head, tmp_path, share, asked):
    options = (*share, "--trials", "4", "--home", str(tmp_path))
    job_id = f"waits{share[0]}"
    assert submit(head, job_id, *options, wait=False).returncode == 0
    line = f"waiting: {asked}, and the cluster has 2 CPU and 0 GPU now; "
    wait_until(lambda: line in head.job(job_id)["logs"], "the line that says so", head, job_id)
    assert head.ray("job", "stop", "--address", head.url, job_id).returncode == 0
    job = head.job(job_id)
    assert job["status"] == "STOPPED"
    assert job["logs"].count("waiting:") == 1
    assert "Traceback" not in job["logs"]
    trials, sessions, _ = ledger_of(tmp_path)
    assert trials == []
    assert [s.ending for s in sessions] == ["interrupted"]
    assert left_of_searches(head) == []


def test_an_autoscaler_adds_what_is_asked_for(tmp_path):
    head = RayHead("--num-cpus=1", simulated_nodes=2)
    try:
        options = ("--gpus-per-trial", "0.5", "--workers", "4", "--trials", "8", "--max-epochs", "3")
        done = submit(head, "grows", *options, "--home", str(tmp_path))
        said = head.autoscaler_log()
    finally:
        head.end()
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("waiting: a trial takes 1 CPU and 0.5 GPU, and the cluster has 1 CPU and 0 GPU now") == 1
    assert "Adding 2 node(s) of type gpu" in said or said.count("Adding 1 node(s) of type gpu") == 2
    trials, _, _ = ledger_of(tmp_path)
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 8
