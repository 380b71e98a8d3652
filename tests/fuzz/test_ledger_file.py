"""A ledger's file with damaged bytes is read as it is, or refused with a line that names it; never a traceback."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.declaration.studies import find
from search.declaration.study import Study
from search.drive.engine import conduct, resume
from search.drive.history import as_ledger_error
from search.drive.result import read_answer
from search.errors import RunError
from search.face.live_view import Silent
from search.ledger import Ledger
from search.ledger.paths import Paths
from search.ledger.stored_study import study_from_row
from tests.fuzz.damage import damages
from tests.support.old_ledgers import FOLDER
from trainables.data import Splits
from trainables.data.splits import Arrays

NAME = "s"
MOST_TRIALS = 100
"""Of a damaged declaration that is still a valid one: more would only take long."""


def study() -> Study:
    changes = {
        "name": NAME,
        "trainable": "benchmarks.trivial:Trivial",
        "sampler": "random",
        "budget": {"trials": 12, "max_epochs": 4},
        "scheduler": {"name": "asha", "grace": 1, "reduction_factor": 2},
        "executor": "lanes",
        "lanes": {"mode": "looped", "lanes": 4},
        "tracking": {"enabled": False},
        "checkpoint_every_s": 0,
    }
    return Study.model_validate({**find("regularization").model_dump(), **changes})


def load(declared: Study) -> Splits:
    if hypothesis.currently_in_test_context():
        hypothesis.assume(declared.budget.trials <= MOST_TRIALS)
    none = Arrays(np.zeros((1, 1), np.float32), np.zeros(1, np.int64))
    return Splits("digits", none, none, 2, 1, "f" * 64)


class Dies(Silent):
    """Ends the search in the middle, and keeps the files as a killed driver would have left them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.left: tuple[bytes, bytes] | None = None

    def update(self, progress) -> None:
        if progress.epochs >= 16:
            self.left = tuple((self._folder / name).read_bytes() for name in ("ledger.db", "ledger.db-wal"))
            raise KeyboardInterrupt


class Files:
    """A study that did not end.

    No dataclass: hypothesis shows a failure's arguments, and would warn of a megabyte of a dataclass's bytes
    instead of telling the failure.

    Attributes:
        folder: of the study.
        closed: the bytes of its ledger after SQLite tidied up.
        killed: those of the ledger and of the log beside it when the driver was killed.
    """

    def __init__(self, folder: Path, closed: bytes, killed: tuple[bytes, bytes]) -> None:
        self.folder = folder
        self.closed = closed
        self.killed = killed


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    dies = Dies(home / NAME)
    with pytest.raises(KeyboardInterrupt):
        conduct(study(), home, load, view=dies)
    assert dies.left is not None and all(dies.left)
    assert not (home / NAME / "ledger.db-wal").exists()
    return Files(home / NAME, (home / NAME / "ledger.db").read_bytes(), dies.left)


@contextmanager
def damaged_study(files: Files, damage, which: str):
    """Yield the paths of a copy of the study with damaged files, and the bytes of ledger and log."""
    ledger, log = (files.closed, b"") if which == "closed" else files.killed
    ledger, log = (ledger, damage(log)) if which == "log" else (damage(ledger), log)
    with tempfile.TemporaryDirectory() as temporary:
        paths = Paths(Path(temporary), NAME)
        shutil.copytree(files.folder, paths.folder)
        paths.ledger_file.write_bytes(ledger)
        if log:
            log_of(paths.ledger_file).write_bytes(log)
        yield paths, (ledger, log)


@contextmanager
def refused_or_not(paths: Paths, damaged: tuple[bytes, bytes] | None = None):
    """Let the project's own errors pass if they name the file and, of ``damaged`` ones, left the bytes somewhere.

    Where there is no log that SQLite could tidy up, a refusal leaves the file itself as it was.
    """
    try:
        yield
    except RunError as error:
        assert error.exit_code == 1
        assert all("\n" not in line and str(paths.ledger_file) in line for line in error.errors), error.errors
        found_damaged = ("is damaged", "cannot be opened", "no Lanewise ledger")
        if damaged is not None and any(words in str(error) for words in found_damaged):
            assert kept(paths, *damaged), error.errors
        if damaged is not None and not damaged[1]:
            assert paths.ledger_file.read_bytes() == damaged[0], error.errors


