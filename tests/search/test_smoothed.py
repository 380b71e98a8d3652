"""What a model of the curves holds of each trial is kept when a session ends, and stands beside the best values."""

import io

import pytest
from rich.console import Console

from search.drive.engine import conduct
from search.drive.examples import load_data
from search.face.grid import print_grid
from search.face.live_view import Silent
from search.face.tables import top_table
from search.ledger import LedgerWriter
from search.ledger.events import CurvesSmoothed
from search.ledger.smoothed import read_smoothed
from search.report.answer import answer
from search.report.leaderboard import leaderboard
from search.report.page.summary import description
from tests.contracts.test_executors import small_study
from tests.search.conftest import make_study
from tests.search.test_answer import record
from tests.support.facts import FACTS

CURVES = [("max", [0.9, 0.5]), ("max", [0.2, 0.4]), ("max", [0.3, 0.25])]
MEANS = {1: 0.31, 2: 0.26}


@pytest.fixture
def study():
    return make_study(budget={"max_epochs": 5})


@pytest.fixture
def frames(ledger, study_id):
    return record(ledger, study_id, CURVES)


def note(ledger, study_id, *, epochs):
    writer = LedgerWriter(ledger, study_id)
    writer.event(CurvesSmoothed(epochs=epochs, metric="val_loss", means=MEANS))
    writer.flush()


def test_the_last_ones_are_read_while_they_are_of_all_epochs(ledger, study_id, frames):
    assert read_smoothed(ledger, study_id, epochs=6) == {}
    note(ledger, study_id, epochs=6)
    assert read_smoothed(ledger, study_id, epochs=6) == MEANS
    note(ledger, study_id, epochs=5)
    assert read_smoothed(ledger, study_id, epochs=6) == {}, "trained on since"


def test_the_leaderboard_ranks_by_value_and_has_both(study, frames):
    board = leaderboard(*frames, study.objective, MEANS)
    assert board["number"].tolist() == [1, 2, 0]
    assert board["smoothed"].tolist()[:2] == [0.31, 0.26] and board["smoothed"].isna().tolist() == [False, False, True]
    assert "smoothed" not in leaderboard(*frames, study.objective)


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_and_summary_show_both(study, frames, width):
    found = answer(study, *frames, FACTS, smoothed=MEANS)
    console = Console(width=width, record=True, file=io.StringIO())
    print_grid(console, top_table(found))
    text = console.export_text()
    assert "smoothed" in text and "0.31" in text and "0.26" in text
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    assert "| smoothed |" in description(study, found)
    assert (found.top[0].smoothed, found.baseline.smoothed) == (0.31, None)
    assert "smoothed" not in description(study, answer(study, *frames, FACTS))


def test_a_search_by_the_model_of_the_curves_keeps_them(tmp_path):
    declared = small_study(
        "s",
        scheduler={"name": "freeze_thaw", "total_epochs": 24},
        budget={"trials": 12, "max_epochs": 6},
        executor="lanes",
        lanes={"lanes": 4},
    )
    found = conduct(declared, tmp_path, load_data, view=Silent()).answer
    assert found.best.smoothed == found.smoothed[found.best.trial]
    assert found.best.smoothed == pytest.approx(found.best.value, rel=0.5)
    assert set(found.smoothed) <= set(range(found.trials))
