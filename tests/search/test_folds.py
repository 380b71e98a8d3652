"""A search whose trials are cross-validated: told, recorded, exported, killed and gone on with."""

import json
import sqlite3

import numpy as np
import pytest
from sklearn.datasets import load_wine

from search import declare, run
from search.commands.export import export
from search.commands.main_command import run as run_command
from search.commands.verbs import show
from search.declaration.options import Options
from search.drive.examples import load_data
from search.drive.preflight import resolve
from search.errors import UsageError
from search.export.load import load_model
from search.ledger.paths import Paths
from tests.search.test_resume import TABLES, again, read, start, succeed, wait_for_epochs
from tests.support.marks import some_slow
from trainables import checkpoint
from trainables.data import load_splits
from trainables.data.preprocessing import PreprocessingWarning

QUICK = {"trials": 4, "max_epochs": 3, "grace": 1, "tracking": "offline", "executor": "lanes", "dataset": "wine"}
FOLDED = ("--dataset", "wine", "--folds", "3")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home with a study that was searched with three folds and confirmed on two pairs."""
    home = tmp_path_factory.mktemp("home")
    study = declare(
        "regularization",
        name="folded",
        data={"name": "wine", "folds": 3},
        budget={"trials": 4, "max_epochs": 3},
        confirm={"pairs": 2, "finalists": 1, "ablate": False},
        tracking={"enabled": False},
    )
    run(study, home=home)
    return home


def test_a_search_says_of_what_its_values_are_means(home, capsys):
    show("folded", home=home)
    said = capsys.readouterr().out
    assert "; each the mean of 3 folds, one seed" in said
    assert "re-splits flatter: 3 folds let every example but those of the test part choose" in said
    assert "folds: 3 by StratifiedKFold, of train and validation together (94 to 95 train, 47 to 48 validate)" in said
    assert "as fold 1 of 3 trained it" in said
    show("folded", home=home, json_=True)
    found = json.loads(capsys.readouterr().out)
    assert found["folds"] == 3
    assert found["best"]["metrics"].keys() >= {"val_loss", "val_loss_sd", "val_accuracy_sd"}


def test_the_plan_says_it_too(tmp_path, capsys):
    run_command(kind="regularization", home=tmp_path, folds=3, dry_run=True, **QUICK)
    assert "objective  val_loss, min; each the mean of 3 folds" in capsys.readouterr().out


def test_the_model_that_is_kept_is_that_of_the_first_fold(home):
    paths = Paths(home, "folded")
    kept = sorted(paths.checkpoints.glob("trial_*/best.pt"))
    assert kept
    state = checkpoint.load(kept[0])
    first, *_ = load_splits(declare("regularization", data={"name": "wine", "folds": 3}).data).folds
    assert state["folds"] == 3
    model = load_model(kept[0])
    raw = load_wine().data.astype(np.float32)
    # the two standardise by the same figures, which are those of the first fold alone
    assert np.array_equal(model.preprocess(raw).numpy(), first.preprocessing.apply(raw))
    accuracy = (model.predict(first.val.x, preprocessed=True) == first.val.y).mean()
    assert 0 <= accuracy <= 1


@pytest.mark.parametrize("executor", some_slow(["lanes", "tune"], "tune"))
def test_in_time_the_first_fold_may_have_fewer_inputs_than_the_study(tmp_path, executor):
    # ward C comes with the later half alone, so that no fold but the later ones has an input for it
    rows = [f"{i},{(i * 7) % 11},{'ABC'[i % 3 if i > 100 else i % 2]},{'yn'[i * 5 % 7 > 3]}" for i in range(200)]
    table = tmp_path / "wards.csv"
    table.write_text("\n".join(["day,a,ward,y", *rows]))
    data = {"path": str(table), "target": "y", "time": "day", "folds": 4}
    study = declare(
        "tabular",
        name="wards",
        data=data,
        budget={"trials": 2, "max_epochs": 2},
        executor=executor,
        confirm={"pairs": 0},
        tracking={"enabled": False},
    )
    found = run(study, home=tmp_path / "home")
    splits = load_splits(study.data)
    assert splits.of_the_kept.shape != splits.shape
    assert "the model that is kept is that of the first, of the earliest " in splits.notices[-1].text
    model = load_model(found.export(tmp_path / "model", trial=0))
    assert model.shape == splits.folds[0].shape
    with pytest.warns(PreprocessingWarning, match="33 value.s. of column 'ward' that training did not have: 'C'"):
        assert len(model.predict(table)) == 200
    for kept in found.paths.checkpoints.glob("trial_*/best.pt"):
        assert tuple(checkpoint.load(kept)["shape"]) == splits.folds[0].shape


@pytest.mark.parametrize(
    ("refit", "text"),
    [(False, "the mean of 3 folds; the model is that of the first fold alone"), (True, "on 142 examples")],
)
def test_an_export_says_which_model_it_is(home, tmp_path, capsys, refit, text):
    export("folded", home=home, to=tmp_path / "model", refit=refit)
    assert text in capsys.readouterr().out
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["folds"] == 3


def test_what_has_no_folds_says_so(tmp_path):
    (tmp_path / "mine.py").write_text("def train(trial):\n    pass\n")
    options = Options(kind="regularization", home=tmp_path, train="mine:train", folds=3)
    with pytest.raises(UsageError, match="--folds 3: a training function is called once a trial, and cuts its folds"):
        resolve(options)


def metrics(home, name):
    with sqlite3.connect(home / name / "ledger.db") as connection:
        rows = connection.execute("select number, epoch, metrics from epochs").fetchall()
    connection.close()
    return {(number, epoch): json.loads(text) for number, epoch, text in rows}


KILLED = {
    "lanes": ("--executor", "lanes", "--trials", "12", "--lanes", "4"),
    "tune": ("--executor", "tune", "--workers", "1", "--trials", "4"),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("executor", some_slow(list(KILLED), "tune"))
def test_a_killed_search_goes_on_to_the_same_trials(tmp_path, executor):
    options = (*KILLED[executor], *FOLDED)
    succeed(start(tmp_path, "whole", *options))
    killed = start(tmp_path, "killed", *options)
    wait_for_epochs(killed, tmp_path, "killed", 25)
    killed.kill()
    killed.communicate()
    succeed(again(tmp_path, "killed"))
    assert read(tmp_path, "killed", TABLES[1]) == read(tmp_path, "whole", TABLES[1])
    assert read(tmp_path, "killed", TABLES[0]) == read(tmp_path, "whole", TABLES[0])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_same_trial_has_the_same_values_in_both_executors(tmp_path):
    # gentle rates, so that what float32 rounds otherwise stays small over the epochs
    alike = ("--sampler", "random", "--scheduler", "none", "--trials", "3", "--set", "learning_rate.high=0.005")
    for executor in ("lanes", "tune"):
        succeed(start(tmp_path, executor, "--executor", executor, *alike, *FOLDED, "--workers", "1"))
    lanes, tune = (metrics(tmp_path, executor) for executor in ("lanes", "tune"))
    assert lanes.keys() == tune.keys()
    for trained in lanes:
        assert lanes[trained] == pytest.approx(tune[trained], rel=1e-3, abs=1e-5)


def test_a_metric_that_a_fold_does_not_determine_is_refused(tmp_path):
    # in time the first half has one class alone, so that the first fold that validates has it too
    rows = [f"{i},{(i * 7) % 11},{int(i > 80 and i % 3 == 0)}" for i in range(150)]
    (tmp_path / "late.csv").write_text("\n".join(["day,a,y", *rows]))
    options = {"data": f"table:{tmp_path / 'late.csv'}", "target": "y", "task": "classification", "time": "day"}
    study = resolve(Options(kind="regularization", home=tmp_path, metric=["val_roc_auc"], folds=3, **options))
    with pytest.raises(UsageError, match="val_roc_auc needs two classes in the validation part"):
        load_data(study)
