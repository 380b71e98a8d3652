"""A user's own table and images, from the command line to a best model."""

import dataclasses
import json
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from search.commands.check import check
from search.commands.main_command import run
from search.commands.verbs import extend, list_, show
from search.declaration.options import Options
from search.declaration.study import Study
from search.drive.continuation import with_data_at
from search.drive.engine import resume
from search.drive.examples import load_data, try_study
from search.drive.preflight import resolve
from search.errors import RunError, UsageError
from search.face.live_view import Silent
from search.ledger import Ledger, sqlite_url
from search.ledger.paths import Paths
from tests.trainables.data.test_table import customers, written
from trainables.data import DataSpec, load_splits
from trainables.data.splits import Arrays
from trainables.notice import TryOut

QUICK = {"trials": 4, "max_epochs": 4, "grace": 2, "tracking": "offline", "executor": "lanes"}


def lanewise(*arguments):
    """Run the main job as a process of its own, on few and short trials."""
    options = {f"--{name.replace('_', '-')}": value for name, value in QUICK.items()}
    words = [word for option in options.items() for word in option]
    command = [sys.executable, "-m", "search.run", "--no-confirm", *map(str, (*arguments[:1], *words, *arguments[1:]))]
    return subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)


def searched(*arguments):
    done = lanewise(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def printed(capsys):
    """Return what a command prints that is called in this process, where everything is imported already."""

    def call(command, *arguments, **options):
        capsys.readouterr()
        assert not command(*arguments, **options)
        return capsys.readouterr().out

    return call


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return written(customers(), tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """JPEGs of two classes that their colour tells apart."""
    folder, rng = tmp_path_factory.mktemp("pets"), np.random.default_rng(0)
    for name, colour in (("cat", (220, 120, 40)), ("dog", (40, 120, 220))):
        (folder / name).mkdir()
        for i in range(40):
            pixels = np.clip(rng.normal(colour, 60, (14, 18, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.jpg")
    return folder


@pytest.mark.parametrize("executor", ["lanes", pytest.param("tune", marks=[pytest.mark.slow, pytest.mark.cluster])])
def test_a_table_goes_from_the_command_line_to_a_best_model(table, tmp_path, executor):
    arguments = ("--data", f"table:{table}", "--target", "plan", "--drop", "spend", "--objective", "val_accuracy")
    found = searched("tabular", *arguments, "--home", tmp_path, "--executor", executor, "--name", "plans")
    assert found["states"].get("FAILED") is None
    assert found["best"]["value"] > 0.5  # three classes, the largest of them 46%
    facts = found["data"]
    assert (facts["name"], facts["train"], facts["task"]) == ("customers", 120, "classification")
    assert facts["labels"] == ["basic", "gold", "silver"]
    with Ledger(sqlite_url(tmp_path / "plans" / "ledger.db")) as ledger:
        row = ledger.study("plans")
    study = Study.model_validate(row.declaration)
    assert (study.data.path, study.data.target, study.data.drop) == (str(table), "plan", ("spend",))
    assert row.fingerprint == load_splits(study.data).fingerprint


@pytest.mark.parametrize("kind", ["tabular", "regression", "regularization"])
def test_a_number_of_a_table_is_predicted(table, tmp_path, printed, kind):
    own = {"data": f"table:{table}", "target": "spend", "drop": ["plan"]}
    found = json.loads(printed(run, kind, **own, **QUICK, home=tmp_path, json_=True))
    assert (found["data"]["task"], found["metric"]) == (
        "regression",
        "val_rmse" if kind == "regression" else "val_loss",
    )
    assert 0 < found["best"]["value"] < 100


def test_images_go_from_the_command_line_to_a_best_model(pets, tmp_path):
    arguments = ("--data", f"images:{pets}", "--image-size", 6, "--objective", "val_accuracy")
    found = searched("regularization", *arguments, "--home", tmp_path)
    assert found["best"]["value"] > 0.8
    assert found["data"]["shape"] == [3, 6, 6]
    assert found["data"]["labels"] == ["cat", "dog"]


def test_the_plan_the_start_and_the_answer_say_what_was_read(table, tmp_path, printed):
    own = {"data": f"table:{table}", "target": "plan", "home": tmp_path, "name": "here"}
    said = [
        "customers: 120 train, 40 validation, 40 test (held out), 3 classes (basic, gold, silver)",
        "task: classification, the target is text",
        "columns: 6 (numbers 3, true/false 1, dates 1, text 1), as 9 inputs",
        "warning: dropped, constant in the training part: 'site'",
        "warning: dropped, no value in the training part: 'remark'",
        "missing values: 'length' 12, 'city' 11",
        "warning: predicts the target by itself: 'spend' (score 1.000); if it is not known before the outcome, --drop "
        "leaves it out",
        "training examples by class, the fewest first: basic 35, silver 37, gold 48",
    ]
    plan = printed(run, "tabular", **own, **QUICK, dry_run=True)
    start, _, answer = printed(run, "tabular", **own, **QUICK).partition("here: 4 trials: ")
    shown = printed(show, "here", home=tmp_path)
    for text in (plan, start, answer, shown):
        lines = [line.removeprefix("data").strip() for line in text.splitlines()]
        assert [line for line in lines if line in said] == said
    assert re.search(r"here +customers +120 ", printed(list_, home=tmp_path))
    plan = json.loads(printed(run, "tabular", **{**own, "name": "other"}, dry_run=True, json_=True))
    notices = plan["data"]["notices"]
    assert ["warning: " * n["warning"] + n["text"] for n in notices] == said[1:]
    assert [(n["kind"], n["count"], n["names"]) for n in notices[2:4]] == [
        ("dropped_columns", 1, ["site"]),
        ("dropped_columns", 1, ["remark"]),
    ]


def test_check_says_what_is_understood_and_leaves_nothing_behind(table, tmp_path, printed):
    own = {"data": f"table:{table}", "target": "plan", "home": tmp_path / "home"}
    text = printed(check, **own)
    assert "customers: 120 train, 40 validation, 40 test (held out)" in text
    assert "\n           warning: dropped, constant in the training part: 'site'\n" in text
    assert text.endswith("checked    3 warnings; nothing was trained\n")
    found = json.loads(printed(check, **own, json_=True))
    splits = load_splits(DataSpec("customers", source="table", path=str(table), target="plan"))
    assert found["fingerprint"] == splits.fingerprint
    assert found["data"] == splits.facts()
    assert not (tmp_path / "home").exists()


def test_check_refuses_what_run_would_refuse(table, tmp_path):
    with pytest.raises(UsageError, match="--target 'plam' is no column of the table. Did you mean 'plan'"):
        check(data=f"table:{table}", target="plam", home=tmp_path)


def test_a_resume_refuses_a_table_that_changed(tmp_path, printed):
    path, home = written(customers(), tmp_path), tmp_path / "home"
    printed(run, "tabular", data=f"table:{path}", target="plan", home=home, name="here", **QUICK)
    written(customers(seed=1), tmp_path)
    with pytest.raises(RunError, match="the data of here are not what they were: fingerprint "):
        extend("here", home=home, trials=1)
    path.unlink()
    with pytest.raises(UsageError, match=f"^--data table:{path}: there is no such file; if it was moved, "):
        extend("here", home=home, trials=1)


def test_a_bad_table_is_a_usage_error_and_nothing_is_started(table, tmp_path):
    home = tmp_path / "home"
    done = lanewise("tabular", "--data", f"table:{table}", "--target", "plam", "--drop", "citi", "--home", home)
    assert done.returncode == 2
    assert [line.partition(".")[0] for line in done.stderr.splitlines()] == [
        "error: --target 'plam' is no column of the table",
        "error: --drop 'citi' is no column of the table",
    ]
    assert "Did you mean 'plan'?" in done.stderr
    assert not home.exists()


def test_what_is_wrong_with_the_path_is_said_with_everything_else(tmp_path):
    with pytest.raises(UsageError) as caught:
        resolve(Options("tabular", home=tmp_path, data="table:nowhere.csv", trials=0, task="clustering"))
    assert [line.partition(" ")[0] for line in caught.value.errors] == ["--data", "--data", "--task", "--trials"]


def declared(tmp_path, **options):
    return resolve(Options(**{"kind": "tabular", "home": tmp_path, **options})).data


def test_paths_are_kept_absolute_and_the_home_folder_is_known(table, tmp_path, monkeypatch):
    monkeypatch.chdir(table.parent)
    spec = declared(tmp_path, data="table:customers.csv", target="plan", task="classification", drop=["spend"])
    assert spec == DataSpec(
        "customers", source="table", path=str(table), target="plan", task="classification", drop=("spend",)
    )
    assert hash(spec) == hash(dataclasses.replace(spec))
    monkeypatch.setenv("HOME", str(table.parent))
    assert declared(tmp_path, data="table:~/customers.csv", target="plan").path == str(table)
    assert declared(tmp_path, data="images:.", image_size=7).name == table.parent.name
    assert declared(tmp_path, data="images:.", background="#102030").background == "#102030"


def test_a_named_set_may_be_given_either_way(tmp_path):
    one, other = declared(tmp_path, data="iris"), declared(tmp_path, dataset="iris")
    assert one == other == declared(tmp_path, data="iris", dataset="iris") == DataSpec("iris")


def test_a_preset_is_for_the_named_set_alone(tmp_path):
    (tmp_path / "mnist").mkdir()
    study = resolve(Options("regularization", home=tmp_path, data=f"images:{tmp_path / 'mnist'}"))
    assert study.data.name == "mnist"
    assert study.settings["hidden"] == resolve(Options("regularization", home=tmp_path)).settings["hidden"]


def test_a_study_of_own_data_reads_back_from_json(table, tmp_path):
    study = resolve(Options("tabular", home=tmp_path, data=f"table:{table}", target="plan", drop=["spend"]))
    assert Study.model_validate(json.loads(json.dumps(study.model_dump(mode="json")))) == study


def test_a_study_of_numbers_says_why_classes_do_not_fit(tmp_path):
    frame = pd.DataFrame({"a": np.arange(60.0), "stars": np.arange(60) % 3})
    path = written(frame, tmp_path)
    options = {"data": f"table:{path}", "target": "stars"}
    study = resolve(Options("regression", home=tmp_path, **options))
    with pytest.raises(UsageError) as caught:
        load_data(study)
    metric, note, *losses = caught.value.errors
    assert metric.startswith("val_rmse is no metric of a classification (customers); its metrics: train_loss, val_loss")
    assert note.startswith("customers: task: classification, the target is a whole number with 3 distinct values (up ")
    assert note.endswith("--task regression takes it as a number)")
    assert all(line.startswith("loss must be one of auto, cross_entropy for classification") for line in losses)
    assert load_data(resolve(Options("regression", home=tmp_path, task="regression", **options))).scale is not None


def test_a_validation_part_of_one_class_has_no_roc_auc(tmp_path):
    frame = pd.DataFrame({"a": np.arange(400) * 7919 % 1009, "y": ["rare"] * 3 + ["common"] * 397})
    options = {"data": f"table:{written(frame, tmp_path)}", "target": "y", "metric": ["val_roc_auc"]}
    with pytest.raises(UsageError) as caught:
        load_data(resolve(Options("tabular", home=tmp_path, **options)))
    assert caught.value.errors[0] == (
        "val_roc_auc needs two classes in the validation part, and customers has 'common' alone"
    )


def test_the_refusal_of_a_metric_names_the_task(tmp_path):
    frame = pd.DataFrame({"a": np.arange(600.0), "letter": np.arange(600) % 26 + 1})
    options = {"data": f"table:{written(frame, tmp_path)}", "target": "letter", "metric": ["val_macro_f1"]}
    with pytest.raises(UsageError) as caught:
        load_data(resolve(Options("regression", home=tmp_path, **options)))
    metric, note = caught.value.errors
    assert metric.endswith("; --task classification takes the target as that, where it can be")
    assert note.endswith("(whole, more than 20; --task classification takes them as classes)")


BATCH_NORM = [
    (["batch_size=1"], 1079),
    (["batch_size.choices=1,64"], 1079),  # neither is wrong alone
    ([], 1),
]


@pytest.mark.parametrize(("changes", "examples"), BATCH_NORM)
def test_a_batch_of_one_example_for_batch_norm_is_refused_before_any_trial(tmp_path, changes, examples):
    study = resolve(Options("regularization", home=tmp_path, set_=changes))
    splits = load_splits(study.data)
    fewer = dataclasses.replace(splits, train=Arrays(splits.train.x[:examples], splits.train.y[:examples]))
    (line,) = try_study(study, fewer).errors
    batch_size = 64 if not changes else 1
    assert line == (
        f"batch_norm=true needs two examples a batch: batch_size is {batch_size}, and there are {examples} training "
        "examples; use --set batch_norm=false, or a larger batch_size"
    )
    assert (
        try_study(resolve(Options("regularization", home=tmp_path, set_=[*changes, "batch_norm=false"])), fewer)
        == TryOut()
    )


def test_a_moved_file_goes_on_and_another_of_its_name_does_not(table, tmp_path, printed):
    own = {"data": f"table:{tmp_path / 'first.csv'}", "target": "plan", "home": tmp_path / "home", "name": "s"}
    (tmp_path / "first.csv").write_bytes(table.read_bytes())
    printed(run, "tabular", **own, **QUICK, json_=True)
    moved = (tmp_path / "first.csv").rename(tmp_path / "second.csv")
    paths = Paths(tmp_path / "home", "s")

    def go_on():
        return resume(paths, view=Silent(), load=load_data, change=partial(with_data_at, data=f"table:{moved}"))

    assert go_on()[0].data.path == str(moved)
    moved.write_text("\n".join(table.read_text().splitlines()[:-9]) + "\n")
    with pytest.raises(RunError, match="the data of s are not what they were"):
        go_on()
