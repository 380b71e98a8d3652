"""What the README and the pages of docs/ show is run as it stands there."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import torch
from torch import nn
from typer.main import get_command

from search.commands.verbs import app
from search.declaration import read_study, study_schema
from spaces.located_yaml import load_yaml
from tests.support.command import invoke
from tests.support.pages import ROOT, SHOWN, prose, sample, samples
from trainables.data import DataSpec, load_splits
from trainables.notice import TryOut
from trainables.registry import find_trainable
from trainables.train_function.config import FunctionData

RUN = (
    "from search import declare, run\n\n",
    "from search import declare, run\nfrom spaces",
    "import numpy as np",
    "from search import UsageError",
    "from sklearn.datasets import load_digits",
    "# my_models.py",
    "# customers.py",
    "# train_mine.py",
    "# train_beside.py",
    "# tune_wine.py",
    "# tune_slope.py",
    "# my_data.py",
    "# my_data_of_march.py",
    "# same_folds.py",
)
"""The beginning of each Python sample; each has a test below."""

CHANGES = ("# filters.yaml", "# space.yaml")
"""The beginnings of the YAML samples that are no study but changes to a space, or a space."""


def python(folder, *arguments):
    """Run Python in ``folder`` on Lanewise as it lies here; return its standard output."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_sample(folder, text):
    """Run a Python sample as a script in ``folder``; return what it printed."""
    (folder / "sample.py").write_text(text)
    return python(folder, "sample.py")


def test_each_python_sample_has_a_test():
    shown = [s.text for s in samples("python")]
    assert all(text.startswith(RUN) for text in shown)
    assert len(shown) == len(RUN)


def test_the_python_example_of_the_readme_runs(tmp_path):
    out = run_sample(tmp_path, sample("python", "from search import declare, run\n\n"))
    (ledger,) = (tmp_path / "lanewise-home").glob("*/ledger.db")
    assert out.count("8 trials on ") == 1
    assert re.search(r"^ +rank +number +value +epoch$", out, flags=re.MULTILINE)
    assert out.splitlines()[-1] == str(ledger)


def test_the_python_example_runs(tmp_path):
    out = run_sample(tmp_path, sample("python", "from search import declare, run\nfrom spaces"))
    assert out.count("8 trials on ") == 2
    assert len(list((tmp_path / "lanewise-home").glob("*/ledger.db"))) == 2
    assert re.search(r"^ +rank +number +value +epoch$", out, flags=re.MULTILINE)


def test_the_data_that_a_program_holds_are_kept(tmp_path):
    out = run_sample(tmp_path, sample("python", "import numpy as np"))
    assert Path(out.strip()).is_relative_to(tmp_path / "lanewise-home")


def test_the_mistakes_shown_from_python_are_those_raised(tmp_path):
    out = run_sample(tmp_path, sample("python", "from search import UsageError"))
    assert out == sample("text", "unknown parameter", "docs/python.md")


def test_the_study_in_a_file_runs(tmp_path):
    (tmp_path / "study.yaml").write_text(sample("yaml", "# study.yaml"))
    answer = json.loads(python(tmp_path, "-m", "search.run", "--config", "study.yaml", "--json"))
    assert (answer["trials"], answer["metric"], answer["mode"]) == (16, "val_macro_f1", "max")


def test_the_mistakes_shown_are_what_it_says(tmp_path):
    text = sample("yaml", "# study.yaml").replace("{high: 0.3}", "{high: -0.3}").replace("{trials: 16", "{trails: 16")
    file = tmp_path / "study.yaml"
    file.write_text(text)
    shown = sample("text", "error: study.yaml:").splitlines()
    assert [f"error: {line}".replace(str(file), "study.yaml") for line in read_study(file)[1]] == shown


