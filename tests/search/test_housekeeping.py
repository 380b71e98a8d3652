"""``search list``, ``delete`` and ``move``: studies that were recorded, found, removed and brought elsewhere."""

import errno
import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.report_page import record_study
from search import RunError, UsageError, load
from search.commands.verbs import app
from search.drive import study_folder
from search.drive.lock import driver_lock
from search.ledger import Ledger
from search.ledger.outcome import SessionEnding
from search.ledger.paths import Paths
from tests.support.command import invoke
from trainables.stage import Stage


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "a home"
    record_study(folder, "small", trials=2, epochs=3)
    record_study(folder, "large", trials=40, epochs=9, ending=SessionEnding.INTERRUPTED)
    (folder / "small" / "weights.bin").write_bytes(b"x" * 2_000_000)
    return folder


def refused(*arguments):
    """Run a command that is refused; return its error."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], standalone_mode=False)
    assert done.exit_code, done.output
    return done.exception


def listed(home, *options):
    return json.loads(invoke("list", "--home", home, "--json", *options).stdout)


def names(home, *options):
    return [study["name"] for study in listed(home, *options)["recorded"]]


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_list_says_size_and_best_value_and_ends_with_what_is_looked_for(home):
    record_study(home, "accurate", trials=3, epochs=4, objective={"metric": "val_accuracy", "mode": "max"})
    record_study(home, "accurater", trials=60, epochs=9, objective={"metric": "val_accuracy", "mode": "max"})
    assert names(home) == ["small", "large", "accurate", "accurater"], "the newest last"
    assert names(home, "--sort", "name") == ["accurate", "accurater", "large", "small"]
    assert names(home, "--sort", "size")[-1] == "small"
    assert names(home, "--sort", "VALUE") == ["accurate", "accurater", "small", "large"], "by metric, the best last"
    small = listed(home)["recorded"][0]
    disk = subprocess.run(["du", "-s", "--block-size=1", home / "small"], capture_output=True, text=True, check=True)
    own = os.stat(home / "small").st_blocks * 512
    assert small["bytes"] == int(disk.stdout.split()[0]) - own > 2_000_000
    assert (small["trials"], small["planned"], small["metric"], small["ending"]) == (2, 2, "val_loss", "done")
    assert small["best"] == load("small", home=home).answer.best.value
    assert {study["study"] for study in listed(home)["declared"]} >= {"regularization", "transfer"}


def test_an_order_that_is_none_is_refused_with_those_there_are(home):
    error = refused("list", "--home", home, "--sort", "dates")
    assert str(error) == "--sort must be date, name, size or value, got 'dates'. Did you mean 'date'?"


def test_an_empty_home_has_an_empty_list(tmp_path):
    assert listed(tmp_path / "none")["recorded"] == []


def test_a_deletion_takes_the_folder_and_leaves_mlflow_and_the_other_studies(home):
    (home / "mlflow.db").write_text("runs")
    before = tree(home / "large")
    said = invoke("delete", "small", "--home", home, "--yes").stdout
    assert said.startswith("deleted    small: 2 trials, 2.")
    assert "mlflow     keeps the runs, if it has any; nothing adds to them any more\n" in said
    assert sorted(path.name for path in home.iterdir()) == ["large", "mlflow.db"]
    assert tree(home / "large") == before


def test_names_that_are_none_are_said_all_at_once_and_nothing_is_deleted(home):
    error = refused("delete", "small", "nope", "largo", "--home", home, "--yes")
    assert isinstance(error, UsageError)
    assert [line.partition(" in ")[0] for line in error.errors] == ["no study 'nope'", "no study 'largo'"]
    assert "Did you mean 'large'?" in error.errors[1]
    assert names(home) == ["small", "large"]


def test_without_a_terminal_a_deletion_must_be_asked_for_with_yes(home):
    error = refused("delete", "small", "nope", "--home", home)
    assert isinstance(error, UsageError)
    assert "no study 'nope'" in error.errors[0]
    assert "--yes must be given; nothing was deleted" in error.errors[1]
    assert names(home) == ["small", "large"]


@pytest.mark.parametrize(("answer", "code", "left"), [(b"\n", 1, 2), (b"y\n", 0, 0)])
def test_in_a_terminal_it_asks_and_what_is_no_yes_deletes_nothing(home, answer, code, left):
    master, terminal = pty.openpty()
    with closing(os.fdopen(master, "wb", buffering=0)) as keyboard:
        keyboard.write(answer)
        command = [sys.executable, "-m", "search", "delete", "small", "large", "--home", home]
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=False, timeout=60)
        os.close(terminal)
    assert done.returncode == code, done.stderr
    assert "delete small: 2 trials, 2." in done.stdout
    assert "delete these 2 studies? [y/N]" in done.stdout
    assert ("nothing was deleted" in done.stdout) == bool(left)
    assert len(names(home)) == left


def test_a_study_that_is_searched_is_neither_deleted_nor_moved(home):
    paths = Paths(home, "large")
    with driver_lock(paths.lock, "large"):
        error = refused("delete", "small", "large", "--home", home, "--yes")
        assert isinstance(error, RunError)
        assert error.errors[0].startswith(f"study 'large' is being searched by process {os.getpid()} on ")
        assert "is being searched by" in str(refused("move", "large", "other", "--home", home))
    assert names(home) == ["small", "large"]


def test_a_study_that_another_host_searches_is_not_deleted(home):
    with Ledger(Paths(home, "large").ledger_url) as ledger, ledger.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE sessions SET host = 'another', ended_at = NULL, seen_at = strftime('%s', 'now')"
        )
    assert "on another since" in str(refused("delete", "large", "--home", home, "--yes"))
    assert sorted(names(home)) == ["large", "small"]


def test_a_study_whose_ledger_cannot_be_read_is_deleted_too_and_that_is_said(home):
    Paths(home, "large").ledger_file.write_bytes(b"no database at all" * 999)
    said = invoke("delete", "large", "--home", home, "--yes").stdout
    assert "large: no readable ledger (ledger " in said
    assert names(home) == ["small"]
    Paths(home, "small").ledger_file.write_bytes(b"no database at all" * 999)
    error = refused("delete", "small", "--home", home, "--yes", "--with-mlflow")
    assert str(error).startswith("small: its runs in MLflow cannot be told, as ledger ")
    assert (home / "small").is_dir()


def test_where_one_folder_cannot_be_moved_away_all_stay(home, monkeypatch):
    before = tree(home)
    rename = Path.rename

    def second_fails(path, target):
        if path.name == "large" and path.parent == home:
            raise OSError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    error = refused("delete", "small", "large", "--home", home, "--yes")
    assert str(error) == f"{home / 'large'} cannot be deleted: Permission denied"
    monkeypatch.undo()
    after = tree(home)
    assert {name: text for name, text in after.items() if name.suffix != ".lock"} == before
    assert not list(home.glob(".deleted-*/*"))


def test_what_a_deletion_that_was_cut_off_has_left_is_no_study_and_is_said(home):
    study_folder.set_aside(home / "large")
    assert names(home) == ["small"]
    (line,) = [t for t in invoke("list", "--home", home).stdout.splitlines() if "deletion" in t]
    assert line.startswith(f"left of a deletion that was cut off: {home / '.deleted-'}")


def test_a_study_is_called_by_its_new_name_everywhere(home):
    before = load("large", home=home)
    said = invoke("move", "large", "renamed", "--home", home).stdout
    assert said.startswith(f"moved      large to {home / 'renamed'}\n")
    assert f"until: python -m search sync renamed --home '{home}'" in said
    after = load("renamed", home=home)
    assert after.study == before.study.model_copy(update={"name": "renamed"})
    assert after.best == before.best
    assert names(home, "--sort", "name") == ["renamed", "small"]
    invoke("report", "renamed", "--home", home, "--out", home / "r.md")
    assert "resume renamed" in (home / "r.md").read_text()


def test_a_study_is_moved_to_another_home_with_or_without_another_name(home, tmp_path):
    kept = tree(home / "small")[Path("weights.bin")]
    invoke("move", f"{home}/small", "--to", tmp_path / "b")
    said = invoke("move", f"{tmp_path}/b/small", "tiny", "--to", tmp_path / "c" / "d").stdout
    assert "stay there; sent to the new home by:" in said
    assert names(tmp_path / "b") == []
    assert names(tmp_path / "c" / "d") == ["tiny"]
    assert tree(tmp_path / "c" / "d" / "tiny")[Path("weights.bin")] == kept
    assert (tmp_path / "c" / "d").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (("small",), ["move needs a new name, or --to HOME: python -m search move NAME NEWNAME"]),
        (("small", "small"), ["small lies there already; give another name, or --to HOME"]),
        (("small", "large"), ["is there already; choose another name"]),
        (("small", "a/b"), ["'a/b' is no name of a study"]),
        (("small", ".hidden"), ["'.hidden' is no name of a study"]),
        (("small", "mlflow.db"), ["'mlflow.db' is the name of a file of MLflow's in a home"]),
        (("none", "la rge"), ["no study 'none'", "'la rge' is no name of a study"]),
        (("small", "--to", "file"), ["--to file: "]),
        (("small", "b/c", "--to", "file"), ["--to file: ", "'b/c' is no name of a study"]),
        (("small", "--to", "a home/small/inner"), ["lies in the folder of the study itself"]),
    ],
)
def test_a_move_that_cannot_be_is_refused_in_a_line_and_changes_nothing(home, monkeypatch, arguments, lines):
    monkeypatch.chdir(home.parent)
    Path("file").write_text("a file")
    before = {name: text for name, text in tree(home).items() if name.suffix != ".lock"}
    error = refused("move", *arguments, "--home", home)
    assert isinstance(error, UsageError)
    assert len(error.errors) == len(lines)
    assert all(part in line for part, line in zip(lines, error.errors, strict=True))
    after = tree(home)
    assert {name: text for name, text in after.items() if name.suffix != ".lock"} == before


def test_a_move_that_fails_leaves_the_study_under_its_old_name(home, monkeypatch):
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EACCES, "Permission denied")))
    error = refused("move", "large", "renamed", "--home", home)
    assert str(error) == f"{home / 'large'} cannot be moved to {home / 'renamed'}: Permission denied"
    monkeypatch.undo()
    assert load("large", home=home).study.name == "large"


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another disk than the temporary ones."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has one disk")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_a_study_is_copied_to_another_disk_and_then_gone_from_the_first(home, elsewhere):
    before, files = load("large", home=home), tree(home / "large")
    invoke("move", "large", "there", "--to", elsewhere / "b", "--home", home)
    after = load("there", home=elsewhere / "b")
    assert (after.study.name, after.best) == ("there", before.best)
    assert sorted(path.name for path in home.iterdir()) == ["small"]
    assert [path.name for path in (elsewhere / "b").iterdir()] == ["there"]
    assert files.keys() <= tree(elsewhere / "b" / "there").keys()


def test_a_disk_that_fills_while_a_study_is_copied_to_it_leaves_the_study_where_it_was(home, elsewhere, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    error = refused("move", "large", "there", "--to", elsewhere / "b", "--home", home)
    assert "No space left on device" in str(error)
    assert load("large", home=home).study.name == "large"
    assert list((elsewhere / "b").iterdir()) == []


def test_a_move_that_was_cut_off_goes_on_when_it_is_asked_for_again(home):
    with Ledger(Paths(home, "large").ledger_url) as ledger:
        ledger.rename_study(ledger.study("large"), "there")
    invoke("move", "large", "there", "--home", home)
    assert load("there", home=home).study.name == "there"


def test_how_much_is_copied_is_said(tmp_path):
    (tmp_path / "from").write_bytes(b"x" * 100_000)
    copying = Stage("copying")
    study_folder._Copier(copying, 2 * study_folder.bytes_on_disk(tmp_path))(
        str(tmp_path / "from"), str(tmp_path / "to")
    )
    assert copying.share == 0.5
