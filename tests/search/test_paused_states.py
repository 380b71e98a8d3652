"""Where the states of paused trials lie: in memory up to a limit, beyond it in the store, the same bit for bit."""

import pytest
import torch

from search.executors.paused_states import PausedStates, paused_mb
from tests.search.conftest import make_study
from trainables.best import BestModels
from trainables.checkpoint_store import CheckpointStore
from trainables.report import EpochReport

MEGABYTE = 1_000_000


def state(number, epoch=3, size=MEGABYTE // 4):
    return {"epoch": epoch, "model": {"w": torch.full((size,), float(number))}, "optimizer": {}}


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


@pytest.fixture
def best(store):
    return BestModels(store, ("val_loss", "min"))


def test_states_stay_in_memory_within_the_limit_and_come_back_as_they_were(store, best):
    paused = PausedStates(store, best, limit_mb=2.5)
    given = state(1)
    assert paused.put(1, given) == paused.put(2, state(2)) == []
    assert paused.size_bytes == 2 * MEGABYTE and store.count() == 0
    back = paused.take(1, epochs=3)
    assert back["model"]["w"].equal(given["model"]["w"]) and paused.size_bytes == MEGABYTE
    assert paused.take(1, epochs=3) is None, "once"


def test_beyond_the_limit_those_that_were_paused_first_go_to_the_store(store, best):
    paused = PausedStates(store, best, limit_mb=2.5)
    for number in (5, 3, 4):
        paused.put(number, state(number))
    assert paused.size_bytes == 2 * MEGABYTE and store.holds(5) and not store.holds(3)
    assert paused.take(5, epochs=3) is None
    assert store.latest(5, at_most=3)[0]["model"]["w"].equal(state(5)["model"]["w"])


def test_the_model_of_the_best_epoch_counts_and_goes_to_the_store_with_the_state(store, best):
    paused = PausedStates(store, best, limit_mb=2.5)
    best.begin(1, {"trial": 1})
    best.observe(1, EpochReport(2, {"val_loss": 0.5}, 0.0), lambda: lambda: state(9)["model"])
    paused.put(1, state(1))
    assert paused.size_bytes == 2 * MEGABYTE
    paused.put(2, state(2))
    assert store.best(1)["epoch"] == 2 and store.best(1)["model"]["w"][0] == 9


def test_without_memory_every_state_goes_to_the_store_at_once(store, best):
    paused = PausedStates(store, best, limit_mb=0)
    paused.put(1, state(1))
    assert paused.size_bytes == 0 and store.holds(1)


def test_what_a_crash_would_lose_is_written_once(store, best):
    paused = PausedStates(store, best, limit_mb=10)
    paused.put(1, state(1))
    paused.save()
    path = next((store.folder / "trial_00001").glob("*.pt"))
    written = path.stat().st_mtime_ns
    paused.save()
    assert path.stat().st_mtime_ns == written and paused.take(1, epochs=3) is not None


def test_a_state_of_another_epoch_is_none_that_a_trial_goes_on_from(store, best):
    paused = PausedStates(store, best, limit_mb=10)
    paused.put(1, state(1, epoch=3))
    assert paused.take(1, epochs=5) is None and paused.size_bytes == 0, "another worker trained it further"


@pytest.mark.parametrize(
    ("resources", "expected"), [({}, 64.0), ({"workers": 1}, 64.0), ({"workers": 2}, 0.0), ({"address": "h:1"}, 0.0)]
)
def test_several_workers_share_what_they_pause_through_the_store(resources, expected):
    study = make_study(scheduler={"name": "promote", "paused_mb": 64}, resources=resources, budget={"max_epochs": 9})
    assert paused_mb(study) == expected
