"""A function that leaves files open, until its process may open no more."""

import errno
import os
import resource

import pytest

from tests.trainables.conftest import CPU
from trainables import checkpoint
from trainables.train_function import open_files
from trainables.train_function.config import FunctionConfig, FunctionData
from trainables.train_function.run import LEFT_OPEN, FunctionRun


@pytest.fixture(autouse=True)
def limit():
    """Let this process have 300 files more than it has."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = len(os.listdir("/dev/fd")) + 300
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def opened():
    files = []
    yield files
    for file in files:
        file.close()


def opens(number, opened):
    def function(trial):
        for epoch in trial.epochs():
            for _ in range(number):
                opened.append(open(os.devnull))  # noqa: SIM115
            trial.report(val_loss=epoch)

    return function


def run_of(function, data):
    return FunctionRun("mine:train", function, FunctionConfig({}, 2), data, seed=1, device=CPU)


def data():
    return FunctionData(None, ("val_loss",))


def test_ten_thousand_files_are_an_error_in_a_line_and_what_is_ours_can_still_be_written(opened, tmp_path, limit):
    run = run_of(opens(10_000, opened), data())
    with pytest.raises(
        OSError, match=f"Too many open files, of the {limit} that a process may have: close what a"
    ) as e:
        run.step()
    assert e.value.errno == errno.EMFILE
    assert "function" in [frame.name for frame in e.traceback], "the traceback has the line"
    assert limit - len(os.listdir("/dev/fd")) > open_files.RESERVE // 2, "are left"
    checkpoint.save(run.state_dict(), tmp_path / "state.pt")
    assert checkpoint.load(tmp_path / "state.pt")["epoch"] == 0
    run.close()


def test_what_trials_leave_open_is_said_once(opened, limit):
    shared, told = data(), []
    for _ in range(4):
        run = run_of(opens(25, opened), shared)
        run.step(), run.step()
        run.close()
        told.append([notice.text for notice in run.take_notices() if notice.kind == LEFT_OPEN])
    (text,) = sum(told, [])
    assert told[0] == []
    assert text.startswith("mine:train: ")
    assert f"and a process may have {limit}: close what a trial opens" in text


def test_files_that_are_closed_are_nothing_to_say(opened):
    def closes(trial):
        for epoch in trial.epochs():
            opens(200, opened)
            trial.report(val_loss=epoch)

    run = run_of(closes, data())
    run.step()
    run.close()
    assert [notice.kind for notice in run.take_notices()] == []


def test_the_limit_is_what_it_was_and_one_that_the_function_sets_stays(limit):
    def raises_the_limit(trial):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit + 7, hard))
        trial.report(val_loss=1.0)

    def looks(trial):
        seen.append(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        trial.report(val_loss=1.0)

    seen = []
    for function in (looks, raises_the_limit):
        run = run_of(function, data())
        run.step()
        run.close()
    assert seen == [limit - open_files.RESERVE]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limit + 7
