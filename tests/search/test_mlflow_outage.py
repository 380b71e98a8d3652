"""A real MLflow server is stopped for half a minute in the middle of two searches, twice, and neither minds."""

import json
import signal
import subprocess
import sys
import time

import pytest
from mlflow.tracking import MlflowClient

from search.errors import RunError
from search.ledger import Ledger, sqlite_url
from search.tracking.process import UID
from tests.search.executors.conftest import ROOT
from tests.support.mlflow_server import MlflowServer, check_same

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(600)]

EXECUTORS = ("lanes", "tune")
OUTAGE_S = 30.0
LONGEST_STALL_S = 0.2


@pytest.fixture(scope="module")
def outages(tmp_path_factory):
    """Both executors search beside each other, with one server, which is away twice; return what they say."""
    home = tmp_path_factory.mktemp("home")
    away = []
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as server:
        server.start()
        processes = {executor: search(home, executor, server.uri) for executor in EXECUTORS}
        try:
            for _ in range(2):
                for executor, process in processes.items():
                    wait_until(lambda e=executor: caught_up(server.uri, home, e), process)
                began = time.time()
                server.kill()
                time.sleep(OUTAGE_S)
                away.append((began, time.time()))
                server.start()
            for executor, process in processes.items():
                wait_until(lambda e=executor: caught_up(server.uri, home, e, after=away[-1][1]), process)
                process.send_signal(signal.SIGINT)
            answers = {executor: end(process) for executor, process in processes.items()}
        finally:
            for process in processes.values():
                process.kill()
                process.communicate()
        yield server.uri, home, away, answers


def search(home, executor, uri):
    command = [sys.executable, "-m", "tests.support.steady_search", str(home), executor, uri]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end(process):
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 130, output
    return json.loads(output.splitlines()[-1])


def wait_until(ready, process):
    deadline = time.monotonic() + 90
    while not ready():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "waited in vain for the server to have it all"
        time.sleep(0.5)


def facts(home, study):
    with Ledger(sqlite_url(home / study / "ledger.db")) as ledger:
        row = ledger.study(study)
        return row, ledger.trials(row.id), ledger.epochs(row.id)


def caught_up(uri, home, study, *, after=0.0):
    """Say whether the server has a run of the last trial but one, which began ``after`` that time."""
    if not (home / study / "ledger.db").is_file():
        return False
    try:
        row, trials, _ = facts(home, study)
    except RunError:  # it is being made
        return False
    experiment = MlflowClient(uri).get_experiment_by_name("scripted")
    if experiment is None or len(trials) < 4 or trials[-2].started_at < after:
        return False
    query = f"tags.`{UID}` = '{row.facts.uid}' and tags.`lanewise.trial` = '{trials[-2].number}'"
    return len(MlflowClient(uri).search_runs([experiment.experiment_id], query)) == 1


@pytest.mark.parametrize("executor", EXECUTORS)
def test_no_trial_fails_and_none_waits(outages, executor):
    _, home, away, answers = outages
    answer = answers[executor]
    assert "COMPLETE" in answer["states"]
    assert set(answer["states"]) <= {"COMPLETE", "CANCELLED"}, "those that Ctrl-C met may have ended by themselves"
    assert answer["untracked"] is None
    assert 0 < answer["stall_s"] < LONGEST_STALL_S
    _, trials, epochs = facts(home, executor)
    for began, ended in away:
        assert ended - began >= OUTAGE_S
        at = [began, *(e.at for e in epochs if began <= e.at <= ended), ended]
        # an epoch takes 0.2 s, two of them 0.4 s; a request to the server would take up to 5 s before it is given up
        assert max(b - a for a, b in zip(at, at[1:], strict=False)) < 3.0
        assert any(began <= t.started_at <= ended for t in trials), "trials begin and end meanwhile"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_no_point_is_missing_or_doubled_and_nothing_is_left_running(outages, executor):
    uri, home, _, _ = outages
    _, _, epochs = facts(home, executor)
    assert check_same(uri, sqlite_url(home / executor / "ledger.db"), executor, "scripted") == 5 * len(epochs)
