"""A ledger that a database takes for whole, and that cannot be true: refused before anything is written to it."""

import json
import shutil
import sqlite3

import pytest

from search.declaration.studies import find
from search.declaration.study import Study
from search.drive.continuation import is_recorded
from search.drive.engine import conduct, resume
from search.drive.examples import load_data
from search.errors import LedgerError, RunError
from search.face.live_view import Silent
from search.ledger import Ledger, sqlite_url
from search.ledger.paths import Paths
from spaces import hash_params
from tests.search.test_resume import again


class Stops(Silent):
    """Ends the search while its first trials are in training."""

    def update(self, progress):
        if progress.epochs:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A home with a study called s whose baseline is in training."""
    changes = {
        "name": "s",
        "data": {"name": "wine"},
        "budget": {"trials": 4, "max_epochs": 100},
        "scheduler": {"name": "none"},
        "executor": "lanes",
        "lanes": {"lanes": 2},
        "tracking": {"enabled": False},
    }
    study = Study.model_validate({**find("regularization").model_dump(), **changes})
    home = tmp_path_factory.mktemp("home")
    with pytest.raises(KeyboardInterrupt):
        conduct(study, home, load_data, view=Stops())
    return home


@pytest.fixture
def paths(interrupted, tmp_path):
    shutil.copytree(interrupted / "s", tmp_path / "s")
    return Paths(tmp_path, "s")


def change(paths, statement, *values):
    with sqlite3.connect(paths.ledger_file) as connection:
        assert connection.execute(statement, values).rowcount >= 1
    connection.close()
    assert not paths.ledger_file.with_name("ledger.db-wal").exists()


def refusal(paths):
    """Return the one line with which a resume is refused; nothing is written."""
    before = paths.ledger_file.read_bytes()
    with pytest.raises(LedgerError) as caught:
        resume(paths, view=Silent(), load=load_data)
    (line,) = caught.value.errors
    assert caught.value.exit_code == 1
    assert str(paths.ledger_file) in line and "\n" not in line
    assert paths.ledger_file.read_bytes() == before
    return line


def baseline(paths):
    with sqlite3.connect(paths.ledger_file) as connection:
        ((params, state),) = connection.execute("select params, state from trials where number = 0").fetchall()
    connection.close()
    assert state in ("RUNNING", "INTERRUPTED"), "the baseline goes on"
    return json.loads(params)


def test_the_study_goes_on_where_nothing_is_damaged(paths):
    _, result = resume(paths, view=Silent(), load=load_data)
    assert result.ending == "done"


@pytest.mark.parametrize("changed", [{"dropout": 0.25}, {"learning_rate": -1.0}, {"schedule": "constans"}])
def test_a_baseline_whose_parameters_were_damaged_is_refused(paths, changed):
    params = baseline(paths)
    assert changed.keys() <= params.keys()
    change(paths, "update trials set params = ? where number = 0", json.dumps({**params, **changed}))
    assert "contradicts itself: the parameters of trial 0 are not those of its hash" in refusal(paths)


def test_a_baseline_that_no_model_can_be_built_of_is_refused_with_the_reason(paths):
    params = {**baseline(paths), "learning_rate": -1.0}
    values = json.dumps(params), hash_params(params)
    change(paths, "update trials set params = ?, config_hash = ? where number = 0", *values)
    line = refusal(paths)
    assert "contradicts itself: trial 0 cannot be trained: learning_rate must" in line
    assert line.endswith("got -1.0; no trial was started")


def test_the_command_says_it_in_one_line_and_exits_1(paths):
    change(paths, "update trials set params = '{}' where number = 0")
    process = again(paths.home, "s")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    (line,) = output.strip().splitlines()
    assert line.startswith(f"error: ledger {paths.ledger_file} contradicts itself: the parameters of trial 0 ")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update epochs set metrics = '{\"val_loss\" 1}' where number = 1", "is damaged (a row of epochs"),
        ("update epochs set metrics = cast(x'7bff' as text) where number = 1", "is damaged (Could not decode"),
        ("update sessions set pid = 'x'", "is damaged (a row of sessions"),
        ("update sessions set ending = 'dome'", "is damaged (a row of sessions"),
        ("update trials set stop_reason = 'rung_x'", "is damaged (a row of trials"),
        ("update events set kind = 'tried_alone', data = '{}'", "is damaged (a row of events cannot be read: trial"),
        ("update events set kind = 'tried_alonf'", "is damaged (a row of events cannot be read: 'tried_alonf'"),
        ('update events set data = \'{"choise": "x"}\'', "is damaged (a row of events cannot be read: choice"),
        ("update events set data = cast(x'ff' as text)", "is damaged (Could not decode"),
        ("update studies set uid = null", "is damaged (a row of studies cannot be read: uid: Field required"),
        ("update studies set versions = null", "is damaged (a row of studies cannot be read: versions: Field required"),
        ("update studies set versions = '{'", "is damaged (a row of studies cannot be read: "),
        ("update studies set lanes = 'x'", "is damaged (a row of studies cannot be read: lanes: "),
        ("update studies set lanes = 0", "is damaged (a row of studies cannot be read: lanes: "),
        ("update studies set lane_modes = '5'", "is damaged (a row of studies cannot be read: lane_modes: "),
        ("update studies set data = json_remove(data, '$.train')", "cannot be read: data.train: Field required"),
    ],
)
def test_what_a_flipped_bit_leaves_in_a_row_is_refused(paths, statement, said):
    change(paths, statement)
    assert said in refusal(paths)


@pytest.mark.parametrize(("there", "create"), [(True, False), (True, True), (False, True)])
def test_a_log_whose_ledger_is_empty_or_gone_is_left_alone(tmp_path, there, create):
    file, log = tmp_path / "ledger.db", tmp_path / "ledger.db-wal"
    log.write_bytes(b"transactions")
    if there:
        file.touch()
    with pytest.raises(LedgerError, match=r"ledger\.db is damaged \(it is empty, but the log"):
        Ledger(sqlite_url(file), create=create)
    assert log.read_bytes() == b"transactions"


def test_a_ledger_that_was_emptied_is_not_taken_for_a_search_that_never_began(paths):
    (paths.checkpoints / "trial_00000").mkdir(parents=True, exist_ok=True)
    paths.ledger_file.write_bytes(b"")
    with pytest.raises(LedgerError, match=r"ledger\.db is damaged \(it is empty, but .*checkpoints holds"):
        is_recorded(paths)
    assert paths.ledger_file.read_bytes() == b""


def test_what_building_a_search_raises_is_not_blamed_on_its_ledger(paths, monkeypatch):
    def cannot(study):
        raise OverflowError("int too large to convert to float")

    monkeypatch.setattr("search.brain.scheduler.build_scheduler", cannot)
    with pytest.raises(RunError, match=r"scheduler none or the sampler \w+ cannot be built as declared") as caught:
        resume(paths, view=Silent(), load=load_data)
    assert not isinstance(caught.value, LedgerError)
    assert "contradicts" not in str(caught.value)
