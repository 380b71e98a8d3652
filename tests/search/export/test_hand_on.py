"""A study's run in MLflow has the report as a page and the recommended model, whatever becomes of either."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from search import load_model
from search.commands.run import announcing
from search.declaration.parts import Tracking
from search.drive.lookup import read_result
from search.errors import UserError
from search.export import hand_on as making
from search.face.present import make_console
from search.tracking.handed_on import MODEL, MODEL_ID, log_handed_on
from search.tracking.handover_folder import PAGE
from tests.search.export.test_export import search_table
from tests.support.command import invoke


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A small search whose runs were sent to a database of MLflow."""
    folder = tmp_path_factory.mktemp("handed-on")
    path, found = search_table(folder, "plan", confirm={"pairs": 2, "finalists": 2, "ablate": True})
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    done = invoke("sync", found.study.name, "--home", found.paths.home, "--tracking", uri)
    assert done.exit_code == 0, done.output
    return path, found, uri


def runs_of(uri):
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("tabular").experiment_id], max_results=1000)
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    return client, runs, parent


def test_the_parent_has_the_page_and_the_recommended_model(searched):
    path, found, uri = searched
    client, _, parent = runs_of(uri)
    page = Path(client.download_artifacts(parent.info.run_id, PAGE)).read_text()
    assert found.study.name in page and page.startswith("<!doctype html>")
    recommended = found.answer.confirmation.recommended
    assert parent.data.tags[MODEL].startswith(f"trial {recommended}, recommended by the confirmation; sha256 ")
    (model,) = client.search_logged_models([parent.info.experiment_id])
    assert (model.model_id, model.source_run_id) == (parent.data.tags[MODEL_ID], parent.info.run_id)
    mlflow.set_tracking_uri(uri)
    try:
        loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    finally:
        mlflow.set_tracking_uri(None)
    told = loaded.predict(pd.read_csv(path)[loaded.metadata.get_input_schema().input_names()])
    exported = found.export(path.parent / "beside", trial=recommended)
    expected = load_model(exported).predict_proba(path)
    np.testing.assert_array_equal(told.drop(columns="prediction").to_numpy(), expected)


def test_a_second_sync_logs_the_model_no_second_time(searched):
    _, found, uri = searched
    client, runs, parent = runs_of(uri)
    assert invoke("sync", found.study.name, "--home", found.paths.home, "--tracking", uri).exit_code == 0
    _, after, again = runs_of(uri)
    assert len(after) == len(runs)
    assert again.data.tags[MODEL_ID] == parent.data.tags[MODEL_ID]
    assert len(client.search_logged_models([parent.info.experiment_id])) == 1


def test_another_recommended_model_takes_the_place_of_the_first(searched):
    _, found, uri = searched
    client, _, parent = runs_of(uri)
    before = parent.data.tags[MODEL_ID]
    client.set_tag(parent.info.run_id, MODEL, "another model, of an earlier answer")
    assert invoke("sync", found.study.name, "--home", found.paths.home, "--tracking", uri).exit_code == 0
    (model,) = client.search_logged_models([parent.info.experiment_id])
    assert model.model_id != before


def test_one_that_somebody_registered_stays(searched):
    _, found, uri = searched
    client, _, parent = runs_of(uri)
    before = parent.data.tags[MODEL_ID]
    client.create_registered_model("mine")
    mlflow.set_tracking_uri(uri)  # what the registry looks it up by
    try:
        client.create_model_version("mine", f"models:/{before}", run_id=parent.info.run_id, model_id=before)
    finally:
        mlflow.set_tracking_uri(None)
    client.set_tag(parent.info.run_id, MODEL, "another model, of an earlier answer")
    assert invoke("sync", found.study.name, "--home", found.paths.home, "--tracking", uri).exit_code == 0
    kept = {model.model_id for model in client.search_logged_models([parent.info.experiment_id])}
    assert before in kept and len(kept) == 2


def test_runs_of_a_confirmation_and_an_ablation_are_in_groups_and_named_by_what_they_are(searched):
    _, found, uri = searched
    _, runs, parent = runs_of(uri)
    groups = {run.info.run_name: run for run in runs if "lanewise.group" in run.data.tags}
    assert groups.keys() == {"confirmation", "ablation"}
    below = {name: [] for name in groups}
    for name, group in groups.items():
        assert group.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert group.info.status == "FINISHED"
        below[name] = [r.info.run_name for r in runs if r.data.tags.get("mlflow.parentRunId") == group.info.run_id]
    trials = {"baseline", *(f"trial {standing.trial}" for standing in found.answer.confirmation.finalists)}
    assert set(below["confirmation"]) == {f"{name}, pair {pair}" for name in trials for pair in (0, 1)}
    parameters = {row.parameter for row in found.answer.confirmation.ablation.rows}
    named = {name.partition(",")[0] for name in below["ablation"]}
    assert named and named <= {f"{p} {how}" for p in parameters for how in ("set back", "alone")}
    assert found.answer.confirmation.sentence in groups["confirmation"].data.tags["mlflow.note.content"]


def test_what_cannot_be_made_is_said_and_raises_nothing(searched, monkeypatch):
    _, found, uri = searched
    client, _, parent = runs_of(uri)

    def damaged(*_, **__):
        raise UserError("the model of trial 1 is damaged")

    said = []
    monkeypatch.setattr(making, "export_model", damaged)
    monkeypatch.setattr(making, "read_material", lambda *_, **__: 1 / 0)
    making.hand_on(found.paths, *read_result(found.paths))
    log_handed_on(client, parent.info.run_id, found.paths.handed_on, name=found.study.name, say=said.append)
    assert said == [
        f"the report of {found.study.name} is not in its MLflow run: ZeroDivisionError: division by zero",
        f"the model of {found.study.name} is not in its MLflow run: the model of trial 1 is damaged",
    ]


@pytest.mark.parametrize(("code", "made"), [(0, True), (130, False), (143, False), (129, False)])
def test_nothing_is_made_of_a_search_that_a_signal_ended(searched, code, made):
    _, found, _ = searched
    paths = found.paths
    study = found.study.model_copy(update={"tracking": Tracking()})
    result = replace(read_result(paths)[1], exit_code=code)
    for announce in (
        announcing(paths, make_console(), as_json=True, chart=False),
        partial(making.hand_on_searched, paths),
    ):
        announce(study, result)
        assert paths.handed_on.exists() == made
        shutil.rmtree(paths.handed_on, ignore_errors=True)


def test_a_store_that_refuses_what_is_handed_on_is_said_and_raises_nothing(searched, tmp_path):
    _, found, uri = searched
    client, _, _ = runs_of(uri)
    making.hand_on(found.paths, *read_result(found.paths))
    said = []
    log_handed_on(client, "no-such-run", found.paths.handed_on, name=found.study.name, say=said.append)
    (line,) = said
    assert line.startswith(f"the report or the model of {found.study.name} is not in its MLflow run: ")


def test_nothing_of_it_stays_in_the_study_once_mlflow_has_it(searched):
    _, found, uri = searched
    assert invoke("sync", found.study.name, "--home", found.paths.home, "--tracking", uri).exit_code == 0
    assert not found.paths.handed_on.exists()
