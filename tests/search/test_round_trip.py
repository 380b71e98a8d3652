"""`show --config` prints what `run --config` runs again: the same declaration, trials and curves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.declaration.studies import registered
from search.declaration.study import Study
from search.ledger import Ledger, sqlite_url
from tests.support.command import invoke

ROOT = Path(__file__).parents[2]


def command(*arguments):
    return invoke(*arguments).stdout


def facts_of(home, name):
    """Return the declaration, the trials and the curves of a recorded study, without times."""
    with Ledger(sqlite_url(home / name / "ledger.db")) as ledger:
        row = ledger.study(name)
        trials = [(t.number, t.params, t.seed, t.config_hash, t.state, t.stop_reason) for t in ledger.trials(row.id)]
        epochs = [(e.number, e.epoch, e.metrics) for e in ledger.epochs(row.id)]
        return Study.model_validate(row.declaration), sorted(trials), sorted(epochs, key=lambda e: e[:2])


SLOWEST = {"sklearn_comparison": pytest.mark.slow}
FEW = ("--trials", 4, "--max-epochs", 4, "--tracking", "offline", "--json")


@pytest.mark.parametrize("kind", [pytest.param(k, marks=SLOWEST.get(k, ())) for k in registered()])
def test_a_registered_study_runs_from_its_yaml_as_by_its_name(tmp_path, kind):
    file = tmp_path / "study.yaml"
    file.write_text(command("show", "--config", kind, "--home", tmp_path))
    command("run", kind, *FEW, "--home", tmp_path, "--name", "named")
    command("run", "--config", file, *FEW, "--home", tmp_path, "--name", "written")
    named, written = (facts_of(tmp_path, name) for name in ("named", "written"))
    assert named[0] == written[0].model_copy(update={"name": "named"})
    assert named[1:] == written[1:]
    assert len(named[1]) == 4


def test_a_recorded_study_runs_again_from_its_yaml(tmp_path):
    changed = ("--set", "dropout.high=0.3", "--set", "hidden.choices=32-16,16-8", "--set", "l1=off", "--seed", 5)
    command("run", "regularization", *FEW, *changed, "--home", tmp_path, "--name", "first", "--lanes", 2)
    file = tmp_path / "study.yaml"
    file.write_text(command("show", "--config", "first", "--home", tmp_path))
    command("run", "--config", file, "--json", "--home", tmp_path, "--name", "second")
    first, second = (facts_of(tmp_path, name) for name in ("first", "second"))
    assert first[0] == second[0].model_copy(update={"name": "first"})
    assert first[1:] == second[1:]
    assert {params["hidden"] for _, params, *_ in first[1]} <= {"32-16", "16-8"}


def test_the_schema_is_printed(tmp_path):
    assert json.loads(command("schema"))["title"] == "A study of Lanewise"
    assert json.loads(command("show", "--config", "tabular", "--json"))["kind"] == "tabular"


MODEL = """
from torch import nn

def net(params, input_shape, outputs):
    return nn.Sequential(
        nn.Flatten(), nn.LazyLinear(params["width"]), nn.ReLU(), nn.Dropout(params["drop"]), nn.LazyLinear(outputs)
    )
"""

OWN = """
kind: widths
question: How wide should my net be?
model: my_models:net
data: {name: wine}
space:
  width: {type: int, low: 4, high: 32, log: true, baseline: 8}
  drop: {type: float, low: 0.0, high: 0.5, baseline: 0.0}
  learning_rate: {type: float, low: 1e-3, high: 1e-1, log: true, baseline: 1e-2}
settings: {batch_size: 16}
budget: {trials: 3, max_epochs: 3}
scheduler: {name: none}
sampler: random
tracking: {enabled: false}
"""


def process(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.cluster
def test_a_users_model_in_the_current_directory_runs_by_every_executor(tmp_path):
    """Its torch dropout draws from the global generator; the curves are the same whoever trains beside it."""
    (tmp_path / "my_models.py").write_text(MODEL)
    (tmp_path / "study.yaml").write_text(OWN)
    for executor in ("tune", "lanes"):
        code, out, err = process(
            *(tmp_path, "search.run", "--config", "study.yaml", "--home", "h", "--name", executor),
            *("--executor", executor, "--json"),
        )
        assert code == 0, err
        assert json.loads(out)["states"] == {"COMPLETE": 3}
    tune, lanes = (facts_of(tmp_path / "h", name) for name in ("tune", "lanes"))
    assert tune[1] == lanes[1]
    assert tune[2] == lanes[2], "bit for bit"
    code, out, err = process(tmp_path, "search", "show", "lanes", "--home", "h")
    assert code == 0, err
    (tmp_path / "my_models.py").unlink()
    code, out, err = process(tmp_path, "search", "show", "lanes", "--home", "h")
    assert (code, "COMPLETE" in out.upper()) == (0, True), err
    code, _, err = process(tmp_path, "search", "resume", "lanes", "--home", "h")
    assert code == 2
    assert err.startswith("error: model my_models:net: there is no module 'my_models' in ")
    assert len(err.strip().splitlines()) == 1


def test_mistakes_in_a_file_print_a_line_each_and_exit_2(tmp_path):
    (tmp_path / "study.yaml").write_text("kind: regularization\nbudget:\n  trials: 0\nsampler: tpee\n")
    code, out, err = process(tmp_path, "search.run", "--config", "study.yaml", "--seed", -1)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "error: study.yaml:3: budget.trials must be >= 1, got 0",
        "error: study.yaml:4: sampler must be 'tpe', 'random', 'gp', 'cmaes', 'qmc', 'nsga2' or 'optuna_tpe', "
        "got 'tpee'",
        "error: --seed must be >= 0, got -1",
    ]
