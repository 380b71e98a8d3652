"""Where the studies of a home stand: how many trials of those planned, the best value, and whether they go on."""

import os
import time

import psutil
import pytest
import sqlalchemy as sa
from rich.console import Console

from search.drive.overview import recorded_studies
from search.face.studies import print_studies
from search.ledger import Ledger, LedgerWriter, schema
from search.ledger.outcome import Outcome, SessionEnding, StopReason
from search.ledger.paths import Paths
from tests.search.conftest import make_study
from tests.support.facts import FACTS

ENDS = (StopReason.MAX_EPOCHS, StopReason.DIVERGED, StopReason.ERROR, StopReason.USER)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "a home"


def record(home, name, ending=None, *, session=True, **process):
    paths = Paths(home, name)
    paths.folder.mkdir(parents=True)
    declaration = make_study(name=name, budget={"trials": 9}).model_dump(mode="json")
    with Ledger(paths.ledger_url, create=True) as ledger:
        study = ledger.create_study(name, declaration, fingerprint="f" * 64, facts=FACTS)
        writer = LedgerWriter(ledger, study)
        for number, reason in enumerate(ENDS):
            writer.trial_started(number, {}, config_hash=str(number), seed=0, sampler_attrs={}, repeats=[])
            loss = float("nan") if reason is StopReason.DIVERGED else 0.5 + number
            writer.epoch(number, 1, seconds=1.0, metrics={"val_loss": loss})
            writer.trial_ended(number, Outcome(reason))
        writer.flush()
        if session:
            number = ledger.start_session(study)
            if process:
                with ledger.writing() as connection:
                    connection.execute(sa.update(schema.sessions).where(schema.sessions.c.id == number).values(process))
            if ending is not None:
                ledger.end_session(number, ending)


def test_a_study_is_counted_and_its_best_value_named(home):
    record(home, "one", SessionEnding.DONE)
    (one,) = recorded_studies(home, unreadable=pytest.fail)
    assert (one.done, one.planned, one.best, one.metric) == (3, 9, 0.5, "val_loss")
    assert one.counts == {"complete": 1, "diverged": 1, "failed": 1, "cancelled": 1}
    assert not one.resumable


def test_a_session_whose_process_is_gone_is_told_from_one_that_runs(home):
    record(home, "runs")
    record(home, "gone", pid=next(n for n in range(2**22, 1, -1) if not psutil.pid_exists(n)))
    record(home, "reused", pid=os.getpid(), started_at=psutil.Process().create_time() - 100)
    record(home, "elsewhere", host="another")
    record(home, "lost", host="another", seen_at=time.time() - 3600)
    record(home, "signalled", SessionEnding.INTERRUPTED)
    record(home, "early", session=False)
    found = {
        study.row.name: (study.ending, study.resumable) for study in recorded_studies(home, unreadable=pytest.fail)
    }
    assert found == {
        "runs": ("running", False),
        "elsewhere": ("running", False),
        "gone": ("died", True),
        "reused": ("died", True),
        "lost": ("died", True),
        "signalled": ("interrupted", True),
        "early": ("not started", True),
    }


@pytest.mark.parametrize("width", [40, 60, 80, 110, 200])
def test_the_list_has_it_whole_with_the_command_that_goes_on(home, width):
    record(home, "gone", pid=next(n for n in range(2**22, 1, -1) if not psutil.pid_exists(n)))
    record(home, "finished", SessionEnding.DONE)
    console = Console(width=width, record=True)
    print_studies(console, {}, list(recorded_studies(home, unreadable=pytest.fail)))
    text = console.export_text()
    for piece in ("3/9", "val_loss", "0.5", "interrupted", "finished", "done"):
        assert piece in text
    assert f"gone: interrupted; go on with: python -m search resume gone --home '{home}'\n" in text
    assert "resume finished" not in text
