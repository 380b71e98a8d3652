"""Where the states of paused trials lie: in memory up to a limit, beyond it in the store, the same bit for bit."""

import pytest
import torch

from search.executors.paused_states import PausedStates, paused_mb
from tests.search.conftest import make_study
from trainables.best import BestModels
from trainables.checkpoint_store import CheckpointStore
from trainables.report import EpochReport
from trainables.weights_snapshot import on_host, size_bytes

MEGABYTE = 1_000_000


def state(number, epoch=3, size=MEGABYTE // 4):
    return {"epoch": epoch, "model": {"w": torch.full((size,), float(number))}, "optimizer": {}}


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


@pytest.fixture
def best(store):
    return BestModels(store, ("val_loss", "min"))


@pytest.fixture
def one(store):
    """What a state of a million bytes takes with its Python objects."""
    found = size_bytes(state(0))
    assert MEGABYTE < found < 1.01 * MEGABYTE
    return found


def test_states_stay_in_memory_within_the_limit_and_come_back_as_they_were(store, best, one):
    paused = PausedStates(store, best, limit_mb=3.5)
    given = state(1)
    assert paused.put(1, given) == paused.put(2, state(2)) == []
    assert paused.size_bytes == 2 * one and store.count() == 0
    back = paused.take(1, epochs=3)
    assert back["model"]["w"].equal(given["model"]["w"]) and paused.size_bytes == one
    assert paused.take(1, epochs=3) is None, "once"


def test_beyond_the_limit_those_that_were_paused_first_go_to_the_store(store, best, one):
    paused = PausedStates(store, best, limit_mb=3.5)
    for number in (5, 3, 4):
        paused.put(number, state(number))
    assert paused.size_bytes == 2 * one and store.holds(5) and not store.holds(3)
    assert paused.take(5, epochs=3) is None
    assert store.latest(5, at_most=3)[0]["model"]["w"].equal(state(5)["model"]["w"])


def test_room_is_left_for_one_more_like_the_largest_that_came(store, best, monkeypatch):
    paused = PausedStates(store, best, limit_mb=6.5)
    taken = []
    monkeypatch.setattr(
        "search.executors.paused_states.on_host",
        lambda given: taken.append(paused.size_bytes + size_bytes(given)) or on_host(given),
    )
    for number, size in enumerate([1, 1, 1, 1, 1, 3, 1, 1]):
        paused.put(number, state(number, size=size * MEGABYTE // 4))
        assert paused.size_bytes + (3 if number >= 5 else 1) * MEGABYTE <= 6.5 * MEGABYTE
    assert max(taken) <= 6.5 * MEGABYTE, "before it is copied too"
    assert [n for n in range(8) if not store.holds(n)] == [6, 7]


def test_memory_that_was_freed_is_given_back_once_it_is_much(store, best, monkeypatch):
    given = []
    monkeypatch.setattr("search.executors.paused_states.give_back", lambda: given.append(1))
    paused = PausedStates(store, best, limit_mb=0)
    for number in range(40):
        paused.put(number, state(number))
        paused.give_back()
    assert len(given) == 1, "of 40 MB once"


def test_the_model_of_the_best_epoch_counts_and_goes_to_the_store_with_the_state(store, best, one):
    paused = PausedStates(store, best, limit_mb=4.5)
    best.begin(1, {"trial": 1})
    best.observe(1, EpochReport(2, {"val_loss": 0.5}, 0.0), lambda: lambda: state(9)["model"])
    paused.put(1, state(1))
    assert 2 * MEGABYTE < paused.size_bytes < 2 * one
    paused.put(2, state(2))
    assert store.best(1)["epoch"] == 2 and store.best(1)["model"]["w"][0] == 9


def test_what_is_shared_counts_once_and_a_view_for_all_that_it_keeps():
    whole = torch.zeros(MEGABYTE // 4)
    alone = size_bytes({"w": whole})
    assert size_bytes({"w": whole, "v": whole[:10], "u": whole.view(2, -1)}) < alone + 2000
    assert size_bytes({"v": whole[:10]}) == pytest.approx(alone, abs=100)
    small = {f"layer.{i}": torch.zeros(2) for i in range(100)}
    assert 50_000 < size_bytes(small) < 200_000, "tensors of 8 bytes are mostly objects"


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
