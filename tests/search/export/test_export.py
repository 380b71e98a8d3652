"""A model leaves its study as a folder, is read back, and answers as the search saw it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trainables.refit
from search import UsageError, declare, load, load_model, run
from search.errors import RunError
from search.export.export import export_model
from search.export.folder import CONFIG, read_config
from tests.support.command import invoke
from tests.trainables.kept_examples import customers
from trainables.data import load_splits
from trainables.data.parts import part_indices
from trainables.data.preprocessing import PreprocessingWarning

SMALL = {
    "budget": {"trials": 3, "max_epochs": 2},
    "scheduler": {"name": "none"},
    "confirm": {"pairs": 0},
    "tracking": {"enabled": False},
}
OTHERS = {"plan": ("spend", "grade"), "spend": ("plan", "grade")}


def search_table(folder, target, **fields):
    """Search a table with text, dates, flags and gaps; return its file and what was found."""
    path = folder / "customers.csv"
    customers().to_csv(path, index=False)
    data = {"path": str(path), "target": target, "drop": list(OTHERS[target])}
    study = declare("tabular", data=data, name=f"of-{target}", **{**SMALL, **fields})
    return path, run(study, home=folder / "home")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """A classification of a table, searched and exported."""
    folder = tmp_path_factory.mktemp("plan")
    path, found = search_table(folder, "plan")
    return path, found, found.export(folder / "model")


def validation_rows(found):
    """Return which rows of the table the search validated on."""
    y = pd.read_csv(found.study.data.path)[found.study.data.target]
    numeric = found.answer.best.metrics.get("val_mae") is not None
    codes = y.to_numpy() if numeric else np.unique(y, return_inverse=True)[1]
    _, val, _ = part_indices(codes, numeric=numeric, seed=found.study.data.seed)
    return y.to_numpy()[val], val


def test_the_prediction_of_the_original_file_has_the_metric_of_the_ledger(plan, tmp_path):
    path, found, folder = plan
    invoke("predict", folder, path, "--out", tmp_path / "answer.csv")
    answer = pd.read_csv(tmp_path / "answer.csv")
    y, val = validation_rows(found)
    assert len(answer) == len(customers())
    assert (answer["prediction"].to_numpy()[val] == y).mean() == found.answer.best.metrics["val_accuracy"]
    truth = np.where(y == "gold", answer["probability_gold"][val], answer["probability_basic"][val])
    # the search: float32, in lanes
    assert -np.log(truth).mean() == pytest.approx(found.answer.best.value, rel=1e-5)


def test_a_number_is_predicted_in_its_own_units(tmp_path):
    path, found = search_table(tmp_path, "spend")
    folder = found.export(tmp_path / "model")
    answer = pd.read_csv(pd.io.common.StringIO(invoke("predict", folder, path).stdout))
    y, val = validation_rows(found)
    assert list(answer.columns) == ["prediction"]
    error = np.abs(answer["prediction"].to_numpy()[val] - y).mean()
    assert error == pytest.approx(found.answer.best.metrics["val_mae"], rel=1e-5)


def test_the_folder_alone_is_enough(plan, tmp_path):
    path, found, folder = plan
    moved = folder.rename(tmp_path / "moved")
    try:
        model = load_model(moved)
    finally:
        moved.rename(folder)
    kept = load_model(found.study.name, home=found.paths.home)
    rows = customers()
    assert (model.predict_proba(rows) == kept.predict_proba(rows)).all()
    assert (model.classes_ == kept.classes_).all()
    assert model.facts["trial"] == found.answer.best.trial


def test_the_config_says_what_a_reader_needs(plan):
    _, found, folder = plan
    config = read_config(folder)
    best = found.answer.best
    assert (config["trial"], config["value"], config["epoch"]) == (best.trial, best.value, best.epoch)
    assert config["params"] == best.params
    assert config["settings"] == dict(found.study.settings)
    assert config["confirmation"] is None
    assert config["refit"] is None
    assert config["versions"]["torch"]
    assert json.loads((folder / "classes.json").read_text()) == ["basic", "gold"]
    assert set(config["files"]) == {p.name for p in folder.iterdir()} - {CONFIG}


def test_other_column_order_an_unknown_category_and_an_extra_column_are_taken_and_said(plan, tmp_path):
    _, _, folder = plan
    rows = customers().drop(columns=["plan"])
    model = load_model(folder)
    expected = model.predict_proba(rows)
    changed = rows[rows.columns[::-1]].assign(extra=1)
    with pytest.warns(PreprocessingWarning, match="'extra'"):
        assert (model.predict_proba(changed) == expected).all()
    rows.assign(extra=1, city="Atlantis").to_csv(tmp_path / "new.csv", index=False)
    done = invoke("predict", folder, tmp_path / "new.csv")
    assert "note: 120 value(s) of column 'city' that training did not have: 'Atlantis'" in done.stderr
    assert "note: not used, as training did not have it: 1 column(s), 'extra'" in done.stderr
    assert len(done.stdout.splitlines()) == 121


@pytest.mark.parametrize("ending", ["tsv", "parquet"])
def test_a_file_of_another_form_is_answered_alike(plan, tmp_path, ending):
    path, _, folder = plan
    rows, other = customers(), tmp_path / f"rows.{ending}"
    rows.to_parquet(other) if ending == "parquet" else rows.to_csv(other, sep="\t", index=False)
    assert invoke("predict", folder, other).stdout == invoke("predict", folder, path).stdout


def test_all_missing_columns_are_named_a_line_each(plan, tmp_path):
    from typer.testing import CliRunner

    from search.commands.verbs import app

    _, _, folder = plan
    customers()[["length", "site", "member"]].to_csv(tmp_path / "few.csv", index=False)
    done = CliRunner().invoke(app, ["predict", str(folder), str(tmp_path / "few.csv")])
    assert isinstance(done.exception, UsageError)
    assert [line.split(".")[0] for line in done.exception.errors] == [
        f"column {name!r} is missing" for name in ("age", "since", "city")
    ]
    assert done.exception.exit_code == 2


def test_a_folder_that_exists_is_refused_and_left_as_it_is(plan, tmp_path):
    _, found, _ = plan
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="exists; name another folder"):
        found.export(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


def test_a_model_that_is_not_kept_is_a_line_that_says_what_trains_it(tmp_path):
    _, found = search_table(tmp_path, "plan", keep_checkpoints=1)
    other = next(n for n in (1, 2) if n != found.answer.best.trial)
    with pytest.raises(UsageError) as caught:
        found.export(tmp_path / "model", trial=other)
    (line,) = caught.value.errors
    assert f"the model of trial {other}, asked for by --trial {other}, is not kept, as --keep-checkpoints was 1" in line
    assert f"export of-plan --home {tmp_path / 'home'} --trial {other} --refit" in line
    with pytest.raises(UsageError, match="of-plan has no trial 9; its trials are 0 to 2"):
        found.export(tmp_path / "model", trial=9)
    assert not (tmp_path / "model").exists()


def test_a_refit_trains_on_train_and_validation_and_says_so(plan, tmp_path):
    path, found, _ = plan
    first, second = (found.export(tmp_path / name, refit=True) for name in ("first", "second"))
    config = read_config(first)
    splits = load_splits(found.study.data)
    assert config["refit"]["examples"] == len(splits.train) + len(splits.val)
    assert config["refit"]["epochs"] == config["epoch"] == found.answer.best.epoch
    assert config["value"] is None
    a, b = (load_model(folder).predict_proba(path) for folder in (first, second))
    assert (a == b).all()
    assert (a != load_model(found.study.name, home=found.paths.home).predict_proba(path)).any()


def search_weighted(tmp_path, **fields):
    path = tmp_path / "customers.csv"
    customers().assign(often=[1 + i % 3 for i in range(len(customers()))]).to_csv(path, index=False)
    data = {"path": str(path), "target": "plan", "drop": list(OTHERS["plan"]), **fields}
    return run(declare("tabular", data=data, name="weighted", **SMALL), home=tmp_path / "home")


def test_a_refit_that_would_forget_the_weights_is_refused_before_anything_is_read(tmp_path):
    found = search_weighted(tmp_path, weight="often", class_weight="balanced")
    (tmp_path / "customers.csv").unlink()
    said = []
    with pytest.raises(UsageError, match="--refit knows no weights of the validation examples"):
        export_model(found.paths, tmp_path / "model", refit=True, say=said.append)
    assert not said
    assert not (tmp_path / "model").exists()
    shutil.rmtree(found.paths.checkpoints)
    with pytest.raises(UsageError, match="is not kept, as --keep-checkpoints was [^;]*$"):  # no advice to refit
        found.export(tmp_path / "model")


def test_a_refit_lets_classes_count_alike_over_train_and_validation(tmp_path, monkeypatch):
    found = search_weighted(tmp_path, class_weight="balanced")
    trained = []
    own = trainables.refit.refit
    monkeypatch.setattr(
        trainables.refit, "refit", lambda t, c, data, **how: trained.append(data) or own(t, c, data, **how)
    )
    config = read_config(found.export(tmp_path / "model", refit=True))
    splits, (data,) = load_splits(found.study.data), trained
    y, weights = data.y_train.numpy(), data.weights.numpy()
    assert config["refit"]["examples"] == len(y) == len(splits.train) + len(splits.val)
    sums = np.bincount(y, weights=weights)
    assert sums == pytest.approx([len(y) / len(sums)] * len(sums), rel=1e-4)


def test_a_refit_of_other_data_than_the_search_had_is_refused(tmp_path):
    path, found = search_table(tmp_path, "plan")
    customers(rows=110).to_csv(path, index=False)
    with pytest.raises((UsageError, RunError), match="fingerprint|data"):
        found.export(tmp_path / "model", refit=True)
    assert not (tmp_path / "model").exists()


def damaged(folder, tmp_path, name, change):
    """Return the line that a copy of an export gives whose file was changed."""
    import shutil

    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    change(copy / name)
    with pytest.raises(UsageError) as caught:
        load_model(copy)
    (line,) = caught.value.errors
    return line


@pytest.mark.parametrize("name", ["model.safetensors", "preprocessing.json", "classes.json"])
def test_a_damaged_file_is_named(plan, tmp_path, name):
    line = damaged(plan[2], tmp_path, name, lambda file: file.write_bytes(file.read_bytes()[:-3] + b"xyz"))
    assert f"is damaged: the sha256 of {name} is not the one in config.json" in line


def test_an_export_that_is_not_whole_or_of_the_future_is_a_line(plan, tmp_path):
    assert "is not whole: model.safetensors: No such file" in damaged(
        plan[2], tmp_path / "a", "model.safetensors", lambda file: file.unlink()
    )
    assert "config.json is no JSON" in damaged(plan[2], tmp_path / "b", CONFIG, lambda file: file.write_text("{"))
    line = damaged(plan[2], tmp_path / "c", CONFIG, lambda file: file.write_text('{"format": 2}'))
    assert "has format 2, this version of Lanewise reads 1" in line


def test_the_command_says_what_was_exported_and_how_to_use_it(plan, tmp_path):
    _, found, _ = plan
    done = invoke("export", found.study.name, "--home", found.paths.home, "--to", tmp_path / "m")
    lines = done.stdout.splitlines()
    assert lines[0] == f"exported   trial {found.answer.best.trial}, the best of the search, which is not confirmed"
    assert lines[-1] == f"use it     python -m search predict {tmp_path / 'm'} FILE"
    asked = invoke("export", found.study.name, "--home", found.paths.home, "--to", tmp_path / "n", "--json")
    assert json.loads(asked.stdout)["trial"] == found.answer.best.trial


def test_the_recommended_trial_is_exported_where_the_study_is_confirmed(tmp_path):
    _, found = search_table(tmp_path, "plan", confirm={"pairs": 2, "finalists": 1, "ablate": False})
    config = read_config(load(found.study.name, home=tmp_path / "home").export(tmp_path / "model", refit=True))
    assert config["trial"] == found.answer.confirmation.recommended
    assert config["confirmation"]["verdict"] == found.answer.confirmation.verdict
    assert config["refit"]["epochs"] == max(1, round(found.answer.confirmation.standing.epochs))