def test_the_mistakes_shown_of_a_command_are_what_it_says(tmp_path):
    first, *shown = sample("console", "$ python -m search.run regularization --trials 0").splitlines()
    done = subprocess.run(
        [sys.executable, *shlex.split(first)[2:]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr.splitlines()) == (2, shown)


def test_the_training_function_shown_is_searched(tmp_path):
    (tmp_path / "train_mine.py").write_text(sample("python", "# train_mine.py"))
    (tmp_path / "space.yaml").write_text(sample("yaml", "# space.yaml"))
    command = sample("sh", "python -m search.run --train ").split()
    answer = json.loads(python(tmp_path, *command[1:], "--trials", "4", "--max-epochs", "3", "--no-confirm", "--json"))
    assert (answer["trials"], answer["metric"], answer["data"]["task"]) == (4, "val_loss", "none")
    assert {"val_loss", "val_accuracy"} == answer["best"]["metrics"].keys()


def test_the_function_that_trains_side_by_side_draws_from_its_own_generators_alone(tmp_path, monkeypatch):
    (tmp_path / "train_beside.py").write_text(sample("python", "# train_beside.py"))
    monkeypatch.syspath_prepend(str(tmp_path))
    trainable = find_trainable("train:train_beside:train")
    config = trainable.configure({"learning_rate": 0.01}, max_epochs=3)
    assert trainable.is_thread_safe(config)
    run = trainable.start(config, FunctionData(None, ("val_loss",)), seed=1, device=torch.device("cpu"))
    losses = [run.step().metrics["val_loss"] for _ in range(3)]
    run.close()
    assert losses == sorted(losses, reverse=True)
    assert run.take_notices() == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tune_wine", "tune_slope"])
def test_a_function_of_another_package_is_searched_as_it_is(tmp_path, name):
    out = run_sample(
        tmp_path,
        sample("python", f"# {name}.py").replace(
            "budget=", "executor='lanes', confirm={'pairs': 0}, tracking={'enabled': False}, budget="
        ),
    )
    assert "12 trials on __main__:" in out
    assert re.search(r"\{'(learning_rate|lr)': [\d.e-]+", out.splitlines()[-1])


def test_the_values_compared_are_those_of_the_file_shown(tmp_path):
    file = tmp_path / "patience.yaml"
    file.write_text(sample("yaml", "# patience.yaml"))
    declared, errors = read_study(file)
    assert (errors, declared.study.curve) == ([], "patience")
    patience = declared.study.space["patience"].distribution
    shown = re.findall(r"^  (\d) +\d+ +\d+ ", sample("text", " " * 39 + "best"), flags=re.MULTILINE)
    assert [int(value) for value in shown] == list(range(patience.low, patience.high + 1))


def test_a_declaration_is_printed_as_shown():
    printed = invoke("show", "regularization", "--config").stdout
    assert printed.startswith(sample("yaml", "# A study of Lanewise"))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The example of a user's own model, in the current directory."""
    (tmp_path / "my_models.py").write_text(sample("python", "# my_models.py"))
    (tmp_path / "cnn.yaml").write_text(sample("yaml", "# cnn.yaml"))
    (tmp_path / "filters.yaml").write_text(sample("yaml", CHANGES[0]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    return tmp_path


def test_the_users_model_is_declared_and_fits(own):
    declared, errors = read_study(own / "cnn.yaml")
    assert errors == []
    study = declared.study
    trainable = find_trainable(study.trainable)
    points = (study.space.baseline, *study.space.corners())
    configs = [trainable.configure(study.params_of(point), max_epochs=2) for point in points]
    assert trainable.try_out(configs, load_splits(study.data)) == TryOut()


def test_the_users_model_takes_the_place_of_a_studys(own):
    command = ("regularization", "--model", "my_models:small_cnn", "--space", "filters.yaml")
    assert f"python -m search.run {' '.join(command)} " in sample("sh", "python -m search.run --config cnn.yaml")
    plan = invoke("run", *command, "--dry-run").stdout
    assert "\ntrainable  model:my_models:small_cnn" in plan
    assert re.search(r"^ +filters +4 \.\. 32 \(log\) +8 *$", plan, flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.cluster
def test_the_users_model_runs(own):
    answer = json.loads(python(own, "-m", "search.run", "--config", "cnn.yaml", "--tracking", "offline", "--json"))
    assert answer["trials"] == 16
    assert answer["best"]["value"] < answer["baseline"]["value"]


def test_the_users_table_is_read_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_sample(tmp_path, sample("python", "# customers.py"))
    rows = (tmp_path / "customers.csv").read_text().splitlines()
    assert set(sample("text", "length,age,member").splitlines()) <= set(rows)
    for shown in sample("text", "$ python -m search.run tabular", "docs/data.md").split("\n\n"):
        command, said = shown.split("\n", 1)
        plan = invoke("run", *shlex.split(command)[4:], "--dry-run").stdout
        read = [line.removeprefix("data ").strip() for line in said.partition("\n...")[0].splitlines()]
        assert len(read) > 1
        assert [line for line in read if line not in plan] == []


def test_what_a_function_returns_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_data.py").write_text(sample("python", "# my_data.py"))
    assert (
        "my_data.load: 300 train, 100 validation, 100 test" in invoke("check", "--data", "python:my_data:load").stdout
    )


def test_a_function_says_what_its_data_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("my_data", "my_data_of_march"):
        (tmp_path / f"{name}.py").write_text(sample("python", f"# {name}.py"))
    said = invoke("check", "--data", "python:my_data_of_march:load", "--memory-mb", "0").stdout
    assert "fingerprint: the function's own, 'rows of March'" in said


def test_the_readme_shows_a_part_of_the_whole_answer():
    whole = iter(sample("text", "searching", "docs/results.md").splitlines())
    assert all(line in whole for line in sample("text", "searching", "README.md").splitlines() if line != "  ...")


def form(answer):
    """Return the words of the lines that every such answer has, without their figures and paths.

    How far it is, it says on a slow machine alone.
    """
    lines = [line for line in answer.splitlines() if re.match(r"[a-z]", line) or "   best val_loss   " in line]
    lines = [line for line in lines if not re.match(r"(confirmation|ablation): \d+%", line)]
    names = r"(?<=regularization)-\d[\w-]*"
    return [re.sub(rf"\S*/\S*|{names}|[\d.+-]*\d", "#", line).split() for line in lines]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """The home of the search that the pages show, and what it printed."""
    folder = tmp_path_factory.mktemp("you")
    return folder / "lanewise-home", python(folder, "-m", "search.run", "regularization")


def test_the_answer_has_the_form_that_is_shown(searched):
    """Not its figures: they are those of one kind of machine."""
    _, printed = searched
    assert form(printed) == form(sample("text", "searching", "docs/results.md"))


def test_a_kept_model_is_loaded_as_shown(searched):
    home, _ = searched
    (first, *_) = sorted(home.glob("*/checkpoints/*/best.pt"))
    text = sample("python", "from sklearn.datasets")
    names = {}
    exec(re.sub(r"lanewise-home/NAME/[^\"]*", str(first), text), names)
    assert "lanewise-home/NAME/" in text
    assert isinstance(names["model"], nn.Module) and not names["model"].training
    right = names["model"].predict(names["images"]) == names["load_digits"]().target
    assert right.mean() > 0.9


@pytest.mark.parametrize("shown", [s for s in samples("yaml") if not s.text.startswith(CHANGES)], ids=str)
def test_an_editor_finds_nothing_wrong_with_the_examples(shown):
    assert list(jsonschema.Draft202012Validator(study_schema()).iter_errors(load_yaml(shown.text).data)) == []


def commands():
    """Return every command line of ours on the pages, in a block or in a line of text, without what follows it."""
    lines = [line for s in samples() for line in re.sub(r"\\\n *", "", s.text).splitlines()]
    lines += [span for page in SHOWN for span in re.findall(r"`([^`]+)`", prose(page.read_text()))]
    found = (re.search(r"python -m search(\.run)?\b[^#>`]*", line) for line in lines)
    return sorted({" ".join(match[0].split()) for match in found if match})


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_is_one(line):
    _, _, module, *arguments = shlex.split(line)
    verb, *rest = ["run", *arguments] if module == "search.run" else arguments
    known = get_command(app).commands
    if verb != "VERB" and "--help" not in rest:
        known[verb].make_context(verb, rest)


def test_the_folds_of_the_sample_are_those_of_the_study(tmp_path):
    printed = run_sample(tmp_path, sample("python", "# same_folds.py"))
    folds = load_splits(DataSpec("wine", folds=5)).folds
    assert printed.split("\n")[:-1] == [f"{len(fold.train)} {len(fold.val)}" for fold in folds]