def kept(paths: Paths, ledger: bytes, log: bytes) -> bool:
    """Say whether the damaged bytes are still there: in the files themselves, or in a copy of them."""
    copies = [path for path in paths.folder.glob("ledger.db.damaged-*") if not path.name.endswith("-wal")]
    for file in (paths.ledger_file, *copies):
        beside = log_of(file).read_bytes() if log_of(file).exists() else b""
        if file.read_bytes() == ledger and beside == log:
            return True
    return False


def log_of(file: Path) -> Path:
    return Path(f"{file}-wal")


def look(paths: Paths) -> None:
    """Read everything as the commands do that only look."""
    with Ledger(paths.ledger_url) as ledger:
        for row in ledger.studies():
            ledger.study(row.name)
            ledger.seconds_used(row.id)
            ledger.trials(row.id)
            ledger.epochs(row.id)
            ledger.decisions_frame(row.id)
            ledger.events_frame(row.id)
            with as_ledger_error(paths.ledger):
                read_answer(ledger, row, study_from_row(row))


def check(paths: Paths) -> None:
    with Ledger(paths.ledger_url) as ledger:
        ledger.check_whole()


def go_on(paths: Paths) -> None:
    """Resume; a study that is resumed must end."""
    _, result = resume(paths, view=Silent(), load=load)
    assert result.ending == "done"


def migrate(paths: Paths) -> None:
    """Bring a ledger to the present version, as a resume does before it writes to it."""
    with Ledger(paths.ledger_url) as ledger:
        ledger.migrate()


def fuzz(files: Files, damage, which: str) -> None:
    for action in (check, look, go_on):
        with damaged_study(files, damage, which) as (paths, damaged), refused_or_not(paths, damaged):
            action(paths)


WHICH = st.sampled_from(["closed", "killed", "log"])
SLOW_TO_BUILD = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@settings(max_examples=40, derandomize=True, suppress_health_check=SLOW_TO_BUILD)
@given(damages(), WHICH)
def test_a_damaged_ledger_works_or_is_refused_in_a_line_that_names_it(files, damage, which):
    fuzz(files, damage, which)


@pytest.mark.slow
@settings(max_examples=400, derandomize=True, suppress_health_check=SLOW_TO_BUILD)
@given(damages(), WHICH)
def test_four_hundred_damages_of_a_ledger_work_or_are_refused(files, damage, which):
    fuzz(files, damage, which)


OLD = Files(FOLDER / "home" / "refitted", (FOLDER / "home" / "refitted" / "ledger.db").read_bytes(), (b"", b""))


def fuzz_old(damage) -> None:
    for action in (check, look, migrate):
        with damaged_study(OLD, damage, "closed") as (paths, damaged), refused_or_not(paths, damaged):
            action(paths)


@settings(max_examples=40, derandomize=True, suppress_health_check=SLOW_TO_BUILD)
@given(damages())
def test_a_damaged_ledger_of_an_older_version_works_or_is_refused_in_a_line_that_names_it(damage):
    fuzz_old(damage)


@pytest.mark.slow
@settings(max_examples=400, derandomize=True, suppress_health_check=SLOW_TO_BUILD)
@given(damages())
def test_four_hundred_damages_of_a_ledger_of_an_older_version_work_or_are_refused(damage):
    fuzz_old(damage)


@pytest.mark.parametrize("which", ["closed", "killed"])
def test_a_study_whose_ledger_is_whole_is_resumed(files, which):
    with damaged_study(files, lambda data: data, which) as (paths, _):
        go_on(paths)
        with Ledger(paths.ledger_url) as ledger:
            assert [t.number for t in ledger.trials(1)] == list(range(12))
            assert all(t.state.ended for t in ledger.trials(1))
