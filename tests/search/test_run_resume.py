"""``run --resume``: one command line that starts a search, continues it, and is held to what was recorded."""

import json
import shutil
import sqlite3

import pytest

from search.ledger import Ledger, sqlite_url
from search.ledger.events import EventKind
from tests.search.test_resume import LANES, TABLES, TUNE, again, read, reference, start, succeed, wait_for_epochs

SMALL = ("--executor", "lanes", "--lanes", "2", "--trials", "4", "--scheduler", "none")


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    home = tmp_path_factory.mktemp("once")
    succeed(start(home, "s", *SMALL))
    return home


@pytest.fixture
def finished(once, tmp_path):
    """A home with a finished study called s; nothing in it knows where it lies."""
    shutil.copytree(once / "s", tmp_path / "s")
    return tmp_path


def run_again(home, *options):
    return start(home, "s", *SMALL, "--resume", *options)


def redeclared(home):
    with Ledger(sqlite_url(home / "s" / "ledger.db")) as ledger:
        return [event.message for event in ledger.events(1, EventKind.REDECLARED)]


@pytest.mark.parametrize("options", [LANES, pytest.param(TUNE, marks=pytest.mark.slow)], ids=["lanes", "tune"])
def test_one_command_line_starts_a_search_and_continues_it_after_a_kill(tmp_path, options):
    expected = reference(tmp_path, options)
    total = len(expected[0])
    said = []
    for epochs in (total // 3, 2 * total // 3, total + 1):
        process = start(tmp_path, "killed", *options, "--resume")
        wait_for_epochs(process, tmp_path, "killed", epochs)
        if epochs <= total:
            process.kill()
        said.append(process.communicate(timeout=170)[0])
    assert process.returncode == 0, said[-1]
    assert said[0].startswith(f"no study killed in {tmp_path} yet: it is started\n")
    assert "yet: it is started" not in said[1] + said[2]
    assert "trials go on" in said[2]
    assert [read(tmp_path, "killed", query) for query in TABLES] == expected


def test_another_search_is_refused_with_every_difference_and_nothing_changes(finished):
    path = finished / "s" / "ledger.db"
    before = path.read_bytes()
    process = run_again(finished, "--trials", "6", "--sampler", "random", "--set", "dropout.low=0.3", "--seed", "4")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    lines = output.strip().splitlines()
    shown = [line.removeprefix("error: --resume s: ").partition(" is another search")[0] for line in lines]
    assert shown == [
        "budget.trials: 4 -> 6 (--trials)",
        "sampler: tpe -> random (--sampler)",
        "seed: 0 -> 4 (--seed)",
        "space.dropout.low: 0.0 -> 0.3",
    ]
    named = [line.endswith("`python -m search extend s` can change it") for line in lines]
    assert named == [True, False, False, True]
    assert path.read_bytes() == before


def test_what_changes_no_result_may_change_and_is_recorded(finished):
    before = [read(finished, "s", query) for query in TABLES]
    output = succeed(run_again(finished, "--max-failures", "1", "--checkpoint-every", "7"))
    lines = ["checkpoint_every_s: 0.2 -> 7.0", "faults.max_failures: 3 -> 1"]
    assert redeclared(finished) == lines
    assert all(line in output for line in lines)
    ((declaration,),) = read(finished, "s", "select declaration from studies")
    assert json.loads(declaration)["faults"]["max_failures"] == 1
    assert [read(finished, "s", query) for query in TABLES] == before
    succeed(run_again(finished, "--max-failures", "1", "--checkpoint-every", "7"))
    assert redeclared(finished) == lines, "nothing new"


def test_a_dry_run_says_what_would_be_continued_and_touches_nothing(tmp_path, finished):
    plan = json.loads(
        succeed(start(tmp_path / "empty", "s", *SMALL, "--resume", "--dry-run", "--json")).splitlines()[-1]
    )
    assert plan["continues"] is None
    assert not (tmp_path / "empty").exists()
    output = succeed(run_again(finished, "--max-failures", "1", "--dry-run"))
    assert "continues  4 trials and 108 epochs; 0 trials go on" in output
    assert "changes    faults.max_failures: 3 -> 1" in output
    assert redeclared(finished) == []


def test_a_model_of_another_version_is_refused_unless_accepted(finished):
    with sqlite3.connect(finished / "s" / "ledger.db") as connection:
        connection.execute("update studies set model = json_set(model, '$.lanewise', '0.0.1')")
    connection.close()
    for verb, options in (("resume", ()), ("run", ()), ("extend", ("--trials", "1"))):
        process = run_again(finished) if verb == "run" else again(finished, "s", *options, verb=verb)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert output.startswith("error: the model of s is not what it was: mlp of Lanewise 0.0.1 when the study began")
        assert len(output.strip().splitlines()) == 1
    assert len(read(finished, "s", TABLES[1])) == 4
    assert "as was accepted" in succeed(run_again(finished, "--accept-changed-model"))
