"""What the README shows is run as it stands there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from search.declaration import read_study, study_schema
from spaces.located_yaml import load_yaml
from trainables.data import load_splits
from trainables.registry import find_trainable

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def block(language, first):
    (found,) = [text for text in blocks(language) if text.startswith(first)]
    return found


def python(folder, *arguments):
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


def test_the_python_example_runs(tmp_path):
    (tmp_path / "example.py").write_text(block("python", "from search import"))
    out = python(tmp_path, "example.py")
    assert out.count("8 trials on ") == 2
    assert len(list((tmp_path / "lanewise-home").glob("*/ledger.db"))) == 2
    assert re.search(r"^ +rank +number +value +epoch$", out, flags=re.MULTILINE)


def test_the_study_in_a_file_runs(tmp_path):
    (tmp_path / "study.yaml").write_text(block("yaml", "# study.yaml"))
    answer = json.loads(python(tmp_path, "-m", "search.run", "--config", "study.yaml", "--json"))
    assert (answer["trials"], answer["metric"], answer["mode"]) == (16, "val_macro_f1", "max")


def test_the_mistakes_shown_are_what_it_says(tmp_path):
    text = block("yaml", "# study.yaml").replace("{high: 0.3}", "{high: -0.3}").replace("{trials: 16", "{trails: 16")
    file = tmp_path / "study.yaml"
    file.write_text(text)
    shown = [line for line in README.splitlines() if line.startswith("error: study.yaml:")]
    assert [f"error: {line}".replace(str(file), "study.yaml") for line in read_study(file)[1]] == shown


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The example of a user's own model, in the current directory."""
    (tmp_path / "my_models.py").write_text(block("python", "# my_models.py"))
    (tmp_path / "cnn.yaml").write_text(block("yaml", "# cnn.yaml"))
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
    assert trainable.try_out(configs, load_splits(study.data)) == []


@pytest.mark.slow
@pytest.mark.cluster
def test_the_users_model_runs(own):
    answer = json.loads(python(own, "-m", "search.run", "--config", "cnn.yaml", "--tracking", "offline", "--json"))
    assert answer["trials"] == 16
    assert answer["best"]["value"] < answer["baseline"]["value"]


@pytest.mark.parametrize("text", blocks("yaml"))
def test_an_editor_finds_nothing_wrong_with_the_examples(text):
    assert list(jsonschema.Draft202012Validator(study_schema()).iter_errors(load_yaml(text).data)) == []


def test_every_command_shown_is_one():
    from typer.main import get_command

    from search.commands.verbs import app

    known = get_command(app).commands
    verbs = set(re.findall(r"python -m search (\w+)", README)) - {"VERB"}
    assert verbs <= set(known)
    options = {o for command in known.values() for p in command.params for o in p.opts}
    runs = [line for line in README.splitlines() if "python -m search" in line and not line.startswith("ray ")]
    used = {o for line in runs for o in re.findall(r"(?<=\s)--[a-z-]+", line.split("#")[0])} - {"--help"}
    assert used <= options
