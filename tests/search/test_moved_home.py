"""A home that was moved with ``mv``, and a study that was renamed: whatever can be done with them is done as before."""

import shutil
from contextlib import chdir

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from search import RunError, declare, load, run
from search.ledger import Ledger
from search.ledger.paths import CHECKPOINTS, DATA, Paths, found_in
from search.tracking.mlflow_client import MlflowException
from tests.support.command import invoke
from tests.support.postgres import binaries, server


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home with a study of data that a program held, and its runs in the home's MLflow."""
    home = tmp_path_factory.mktemp("made") / "home"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    short = {"budget": {"trials": 2, "max_epochs": 2}, "confirm": {"pairs": 0}}
    run(declare("regularization", name="mine", data=(x[:80], y[:80], x[80:], y[80:]), **short), home=home)
    invoke("export", "mine", "--home", home, "--to", home.parent / "model", "--register", "mine")
    return home


@pytest.fixture
def moved(made, tmp_path):
    """The same home at another place; at the first there is nothing any more."""
    home = tmp_path / "elsewhere" / "home"
    shutil.copytree(made, home)
    aside = made.rename(made.with_name("aside"))
    yield home
    aside.rename(made)


def runs_of(home):
    client = MlflowClient(Paths(home, "mine").mlflow_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'regularization'")
    return client, {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}


@pytest.mark.slow
def test_a_home_that_was_moved_is_shown_extended_reported_exported_and_sent_from_there(moved, tmp_path):
    before = load("mine", home=moved)
    assert before.study.data.path == str(moved / "mine" / "data" / "data.npz")
    invoke("extend", "mine", "--home", moved, "--trials", "1")
    invoke("resume", "mine", "--home", moved)
    after = load("mine", home=moved)
    assert len(after.trials) == 3
    assert after.epochs["val_loss"][: len(before.epochs)].tolist() == before.epochs["val_loss"].tolist()
    invoke("report", "mine", "--home", moved)
    invoke("export", "mine", "--home", moved, "--refit", "--to", tmp_path / "refitted")
    invoke("sync", "mine", "--home", moved)
    client, runs = runs_of(moved)
    assert sum("lanewise.trial" in run.data.tags for run in runs.values()) == 3
    (parent,) = [run for run in runs.values() if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.artifact_uri.startswith((moved / "mlflow-artifacts").as_uri())
    assert "report.html" in {file.path for file in client.list_artifacts(parent.info.run_id)}
    (version,) = client.search_model_versions("name = 'mine'")
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    assert model.artifact_location.startswith(moved.as_uri())


def test_a_renamed_study_goes_on_in_the_same_runs_which_take_its_name(moved):
    _, before = runs_of(moved)
    invoke("move", "mine", "yours", "--home", moved)
    invoke("sync", "yours", "--home", moved)
    _, after = runs_of(moved)
    assert after.keys() == before.keys()
    assert {run.data.tags["lanewise.study"] for run in after.values()} == {"yours"}
    names = {run_id: run.info.run_name for run_id, run in before.items()}
    assert {run.info.run_name for run in after.values()} == {*names.values()} - {"mine"} | {"yours"}
    invoke("extend", "yours", "--home", moved, "--trials", "1")
    _, grown = runs_of(moved)
    assert len(grown) == len(before) + 1
    assert load("yours", home=moved).study.data.path == str(moved / "yours" / "data" / "data.npz")


def test_runs_that_are_deleted_with_their_study_are_in_the_bin_and_a_registered_model_stays(moved):
    invoke("sync", "mine", "--home", moved)  # which finds the artifacts where the home is now
    client, runs = runs_of(moved)
    said = invoke("delete", "mine", "--home", moved, "--yes", "--with-mlflow").stdout
    assert f"mlflow     {len(runs)} runs of mine in the bin of" in said
    assert "           registered models stay: mine 1\n" in said
    assert runs_of(moved)[1] == {}
    assert {client.get_run(run_id).info.lifecycle_stage for run_id in runs} == {"deleted"}
    (version,) = client.search_model_versions("name = 'mine'")
    left = {path.name for path in (moved / "mlflow-artifacts").rglob("*") if path.is_file()}
    assert "model.safetensors" in left, "of the registered model"
    assert [path.name for path in (moved / "mlflow-artifacts" / "models").iterdir()] == [
        version.source.removeprefix("models:/")
    ]
    assert "report.html" not in left
    client.restore_run(next(iter(runs)))


def test_a_deletion_that_mlflow_refuses_deletes_nothing(moved, monkeypatch):
    client, runs = runs_of(moved)
    refused = [*runs][-1]
    delete_run = MlflowClient.delete_run

    def refusing(self, run_id):
        if run_id == refused:
            raise MlflowException("no")
        delete_run(self, run_id)

    monkeypatch.setattr(MlflowClient, "delete_run", refusing)
    with pytest.raises(RunError, match="the runs of mine in MLflow cannot be deleted: no"):
        invoke("delete", "mine", "--home", moved, "--yes", "--with-mlflow")
    assert {client.get_run(run_id).info.lifecycle_stage for run_id in runs} == {"active"}
    assert load("mine", home=moved).ending == "done"


def test_a_store_without_runs_of_the_study_is_not_made(moved):
    for file in moved.glob("mlflow*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    said = invoke("delete", "mine", "--home", moved, "--yes", "--with-mlflow").stdout
    assert "has no runs of mine" in said
    assert list(moved.iterdir()) == []


def test_a_file_of_a_study_is_found_by_the_part_of_its_folder_that_it_lay_in(tmp_path):
    kept = tmp_path / "new" / "data" / "data.npz"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert found_in(tmp_path / "new", DATA, "/gone/data/old/data/data.npz") == kept
    assert found_in(tmp_path / "new", DATA, "/gone/data/table.csv") is None, "a file of the user's"
    assert found_in(tmp_path / "new", CHECKPOINTS, "/gone/old/data/data.npz") is None


@pytest.mark.skipif(binaries() is None, reason="no PostgreSQL on this machine")
def test_a_study_in_a_database_is_renamed_moved_and_deleted_there(tmp_path):
    short = {"budget": {"trials": 2, "max_epochs": 2}, "confirm": {"pairs": 0}, "tracking": {"enabled": False}}
    with server() as url, chdir(tmp_path):
        for name in ("one", "two"):
            run(declare("regularization", name=name, data="wine", ledger=url, **short), home="home")
        place = ("--home", "home", "--ledger", url)
        invoke("move", "one", "uno", *place)
        invoke("move", "uno", "--to", "other", *place)
        shown = invoke("show", "uno", "--home", "other", "--ledger", url).stdout
        assert "uno: 2 trials" in shown
        said = invoke("delete", "uno", "--home", "other", "--ledger", url, "--yes").stdout
        assert "deleted    uno: 2 trials in postgresql" in said
        assert not (tmp_path / "other" / "uno").exists()
        with Ledger(url) as ledger:
            assert [row.name for row in ledger.studies()] == ["two"]
            assert len(ledger.trials(ledger.study("two").id)) == 2
            with ledger.reading() as connection:
                studies = connection.exec_driver_sql("SELECT DISTINCT study_id FROM epochs").fetchall()
            assert len(studies) == 1
