"""A search that is killed, interrupted or extended goes on as if nothing had happened."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from mlflow.tracking import MlflowClient

from search.brain.scheduler import build_scheduler
from search.declaration.study import Study
from search.drive.lock import driver_lock
from search.errors import RunError
from search.ledger import Ledger, sqlite_url
from search.ledger.events import EventKind
from tests.support.marks import some_slow
from tests.support.mlflow_server import check_same
from trainables import checkpoint

TABLES = (
    "select number, epoch, metrics from epochs order by number, epoch",
    "select number, params, config_hash, seed, state, stop_reason from trials order by number",
    "select number, epoch, action, value, cutoff, reason from decisions order by number, epoch",
)
LANES = ("--executor", "lanes", "--lanes", "6", "--trials", "24")
TUNE = ("--executor", "tune", "--workers", "1", "--trials", "8")


def start(home, name, *options, tracking="offline", kind="regularization"):
    command = [sys.executable, "-m", "search.run", "--no-confirm", kind, "--home", home, "--name", name]
    command += ["--max-epochs", "27", "--checkpoint-every", "0.2", "--tracking", tracking, *options]
    return subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def again(home, name, *options, verb="resume"):
    command = [sys.executable, "-m", "search", verb, name, "--home", home, *options]
    return subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def read(home, name, query):
    path = home / name / "ledger.db"
    if not path.exists():
        return []
    try:
        with sqlite3.connect(path, timeout=10) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # its tables are being made
        return []
    finally:
        if "connection" in locals():
            connection.close()


def wait_for_epochs(process, home, name, epochs):
    """Return once the ledger has so many epochs, or the process has ended."""
    while process.poll() is None and len(read(home, name, TABLES[0])) < epochs:
        time.sleep(0.02)


def succeed(process):
    output, _ = process.communicate(timeout=170)
    assert process.returncode == 0, output
    return output


def models(home, name):
    """Return the best models on disk by trial: epoch, value, and every bit of the weights."""
    found = {}
    for path in (home / name / "checkpoints").glob("trial_*/*.pt"):
        assert path.name == "best.pt", "of a search that is over nothing else is left"
        state = checkpoint.load(path)
        weights = {name: (str(t.dtype), t.numpy().tobytes()) for name, t in state["model"].items()}
        found[path.parent.name] = state["epoch"], state["value"], weights
    return found


def reference(home, options, *, decides=True, **study):
    succeed(start(home, "reference", *options, **study))
    tables = [read(home, "reference", query) for query in TABLES]
    assert bool(tables[2]) is decides, "whether the scheduler decided something"
    return tables


def kill_and_resume(home, name, options, moments, **study):
    """Kill the driver when the ledger has each of ``moments`` epochs; resume each time."""
    process = start(home, name, *options, **study)
    for epochs in moments:
        wait_for_epochs(process, home, name, epochs)
        process.kill()
        process.communicate()
        process = again(home, name)
    succeed(process)
    return [read(home, name, query) for query in TABLES]


def test_a_killed_driver_resumes_to_the_same_search_in_lanes(tmp_path):
    expected = reference(tmp_path, LANES)
    total = len(expected[0])
    assert kill_and_resume(tmp_path, "killed", LANES, [total // 4, total // 2]) == expected
    assert len(models(tmp_path, "reference")) == 4, "the best three, and the baseline"
    assert models(tmp_path, "killed") == models(tmp_path, "reference")


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_two_objectives_mlps_and_cnns_resume_to_the_same_search(tmp_path, sampler):
    options = (*LANES, "--sampler", sampler, "--max-epochs", "6", "--grace", "2", "--train-examples", "300")
    expected = reference(tmp_path, options, kind="architectures")
    models = {json.loads(params)["model"] for _, params, *_ in expected[1]}
    assert models == {"mlp", "cnn"}
    total = len(expected[0])
    assert kill_and_resume(tmp_path, "killed", options, [total // 3, total // 2], kind="architectures") == expected


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("options", [LANES, pytest.param(TUNE, marks=pytest.mark.long)], ids=["lanes", "tune"])
def test_a_driver_killed_at_ten_random_moments_resumes_to_the_same_search(tmp_path, options):
    expected = reference(tmp_path, options)
    moments = sorted(random.Random(5).sample(range(1, len(expected[0])), 10))
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert kill_and_resume(tmp_path, "killed", options, moments, tracking=uri) == expected
    assert check_same(uri, sqlite_url(tmp_path / "killed" / "ledger.db"), "killed", "regularization") > 0
    assert len(models(tmp_path, "reference")) == 4, "the best three, and the baseline"
    assert models(tmp_path, "killed") == models(tmp_path, "reference")


def test_the_rungs_after_a_resume_are_those_of_a_replay(tmp_path):
    process = start(tmp_path, "s", *LANES)
    wait_for_epochs(process, tmp_path, "s", 60)
    process.kill()
    process.communicate()
    succeed(again(tmp_path, "s"))
    with Ledger(sqlite_url(tmp_path / "s" / "ledger.db")) as ledger:
        row = ledger.study("s")
        scheduler = build_scheduler(Study.model_validate(row.declaration))
        scheduler.replay(ledger.epochs(row.id), ledger.trials(row.id))
        decided = ledger.decisions_frame(row.id)
    for rung, values in scheduler.rungs().items():
        recorded = decided[decided["epoch"] == rung].set_index("number")["value"].to_dict()
        assert {number: values[number] for number in recorded} == recorded


def test_ctrl_c_and_resume_reopen_the_same_mlflow_runs(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    process = start(tmp_path, "s", *LANES, tracking=uri)
    wait_for_epochs(process, tmp_path, "s", 60)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("regularization").experiment_id
    before = {r.data.tags.get("lanewise.trial"): r for r in client.search_runs([experiment])}
    assert all(r.info.status != "RUNNING" for r in before.values())
    assert any(r.data.tags.get("lanewise.stop_reason") == "user" for r in before.values())
    assert list((tmp_path / "s" / "checkpoints").glob("trial_*/epoch_*.pt"))
    succeed(again(tmp_path, "s"))
    runs = client.search_runs([experiment])
    assert len(runs) == 25
    assert {r.info.status for r in runs} <= {"FINISHED", "KILLED"}
    assert all(r.data.tags.get("lanewise.stop_reason") != "user" for r in runs)
    after = {r.data.tags.get("lanewise.trial"): r for r in runs}
    assert {n: r.info.run_id for n, r in before.items()} == {n: after[n].info.run_id for n in before}
    for run in runs:
        number = run.data.tags.get("lanewise.trial")
        if number is not None:
            steps = [m.step for m in client.get_metric_history(run.info.run_id, "val_loss")]
            trained = [e for (n, e, _) in read(tmp_path, "s", TABLES[0]) if n == int(number)]
            assert steps == trained


def finished(home):
    succeed(start(home, "s", "--executor", "lanes", "--lanes", "2", "--trials", "4", "--scheduler", "none"))


def test_a_finished_study_resumes_to_itself(tmp_path):
    finished(tmp_path)
    before = [read(tmp_path, "s", query) for query in TABLES]
    succeed(again(tmp_path, "s"))
    assert [read(tmp_path, "s", query) for query in TABLES] == before


def test_a_study_is_extended_and_a_changed_space_keeps_the_trials_that_fit(tmp_path):
    finished(tmp_path)
    output = succeed(again(tmp_path, "s", "--trials", "3", "--set", "dropout.low=0.3", verb="extend"))
    assert "budget.trials: 4 -> 7" in output
    assert "space.dropout.low: 0.0 -> 0.3" in output
    params = [json.loads(p) for _, p, *_ in read(tmp_path, "s", TABLES[1])]
    assert len(params) == 7
    fitting = 1 + sum(p["dropout"] >= 0.3 for p in params[1:4])
    assert f"{fitting} of 4 trials fit" in output
    assert all(p["dropout"] >= 0.3 for p in params[4:])


def test_other_data_are_refused(tmp_path):
    finished(tmp_path)
    with sqlite3.connect(tmp_path / "s" / "ledger.db") as connection:
        connection.execute("update studies set fingerprint = ?", ("0" * 64,))
    connection.close()
    process = again(tmp_path, "s")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the data of s are not what they were" in output
    assert "Traceback" not in output


def test_a_second_driver_is_refused_with_the_first_ones_host_and_process(tmp_path):
    with driver_lock(tmp_path / "lock", "s"), pytest.raises(RunError, match=rf"process {os.getpid()} on \S+ since \d"):
        with driver_lock(tmp_path / "lock", "s"):
            raise AssertionError("two drivers")
    with driver_lock(tmp_path / "lock", "s"):
        pass


def test_a_truncated_ledger_is_refused_and_kept(tmp_path):
    finished(tmp_path)
    path = tmp_path / "s" / "ledger.db"
    with sqlite3.connect(path) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    process = again(tmp_path, "s")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert output.startswith("error: ledger ")
    assert "Traceback" not in output
    assert path.read_bytes() == whole[: len(whole) // 2]


@pytest.mark.parametrize("damage", some_slow(["0", "0.5", "0.99", "bit"], "0", "0.99", "bit"))
def test_a_damaged_checkpoint_is_said_and_the_one_before_it_used(tmp_path, damage):
    expected = reference(tmp_path, LANES) if damage == "bit" else None
    process = start(tmp_path, "s", *LANES, "--checkpoint-every", "0")
    wait_for_epochs(process, tmp_path, "s", 70)
    process.kill()
    process.communicate()
    running = [n for (n,) in read(tmp_path, "s", "select number from trials where state = 'RUNNING'")]
    # one that the ledger has not heard of yet is left alone by a resume, whole or not
    heard = dict(read(tmp_path, "s", "select number, max(epoch) from epochs group by number"))
    saved = {
        n: [
            path
            for path in sorted((tmp_path / "s" / "checkpoints" / f"trial_{n:05d}").glob("epoch_*.pt"))
            if int(path.stem.removeprefix("epoch_")) <= heard.get(n, 0)
        ]
        for n in running
    }
    number, files = max(saved.items(), key=lambda item: len(item[1]))
    data = bytearray(files[-1].read_bytes())
    if damage == "bit":
        data[len(data) // 2] ^= 1
    else:
        data = data[: int(len(data) * float(damage))]
    files[-1].write_bytes(bytes(data))
    succeed(again(tmp_path, "s"))
    with Ledger(sqlite_url(tmp_path / "s" / "ledger.db")) as ledger:
        events = [event.message for event in ledger.events(1, EventKind.CHECKPOINT)]
    assert any(m.startswith(f"trial {number}: checkpoint ") and "damaged" in m for m in events)
    before = int(files[-2].stem.removeprefix("epoch_")) if len(files) > 1 else 0
    assert f"trial {number} goes on from epoch {before}" in events
    if expected is not None:
        assert [read(tmp_path, "s", query) for query in TABLES] == expected


def test_nothing_of_a_search_lies_outside_its_home(tmp_path):
    finished(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"s"}
    shutil.rmtree(tmp_path / "s")
