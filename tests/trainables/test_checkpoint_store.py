"""What a study's trials have on disk: which state is the newest, what stays when one ends."""

import pytest
import torch

from trainables.checkpoint_store import CheckpointStore, damage_notes
from trainables.errors import CheckpointError


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


def state(epoch):
    return {"epoch": epoch, "model": torch.full((3,), float(epoch))}


def files(store):
    return sorted(str(p.relative_to(store.folder)) for p in store.folder.rglob("*") if p.is_file())


def with_hash(*names):
    return sorted([*names, *(f"{n}.sha256" for n in names)])


def test_the_last_two_states_and_the_best_are_kept(store):
    store.save_best(7, state(1))
    for epoch in (1, 2, 3):
        store.save(7, state(epoch))
    names = ("trial_00007/best.pt", "trial_00007/epoch_000002.pt", "trial_00007/epoch_000003.pt")
    assert files(store) == with_hash(*names)
    found, damaged = store.latest(7)
    assert (found["epoch"], damaged) == (3, [])
    assert store.best(7)["epoch"] == 1
    assert store.count() == 3
    assert store.size_bytes() == sum(p.stat().st_size for p in store.folder.rglob("*") if p.is_file()) > 0


@pytest.mark.parametrize(("at_most", "epoch"), [(None, 9), (9, 9), (8, 5), (5, 5), (4, None), (0, None)])
def test_a_state_that_the_ledger_does_not_have_is_passed_over(store, at_most, epoch):
    store.save(7, state(5))
    store.save(7, state(9))
    found, damaged = store.latest(7, at_most=at_most)
    assert (None if found is None else found["epoch"]) == epoch
    assert damaged == []


def test_a_damaged_state_is_named_and_the_one_before_it_returned(store):
    store.save(7, state(5))
    path = store.save(7, state(9))
    path.write_bytes(path.read_bytes()[:-1])
    found, damaged = store.latest(7)
    assert found["epoch"] == 5
    first, second = damage_notes(7, found, damaged)
    assert first.startswith("trial 7: checkpoint ") and "epoch_000009.pt is damaged" in first
    assert second == "trial 7 goes on from epoch 5"
    store.best_path(7).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"best\.pt cannot be read"):
        store.best(7)


def test_a_trial_that_ended_leaves_nothing_or_its_best(store):
    for number in (1, 2):
        store.save(number, state(3))
        store.save_best(number, state(2))
        (store.folder / f"trial_{number:05d}" / "epoch_000004.pt.tmp").touch()
    store.trim(1, keep_best=False)
    store.trim(2, keep_best=True)
    assert files(store) == with_hash("trial_00002/best.pt")
    assert (store.holds(1), store.holds(2)) == (False, True)
    store.trim(3, keep_best=False)  # it never wrote anything
    store.trim(4, keep_best=True)


def test_a_sweep_leaves_what_goes_on_and_what_is_kept(store):
    for number in range(4):
        store.save(number, state(3))
        store.save_best(number, state(2))
        (store.folder / f"trial_{number:05d}" / "best.pt.tmp").touch()
    (store.folder / "worker_0.at").write_text("3")
    store.remove_leftovers(going_on={0}, kept=(2,))
    names = ("trial_00000/best.pt", "trial_00000/epoch_000003.pt", "trial_00002/best.pt")
    assert files(store) == sorted([*with_hash(*names), "worker_0.at"])
    CheckpointStore(store.folder / "absent").remove_leftovers(going_on=(), kept=())


def test_an_empty_checkpoint_store_counts_no_checkpoint(store):
    assert (store.count(), store.size_bytes(), store.best(1), store.latest(1)) == (0, 0, None, (None, []))
    store.remove_best(1)
