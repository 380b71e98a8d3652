"""A search of 10,000 trials ends as it began: no speed is asserted, only that nothing grows with the trials before."""

import json
import statistics
import subprocess
import sys

import pytest

from benchmarks.ten_thousand_trials import NAME, search
from search.ledger import Ledger, sqlite_url

TRIALS = 10_000

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A home with one finished study of 10,000 trials, what was noted meanwhile, and its answer."""
    home = tmp_path_factory.mktemp("long")
    search(tmp_path_factory.mktemp("warm"), "random", 300)  # imports and first compilations
    marks, result = search(home, "random", TRIALS)
    return home, marks, result


def test_a_trial_at_the_end_costs_what_one_at_the_start_does(finished):
    _, marks, _ = finished
    # CPU time of this process: what else the machine does is no part of it; medians over windows of 100 trials
    start_ms, end_ms = marks.costs_ms(lambda mark: mark.cpu_s)
    assert len(start_ms) >= 5 and len(end_ms) >= 5
    # 0.9 as it is; 1.5 where each decision of ASHA sorts the values of all earlier trials
    assert statistics.median(end_ms) <= 1.3 * statistics.median(start_ms)


def test_the_driver_does_not_grow_by_200_mib(finished):
    _, marks, _ = finished
    assert marks.marks[-1].ended > 0.98 * TRIALS
    assert 0 < marks.growth_mib < 200


def test_every_trial_and_epoch_is_in_the_ledger_once(finished):
    home, _, result = finished
    with Ledger(sqlite_url(home / NAME / "ledger.db")) as ledger:
        row = ledger.study(NAME)
        trials, epochs = ledger.trials(row.id), ledger.epochs(row.id)
        decisions = ledger.decisions_frame(row.id)
    assert [t.number for t in trials] == list(range(TRIALS))
    assert len({t.config_hash for t in trials}) == TRIALS
    assert all(t.state.ended and not t.state.resumable for t in trials)
    last = {e.number: e.epoch for e in epochs}
    assert sum(last.values()) == len(epochs) == result.answer.epochs_trained
    stopped = dict(decisions[decisions["action"] == "stop"][["number", "epoch"]].itertuples(index=False))
    assert stopped == {t.number: last[t.number] for t in trials if t.stop_reason.startswith("rung")}
    assert {t.number for t in trials if t.stop_reason == "max_epochs"} == {n for n, e in last.items() if e == 30}


def test_a_resume_of_the_finished_ledger_tells_the_same_and_trains_nothing(finished):
    home, _, result = finished
    with Ledger(sqlite_url(home / NAME / "ledger.db")) as ledger:
        before = [ledger.trials(1), ledger.epochs(1)]
    command = [sys.executable, "-m", "search", "resume", NAME, "--home", str(home), "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)
    expected = json.loads(json.dumps(result.answer.to_dict()))
    assert {name: told[name] for name in expected} == expected
    with Ledger(sqlite_url(home / NAME / "ledger.db")) as ledger:
        assert [ledger.trials(1), ledger.epochs(1)] == before
        assert [s.ending for s in ledger.sessions(1)] == ["done", "done"]
