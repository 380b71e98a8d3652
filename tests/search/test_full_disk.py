"""A disk that becomes full under a search: a real one, small, of which some is mounted for each test."""

import resource
import shlex
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from search.ledger import sqlite_url
from tests.search.test_resume import TABLES
from trainables import checkpoint
from trainables.checkpoint_store import CheckpointStore

pytestmark = pytest.mark.timeout(300)

LANES = ("--executor", "lanes", "--lanes", "4", "--trials", "10")
TUNE = ("--executor", "tune", "--workers", "1", "--trials", "6")
MORE = (*LANES[:-1], "30")
"""As many trials as make the ledger's log larger than a file may be, however few transactions they take."""
ROOM = 4096
"""KiB: more than a search writes before it has a checkpoint, with MLflow's tables."""
SEARCH = ("--max-epochs", "9", "--train-examples", "300", "--tracking", "offline")


class Disk:
    """A file system in memory, of so many KiB and, where that is said, so many files."""

    def __init__(self, path: Path, kib: int, files: int | None = None) -> None:
        self.path = path
        self._filler: threading.Thread | None = None
        self._done = threading.Event()
        path.mkdir()
        options = f"size={kib}k" + ("" if files is None else f",nr_inodes={files + 1}")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")

    def fill_after_a_checkpoint(self, home: Path) -> None:
        """Take every free block from the moment on at which the study at ``home`` has a checkpoint.

        How much a search has written by when depends on how fast the machine is; that it goes on does not.
        """
        self._filler = threading.Thread(target=self._fill, args=(home,))
        self._filler.start()

    def _fill(self, home: Path) -> None:
        while not self._done.is_set() and not list(home.glob("s/checkpoints/trial_*/epoch_*.pt")):
            time.sleep(0.005)
        with (self.path / "stuff").open("ab", buffering=0) as file:
            while not self._done.wait(0.005):
                with suppress(OSError):
                    while file.write(bytes(4096)) == 4096:
                        pass

    def _stop_filling(self) -> None:
        self._done.set()
        if self._filler is not None:
            self._filler.join()

    def make_space(self) -> None:
        self._stop_filling()
        subprocess.run(["mount", "-o", "remount,size=64m", str(self.path)], check=True)

    def remove(self) -> None:
        self._stop_filling()
        subprocess.run(["umount", str(self.path)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    disks = []

    def make(kib, files=None):
        disks.append(Disk(tmp_path / "disk", kib, files))
        return disks[-1]

    yield make
    for disk in disks:
        disk.remove()


def run(command, **options):
    return subprocess.run(
        [str(c) for c in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=170,
        check=False,
        **options,
    )


def search(home, *options, checkpoint_every=0, **how):
    command = (sys.executable, "-m", "search.run", "--no-confirm", "regularization", "--home", home, "--name", "s")
    return run([*command, *SEARCH, "--checkpoint-every", checkpoint_every, *options], **how)


def facts(ledger):
    with closing(sqlite3.connect(ledger)) as connection:
        return [connection.execute(query).fetchall() for query in TABLES]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a function that returns the facts of a search that has room enough."""
    found = {}

    def of(options):
        if options not in found:
            home = tmp_path_factory.mktemp("undisturbed")
            done = search(home, *options, checkpoint_every=1000)  # none: they have no say in what is found
            assert done.returncode == 0, done.stdout
            found[options] = facts(home / "s" / "ledger.db")
        return found[options]

    return of


def error_line(done):
    """Return the one line in which a command said what is wrong."""
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    return line


def check(line, *, names, why):
    assert line.startswith(f"error: {names}"), line
    assert f" cannot be written: {why}" in line
    assert "; its disk has 0." in line and " MiB free: make space; then go on with: python -m search resume s" in line


def go_on(line):
    """Run the command that the line names."""
    command = shlex.split(line.partition("go on with: ")[2])
    assert command[:4] == ["python", "-m", "search", "resume"]
    return run([sys.executable, *command[1:]])


def check_that_every_checkpoint_loads(home):
    store = CheckpointStore(home / "s" / "checkpoints")
    files = list(store.folder.glob("trial_*/*.pt"))
    assert files and all(checkpoint.load(file)["epoch"] >= 1 for file in files)
    for folder in {file.parent for file in files if file.name.startswith("epoch_")}:
        state, damaged = store.latest(int(folder.name.removeprefix("trial_")))
        assert damaged == [] and state is not None and state["epoch"] >= 1
    assert list(home.rglob("*.tmp")) == []


@pytest.mark.slow
@pytest.mark.parametrize("options", [LANES, pytest.param(TUNE, marks=pytest.mark.cluster)], ids=["lanes", "tune"])
def test_a_full_disk_of_ledger_and_checkpoints(small_disk, undisturbed, options):
    disk = small_disk(ROOM)
    disk.fill_after_a_checkpoint(disk.path)
    line = error_line(search(disk.path, *options))
    assert str(disk.path / "s") in line
    assert "make space; then go on with: python -m search resume s --home " in line
    check_that_every_checkpoint_loads(disk.path)
    assert "make space" in error_line(go_on(line))  # nothing has changed
    disk.make_space()
    done = go_on(line)
    assert done.returncode == 0, done.stdout
    assert facts(disk.path / "s" / "ledger.db") == undisturbed(options)


@pytest.mark.slow
@pytest.mark.parametrize("options", [LANES, pytest.param(TUNE, marks=pytest.mark.cluster)], ids=["lanes", "tune"])
def test_a_full_disk_of_the_ledger(small_disk, undisturbed, tmp_path, options):
    disk, home = small_disk(ROOM), tmp_path / "home"
    disk.fill_after_a_checkpoint(home)
    ledger = disk.path / "ledger.db"
    line = error_line(search(home, *options, "--ledger", sqlite_url(ledger)))
    check(line, names=f"the ledger {ledger}", why="database or disk is full; everything recorded before stays")
    assert line.endswith(f" --ledger {sqlite_url(ledger)}")
    check_that_every_checkpoint_loads(home)
    disk.make_space()
    done = go_on(line)
    assert done.returncode == 0, done.stdout
    assert facts(ledger) == undisturbed(options)


@pytest.mark.slow
@pytest.mark.parametrize("options", [LANES, pytest.param(TUNE, marks=pytest.mark.cluster)], ids=["lanes", "tune"])
def test_a_full_disk_of_the_checkpoints(small_disk, undisturbed, tmp_path, options):
    disk, ledger = small_disk(ROOM), tmp_path / "ledger.db"
    disk.fill_after_a_checkpoint(disk.path)
    line = error_line(search(disk.path, *options, "--ledger", sqlite_url(ledger)))
    check(line, names="", why="")
    assert str(disk.path / "s" / "checkpoints") in line and "No space left on device" in line
    check_that_every_checkpoint_loads(disk.path)
    with closing(sqlite3.connect(ledger)) as connection:
        states = connection.execute("select distinct state from trials").fetchall()
        (ending,) = connection.execute("select ending from sessions").fetchone()
    assert "FAILED" not in {state for (state,) in states}, "no trial is blamed"
    assert ending == "failed"
    disk.make_space()
    done = go_on(line)
    assert done.returncode == 0, done.stdout
    assert facts(ledger) == undisturbed(options)


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_told_as_a_full_disk_is(undisturbed, tmp_path):
    """Needs no right to mount: the kernel refuses to let any file grow beyond the limit."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    line = error_line(search(tmp_path, *MORE, preexec_fn=limit))
    ledger = tmp_path / "s" / "ledger.db"
    assert line.startswith(f"error: the ledger {ledger} cannot be written: disk I/O error; ")
    check_that_every_checkpoint_loads(tmp_path)
    done = go_on(line)
    assert done.returncode == 0, done.stdout
    assert facts(ledger) == undisturbed(MORE)


@pytest.mark.slow
def test_mlflow_on_the_same_full_disk_changes_nothing(small_disk, undisturbed):
    disk = small_disk(ROOM)
    disk.fill_after_a_checkpoint(disk.path)
    line = error_line(search(disk.path, *LANES, "--tracking", f"sqlite:///{disk.path / 'mlflow.db'}"))
    assert str(disk.path / "s") in line
    disk.make_space()
    done = go_on(line)
    assert done.returncode == 0, done.stdout
    assert "not everything arrived" not in done.stdout
    assert facts(disk.path / "s" / "ledger.db") == undisturbed(LANES)


def test_a_search_that_finds_the_disk_full_starts_nothing(small_disk):
    disk = small_disk(64)
    (disk.path / "stuff").write_bytes(bytes(64 << 10))
    line = error_line(search(disk.path, *LANES))
    assert line == (
        f"error: ledger {disk.path / 's' / 'ledger.db'} cannot be opened: database or disk is full; "
        "its disk has 0.0 MiB free: make space"
    )


@pytest.mark.slow
def test_a_disk_that_takes_no_more_folders_is_one_line(small_disk):
    disk = small_disk(64, files=0)
    line = error_line(search(disk.path, *LANES))
    assert line.startswith(f"error: study 's' cannot go on here: {disk.path / '.s.lock'}: No space left on device; ")
    assert "its disk has 0.1 MiB free" in line
