"""What a machine or a folder holds against a search is said in a line before anything lies in the home."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.declaration.options import Options
from search.declaration.studies import find
from search.drive import homeless
from search.drive.continuation import continue_as, refuse_absent_data, with_data_at
from search.drive.engine import _refuse_lost_ledger
from search.drive.homeless import give_home
from search.drive.preflight import resolve
from search.errors import RunError, UsageError
from search.executors.ray_obstacles import LONGEST_SOCKET, SOCKET, ray_mistakes
from search.ledger.paths import Paths
from trainables.data import DataSpec
from trainables.shadows import ROOT, shadow_in

KIND = "regularization"


@pytest.mark.parametrize("home", ["two\nlines", "a\r", "line\u2028separator", "no-text-\udcff"])
def test_a_home_that_cannot_be_written_in_a_line_is_refused(tmp_path, home):
    with pytest.raises(UsageError, match="cannot be written down in a line") as caught:
        resolve(Options(KIND, home=tmp_path / home))
    assert len(caught.value.errors) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mlflow.db", "MLFLOW.DB-wal", "mlflow-artifacts"])
def test_a_name_of_what_else_lies_in_a_home_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match=rf"--name {name}: a file of MLflow in the home has such a name"):
        resolve(Options(KIND, home=tmp_path, name=name))


@pytest.mark.parametrize("factor", [10**6 + 1, 10**21, 10**300])
def test_a_number_beyond_all_rungs_is_refused_and_not_blamed_on_a_ledger(tmp_path, factor):
    with pytest.raises(UsageError, match=r"--reduction-factor must be <= 1000000"):
        resolve(Options(KIND, home=tmp_path, reduction_factor=factor))


def test_a_temporary_folder_that_is_too_long_for_rays_sockets_is_named(tmp_path, monkeypatch):
    study, most = find(KIND), LONGEST_SOCKET - len(SOCKET)
    in_ray = study.model_copy(update={"executor": "tune"})
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", f"/{'x' * most}")
    (mistake,) = ray_mistakes(in_ray, tmp_path)
    assert "sockets there can have at most" in mistake.rule
    assert "RAY_TMPDIR=/tmp" in mistake.rule
    assert ray_mistakes(study.model_copy(update={"executor": "lanes"}), tmp_path) == []
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert ray_mistakes(in_ray, tmp_path) == []


SHADOWS = ["search.py", "spaces.py", "trainables/__init__.py"]


@pytest.mark.parametrize("file", SHADOWS)
def test_a_file_that_hides_a_package_from_rays_processes_is_named(tmp_path, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    in_ray = find(KIND).model_copy(update={"executor": "tune"})
    (mistake,) = ray_mistakes(in_ray, tmp_path)
    assert f"{tmp_path / file} hides Lanewise's package" in mistake.rule
    assert shadow_in(ROOT) is None


def test_a_folder_without_code_hides_nothing(tmp_path):
    (tmp_path / "search").mkdir()  # of results, say: Python prefers an installed package to it
    assert shadow_in(tmp_path) is None


@pytest.mark.parametrize("file", SHADOWS[1:])
@pytest.mark.parametrize(
    "arguments", [("-m", "search.run", "--help"), ("-m", "search", "list"), ("-c", "import search")]
)
def test_a_file_that_hides_a_package_of_ours_is_named_from_every_entry(tmp_path, file, arguments):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
    line = f"{tmp_path / file} hides Lanewise's package {file.partition('/')[0].removesuffix('.py')!r} from Python"
    if arguments[0] == "-m":
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert line in done.stderr.splitlines()[-1]


def test_a_user_without_a_home_directory_is_given_one(tmp_path, monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    said = []
    monkeypatch.setattr(homeless.Path, "home", nowhere)
    for name in ("HOME", "USER"):
        monkeypatch.setenv(name, "before")
    monkeypatch.delenv("USER")
    give_home(tmp_path, said.append)
    assert os.environ["HOME"] == str(tmp_path)
    assert os.environ["USER"] == f"user-{os.getuid()}"
    assert said == [f"user {os.getuid()} has no home directory (HOME is not set): {tmp_path} is taken for it"]


def test_a_search_whose_ledger_is_gone_is_no_search_that_is_done(tmp_path):
    paths = Paths(tmp_path, "s")
    with pytest.raises(RunError, match=r"ledger .*ledger\.db is gone: its folder was removed or moved"):
        _refuse_lost_ledger(paths)
    paths.folder.mkdir()
    paths.ledger_file.touch()
    assert _refuse_lost_ledger(paths) is None
    assert _refuse_lost_ledger(Paths(tmp_path, "s", "postgresql+psycopg://h/x")) is None


def study_of(file):
    table = DataSpec(source="table", path=str(file), name=Path(file).stem, target="y")
    return find(KIND).model_copy(update={"data": table, "name": "s"})


def test_a_file_that_moved_is_found_where_it_is_said_to_lie(tmp_path):
    before, now = study_of(tmp_path / "t.csv"), tmp_path / "renamed.csv"
    with pytest.raises(UsageError, match=r"no such file; if it was moved, say where it is: --data table:PATH"):
        refuse_absent_data(before)
    now.write_text("x,y\n1,2\n")
    after = with_data_at(before, f"table:{now}")
    assert after.data == dataclasses.replace(before.data, path=str(now), name="renamed")
    assert continue_as(before, after) is after
    for other, why in (("digits", "the data of s are table:"), (f"table:{tmp_path}/no.csv", "no such file")):
        with pytest.raises(UsageError, match=why):
            with_data_at(before, other)


def _lanewise(*arguments, address_space_kb=None, unwritable=False):
    """Run a command in a process of its own, with a limit of its address space or without root's right to write."""
    command = [sys.executable, "-m", "search", *map(str, arguments)]
    if address_space_kb is not None:
        command = ["bash", "-c", f'ulimit -v {address_space_kb}; exec "$@"', "limited", *command]
    if unwritable and os.getuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)


@pytest.mark.parametrize("address_space_kb", [300_000, 900_000])
def test_too_little_address_space_is_one_line_before_anything_starts(tmp_path, address_space_kb):
    asked = ["run", KIND, "--home", tmp_path, "--tracking", "offline"]
    done = _lanewise(*asked, address_space_kb=address_space_kb)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: torch cannot be loaded and train here (")
    assert line.endswith(f"{address_space_kb / 2**20:.1f} GiB of address space; raise the limit: ulimit -v unlimited")
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_may_only_be_read_is_shown_and_not_gone_on_with(tmp_path):
    home = tmp_path / "home"
    asked = ["--trials", 1, "--max-epochs", 1, "--tracking", "offline", "--name", "a"]
    done = _lanewise("run", "tabular", "--home", home, *asked)
    assert done.returncode == 0, done.stderr
    folders = [home / "a", home]
    for folder in folders:
        folder.chmod(0o500)
    try:
        before = {file: file.read_bytes() for file in (home / "a").iterdir() if file.is_file()}
        for file in before:
            file.chmod(0o400)
        shown = _lanewise("show", "a", "--home", home, unwritable=True)
        resumed = _lanewise("resume", "a", "--home", home, unwritable=True)
        after = {file: file.read_bytes() for file in (home / "a").iterdir() if file.is_file()}
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert shown.returncode == 0, shown.stderr
    assert "best val_loss" in shown.stdout
    assert resumed.returncode == 1
    assert resumed.stderr.startswith("error: study 'a' cannot go on here: ")
    assert resumed.stderr.endswith("driver.lock: Permission denied\n")
    assert after == before
