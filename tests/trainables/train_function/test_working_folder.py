"""Functions that change the working directory of their process, or remove it: no other trial is to notice."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.trainables.conftest import CPU
from trainables.train_function.config import FunctionConfig, FunctionData
from trainables.train_function.run import MOVED, FunctionRun


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def data():
    return FunctionData(None, ("val_loss",))


def run_of(function, data):
    return FunctionRun("mine:train", function, FunctionConfig({}, 2), data, seed=1, device=CPU)


def ended(function, data):
    """Train a trial to its end; return what is said of its working directory."""
    run = run_of(function, data)
    for _ in range(2):
        run.step()
    run.close()
    return [notice.text for notice in run.take_notices() if notice.kind == MOVED]


def removes_its_own(trial):
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for epoch in trial.epochs():
            trial.report(val_loss=epoch)


def stays(trial):
    for epoch in trial.epochs():
        trial.report(val_loss=len(os.getcwd()) + epoch)


def test_a_folder_that_a_function_removed_fails_no_later_trial_and_is_said_once(home, data):
    assert ended(removes_its_own, data) == [
        f"mine:train left the working directory in a folder that is gone; what comes after it begins in {home}"
    ]
    assert Path.cwd() == home
    assert ended(stays, data) == []
    assert ended(removes_its_own, data) == [], "was said"


def test_a_function_that_is_ended_early_leaves_the_process_where_it_was(home, data):
    run = run_of(removes_its_own, data)
    run.step()
    assert Path.cwd() == home
    run.close()
    assert Path.cwd() == home


def test_a_function_finds_its_own_folder_again_while_another_trains_in_between(home, tmp_path, data):
    def writes(trial):
        os.chdir(tmp_path)
        for epoch in trial.epochs():
            Path(f"epoch-{epoch}").touch()
            trial.report(val_loss=epoch)

    first, other = run_of(writes, data), run_of(stays, data)
    first.step()
    assert other.step().metrics["val_loss"] == len(str(home)) + 1
    first.step()
    assert {file.name for file in tmp_path.iterdir()} == {"home", "epoch-1", "epoch-2"}
    for run in (first, other):
        run.close()
    (notice,) = (notice for notice in first.take_notices() if notice.kind == MOVED)
    assert f"left the working directory in {tmp_path}; what comes after it begins in {home}" in notice.text


def test_where_the_folder_of_the_process_itself_is_removed_it_is_the_nearest_above(home, data):
    def removes_ours(trial):
        home.rmdir()
        for epoch in trial.epochs():
            trial.report(val_loss=epoch)

    (said,) = ended(removes_ours, data)
    assert "in a folder that is gone" in said and f"begins in {home.parent}" in said
    assert Path.cwd() == home.parent


def test_of_functions_side_by_side_the_last_one_out_puts_it_back(home, tmp_path, data):
    with data.folder.lent_to(run_of(stays, data)._working_folder):
        with data.folder.lent_to(run_of(stays, data)._working_folder):
            os.chdir(tmp_path)
        assert Path.cwd() == tmp_path
    assert Path.cwd() == home
