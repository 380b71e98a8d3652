"""Two small trials of every registered study, through every executor that it allows."""

import dataclasses
import json

import pytest

from search.declaration.studies import find, registered
from search.declaration.study import Study
from search.drive.engine import conduct
from search.drive.examples import load_data
from search.drive.result import read_answer
from search.face.live_view import Silent
from search.ledger import FitRole, Ledger, sqlite_url
from tests.search.test_cli import lanewise, search_run
from trainables.data import DATASETS
from trainables.registry import find_trainable

EXAMPLES = 150
"""Training examples of a small search on images; tables are small as they are."""

IN_PROCESS, BY_RAY = "in this process", "by Ray"


def allowed(study):
    """Return the executors that may run ``study``."""
    return ("lanes", "tune") if find_trainable(study.trainable).loops else ("tune",)


def where(study, executor):
    return IN_PROCESS if executor == "lanes" and find_trainable(study.trainable).stacks else BY_RAY


PAIRS = [(kind, executor) for kind, study in registered().items() for executor in allowed(study)]


def small(kind, executor):
    """Return the study as declared, but for its budget and the number of its examples."""
    study = find(kind)
    declared = study.model_dump()
    data = {**declared["data"], "train_examples": EXAMPLES} if DATASETS[study.data.name].images else declared["data"]
    changes = {
        "name": "small",
        "data": data,
        "budget": {"trials": 2, "max_epochs": 2, "time_s": None},
        "scheduler": {**declared["scheduler"], "grace": 1},
        "executor": executor,
        "refits": min(study.refits, 2),
        "tracking": {"uri": None, "enabled": False},
    }
    return Study.model_validate({**declared, **changes})


def check(study, home):
    """Run ``study`` and look at what its ledger and its answer hold."""
    result = conduct(study, home, load_data, view=Silent())
    assert (result.ending, result.exit_code) == ("done", 0)
    with Ledger(sqlite_url(home / "small" / "ledger.db")) as ledger:
        row = ledger.study("small")
        trials, epochs = ledger.trials_frame(row.id), ledger.epochs_frame(row.id)
        again = read_answer(ledger, row, Study.model_validate(row.declaration))
    assert trials["number"].tolist() == [0, 1]
    assert set(trials["state"]) <= {"COMPLETE", "PRUNED"}
    assert trials["params"][0] == study.space.baseline
    assert set(epochs["number"]) == {0, 1}
    assert epochs[study.objective.metric].notna().all()
    assert again == result.answer
    assert again.best is not None
    assert set(study.shown) <= set(again.choices)
    assert (again.comparison is not None) == bool(study.refits)
    json.dumps(again.to_dict(), allow_nan=False)


@pytest.mark.parametrize("kind", [kind for kind, executor in PAIRS if where(find(kind), executor) == IN_PROCESS])
def test_every_study_that_stacks_runs_in_lanes(kind, tmp_path):
    check(small(kind, "lanes"), tmp_path)


@pytest.mark.cluster
@pytest.mark.long
@pytest.mark.parametrize(("kind", "executor"), [pair for pair in PAIRS if where(find(pair[0]), pair[1]) == BY_RAY])
def test_every_study_runs_in_rays_processes(kind, executor, tmp_path):
    check(small(kind, executor), tmp_path)


def test_no_study_and_no_executor_is_left_out():
    assert {kind for kind, _ in PAIRS} == set(registered())
    assert {executor for _, executor in PAIRS} == {"lanes", "tune"}
    assert {where(find(kind), executor) for kind, executor in PAIRS} == {IN_PROCESS, BY_RAY}


@pytest.mark.parametrize("kind", registered())
def test_every_study_needs_no_download(kind):
    study = find(kind)
    assert study.data == dataclasses.replace(study.data, data_dir=None, download=False)
    assert len(load_data(study).train) > 0


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The comparison of estimators by the command line, on Ray Tune, which fits it best."""
    home = tmp_path_factory.mktemp("home")
    done = search_run(
        *("sklearn_comparison", "--home", home, "--name", "small", "--trials", 8, "--max-epochs", 4),
        *("--set", "forest_trees=20", "--set", "boosting_rounds.high=30", "--tracking", "offline"),
    )
    assert done.returncode == 0, done.stderr
    return home, done.stdout


def test_the_comparison_ends_with_a_table_and_a_verdict(compared):
    _, printed = compared
    assert "executor tune: estimator does not stack" in printed
    assert "val_accuracy, 5 splits" in printed
    assert "behind it by more than the splits' spread: " in printed


def test_every_model_had_its_share_and_every_row_the_same_splits(compared):
    home, _ = compared
    with Ledger(sqlite_url(home / "small" / "ledger.db")) as ledger:
        row = ledger.study("small")
        models = [p["model"] for p in ledger.trials_frame(row.id)["params"]]
        fits = ledger.fits(row.id, FitRole.REFIT)
    names = list(find("sklearn_comparison").space["model"].distribution.choices)
    assert models == [*names, names[0]]
    assert {n: [f.split for f in fits if f.params["model"] == n] for n in names} == {n: [0, 1, 2, 3, 4] for n in names}


def test_show_tells_the_comparison_again(compared):
    home, printed = compared
    shown = lanewise("show", "small", "--home", home)
    assert shown.returncode == 0, shown.stderr
    (said,) = [line for line in printed.splitlines() if line.startswith("compared ")]
    assert said in shown.stdout
    found = json.loads(lanewise("show", "small", "--home", home, "--json").stdout)["comparison"]
    assert said.removeprefix("compared").strip() == found["verdict"]
    assert len(found["rows"]) == 7
    assert {row["error"] for row in found["rows"]} == {None}
