"""A confirmation that is killed again and again has, in the end, the runs of one that was not: the same, none twice."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

SEARCH = ("--trials", "5", "--max-epochs", "4", "--grace", "2", "--tracking", "offline", "--train-examples", "300")
OWN = """
kind: own
model: tests.trainables.user_models:small
data: {name: digits}
space:
  width: {type: int, low: 4, high: 32, baseline: 8}
  drop: {type: float, low: 0.0, high: 0.5, baseline: 0.0}
settings: {learning_rate: 0.003, batch_size: 64}
"""
WHERE = {"lanes": ("regularization",), "tune": ("--config", "own.yaml")}
RUNS = "select role, config_hash, split, seed, epochs, state, metrics from fits order by role, config_hash, split"


def lanewise(*words):
    return [sys.executable, "-m", *map(str, words)]


def finish(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def rows(home, name):
    with sqlite3.connect(home / name / "ledger.db", timeout=10) as connection:
        found = connection.execute(RUNS).fetchall()
    connection.close()
    return [(*row[:-1], {k: v for k, v in json.loads(row[-1]).items() if k != "epoch_seconds"}) for row in found]


@pytest.mark.parametrize("executor", WHERE)
def test_killed_at_five_moments_it_has_the_same_runs(tmp_path, monkeypatch, executor):
    """Our own networks train in the driver, a user's model as tasks of Ray."""
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(OWN)
    for name in ("killed", "whole"):
        search = lanewise("search.run", *WHERE[executor], *SEARCH, "--no-confirm", "--name", name)
        finish([*search, "--home", tmp_path])
    ask = ("--home", tmp_path, "--seeds", 3, "--finalists", 2, "--ablate")
    finish(lanewise("search", "confirm", "whole", *ask))
    whole, rng, kills = rows(tmp_path, "whole"), random.Random(executor), 0
    assert {row[0] for row in whole} == {"confirm", "ablation"}
    for enough in sorted(rng.sample(range(len(whole)), 5)):
        process = subprocess.Popen(lanewise("search", "confirm", "killed", *ask), stdout=subprocess.DEVNULL)
        while process.poll() is None and len(rows(tmp_path, "killed")) < enough:
            time.sleep(0.002)
        if process.poll() is None:
            time.sleep(rng.random() * 0.2)
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    finish(lanewise("search", "confirm", "killed", *ask))
    assert kills
    assert rows(tmp_path, "killed") == whole
