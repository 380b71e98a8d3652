"""A training function of a notebook: searched, defined anew, searched again, resumed."""

import os
import subprocess
import sys

import pytest

from tests.support.pages import ROOT
from trainables.params_read import Lookups
from trainables.reached_source import reached_sources
from trainables.user_code import is_users_file, place_in_traceback

IDENTITY = """
from trainables.model_function import path_of_function, source_of_main
def shown():
    print(source_of_main(path_of_function(train, kind="train"))[1][:16])
class Net:
    def width(self):
        return 1
def helper(trial):
    return Net().width()
----
def train(trial):
    trial.report(val_loss=helper(trial))
----
shown()
----
def unrelated(trial):
    return 2
shown()
----
class Net:
    def width(self):
        return 2
shown()
----
def train(trial):
    trial.report(val_loss=1 + helper(trial))
shown()
----
def train(trial):
    trial.report(val_loss=2 + helper(trial))
shown()
"""

SEARCHES = """
from search import declare, run
SPACE = {
    "rate": {"type": "float", "low": 0.1, "high": 1.0, "baseline": 0.5},
    "kind": {"type": "category", "choices": ["a", "b"], "baseline": "a"},
}
def study(name):
    rest = {"confirm": {"pairs": 0}, "tracking": {"enabled": False}, "scheduler": {"name": "none"}}
    rest |= {"resources": {"workers": 1}, "budget": {"trials": 1, "max_epochs": 2}, "executor": EXECUTOR}
    return declare("mine", train=train, name=name, space=SPACE, **rest)
----
def scaled(params, value):
    return value * params["rate"] if params["kind"] == "b" else value
def train(trial):
    for epoch in trial.epochs():
        trial.report(val_loss=scaled(trial.params, 2) / epoch)
----
print("best", run(study("first"), home="home").answer.best.value)
----
def train(trial):
    for epoch in trial.epochs():
        trial.report(val_loss=scaled(trial.params, 4) / epoch)
----
print("best", run(study("second"), home="home").answer.best.value)
----
run(study("first"), home="home", resume=True)
"""


def printed(cells, style, folder):
    """Return the lines that a notebook printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "support" / "notebook.py"), style]
    done = subprocess.run(
        command, input=cells, capture_output=True, text=True, cwd=folder, env=environment, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("style", ["ipython", "ipykernel", "prompt"])
def test_a_function_is_another_where_it_or_what_it_names_is_defined_anew(tmp_path, style):
    first, unrelated, helper, itself, constant = printed(IDENTITY, style, tmp_path)
    assert first == unrelated
    assert len({first, helper, itself, constant}) == 4


@pytest.mark.parametrize("file", ["<ipython-input-3-5fca>", "/tmp/ipykernel_77/3.py", "<stdin>", "<dynamic-code>"])
def test_a_cell_is_the_users_own_code(file):
    trace = f'Traceback (most recent call last):\n  File "{file}", line 2, in train\nValueError: no\n'
    assert place_in_traceback(trace) == f"{file.rpartition('/')[2]}, line 2"


def test_code_that_libraries_make_as_they_run_is_not():
    assert not is_users_file("<frozen importlib._bootstrap>")
    assert not is_users_file("<string>")


def test_what_a_worker_finds_in_a_function_that_was_carried_to_it_is_all_that_it_names():
    def scaled(params):
        return params["rate"]

    def train(trial):
        return scaled(trial.params)

    code = [function.__code__.replace(co_filename="<dynamic-code>") for function in (scaled, train)]
    scaled.__code__, train.__code__ = code
    assert Lookups(reached_sources(train)).have("rate")


@pytest.mark.slow
@pytest.mark.parametrize(("executor", "style"), [("lanes", "prompt"), ("lanes", "ipython"), ("tune", "ipykernel")])
def test_a_function_that_is_defined_anew_is_used_and_is_another_to_a_resume(tmp_path, executor, style):
    lines = printed(SEARCHES.replace("EXECUTOR}", f'"{executor}"}}'), style, tmp_path)
    assert [line for line in lines if line.startswith("best")] == ["best 1.0", "best 2.0"]
    (refused,) = (line for line in lines if line.startswith("raised"))
    assert "the model of first is not what it was: train:__main__:train of a notebook" in refused
