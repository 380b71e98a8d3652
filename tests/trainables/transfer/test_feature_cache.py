"""The cache: bounded, shared, computed once, and never a reason for other numbers."""

import dataclasses
import gc

import pytest
import torch

from tests.trainables.transfer.conftest import CPU, TRANSFER, configured, curve, started
from trainables.transfer.feature_cache import MIB, FeatureCache, FrozenStages
from trainables.transfer.feature_files import FileFeatureStore, shape_file
from trainables.transfer.feature_store import VALIDATION, MemoryFeatureStore
from trainables.transfer.image_views import ImageViews
from trainables.transfer.preprocessing import Preprocessing


class Counting(torch.nn.Module):
    """A stage that counts the examples that pass."""

    def __init__(self, grow):
        super().__init__()
        self.grow, self.passed = grow, 0

    def forward(self, x):
        self.passed += len(x)
        return (x * 2).repeat(1, self.grow, 1, 1)


def made(splits, store, *, limit=1 << 30, grow=(1, 1, 1)):
    stages = FrozenStages(Float(), tuple(Counting(g) for g in grow))
    images = ImageViews(splits, Preprocessing(0, 0, (0.0,), (1.0,)), device=CPU, views=2)
    cache = FeatureCache(images, stages, store, limit=limit, outputs=splits.classes)
    for part in stages.parts:
        part.passed = 0  # what the cache passed to learn the shapes
    return cache, [*stages.parts]


class Float(torch.nn.Module):
    def forward(self, x):
        return x.float()


def test_one_pass_over_the_images_fills_the_cache_at_every_depth_that_fits(splits):
    cache, stages = made(splits, MemoryFeatureStore(CPU))
    n = len(splits.train) + len(splits.val)
    reached, found = cache.at("none", 1)
    assert reached == 1 and [stage.passed for stage in stages] == [n, n, n]
    assert torch.equal(found.x_train, torch.from_numpy(splits.train.x).float() * 2)
    reached, deeper = cache.at("none", 3)
    assert reached == 3 and [stage.passed for stage in stages] == [n, n, n], "nothing was computed twice"
    assert torch.equal(deeper.x_val, torch.from_numpy(splits.val.x).float() * 8)
    assert cache.at("none", 3)[1] is deeper


def test_another_augmentation_shares_the_validation_images(splits):
    cache, stages = made(splits, MemoryFeatureStore(CPU))
    cache.at("none", 3)
    before = stages[0].passed
    _, views = cache.at("flip_crop", 3)
    assert stages[0].passed - before == 2 * len(splits.train)
    assert (views.views, len(views.x_train), views.examples) == (2, 2 * len(splits.train), len(splits.train))


def test_the_limit_holds_and_what_was_used_longest_ago_goes_first(splits):
    store = MemoryFeatureStore(CPU)
    probe, _ = made(splits, None)
    one = probe.bytes_at("none", 1)
    cache, _ = made(splits, store, limit=2.5 * one, grow=(1, 1, 1))
    for depth in (1, 2, 3, 1):
        reached, found = cache.at("none", depth)
        del found
        assert reached == depth
        assert sum(store.used().values()) <= 2.5 * one
    assert ("none", 2) not in store.used(), "depth 2 was used longest ago"


def test_features_that_a_trial_holds_are_never_let_go(splits):
    store = MemoryFeatureStore(CPU)
    probe, _ = made(splits, None)
    one = probe.bytes_at("none", 1)
    cache, _ = made(splits, store, limit=1.2 * one)
    _, held = cache.at("none", 1)
    reached, other = cache.at("none", 3)
    assert reached == 1 and other is held, "there is no room for depth 3 as long as a trial holds depth 1"
    del held, other
    gc.collect()
    assert cache.at("none", 3)[0] == 3
    assert set(store.used()) == {("none", 3), (VALIDATION, 3)}


def test_a_depth_beyond_the_limit_is_reached_from_a_shallower_one(splits):
    cache, _ = made(splits, MemoryFeatureStore(CPU), grow=(1, 4, 1), limit=made(splits, None)[0].bytes_at("none", 1))
    assert [cache.at("none", depth)[0] for depth in (1, 2, 3)] == [1, 1, 1]


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_limit_below_the_need_works_with_the_same_curves_and_keeps_to_it(splits, place, tmp_path):
    placed = dataclasses.replace(splits, scratch=str(tmp_path))
    data = TRANSFER.prepare(placed, CPU)
    limit = 0.4
    for depth in (1, 3, 5):
        params = {"freeze_depth": depth, "feature_cache": place, "cache_mb": limit}
        run = started(placed, data, **params)
        expected = curve(started(splits, freeze_depth=depth))
        assert [m["val_loss"] for m in curve(run)] == pytest.approx([m["val_loss"] for m in expected], rel=1e-4)
        store = data.shared(configured(**params)).cache._store
        assert sum(store.used().values()) <= limit * MIB
    assert sum(store.used().values()) > 0, "the deepest features fit"
    on_disk = sum(f.stat().st_size for f in tmp_path.rglob("*.f32"))
    assert on_disk <= limit * MIB and (on_disk > 0) == (place == "disk")


def test_processes_share_features_on_disk(splits, tmp_path):
    first, stages = made(splits, FileFeatureStore(tmp_path, prefix="abc"))
    _, filled = first.at("flip_crop", 2)
    second, others = made(splits, FileFeatureStore(tmp_path, prefix="abc"))
    _, found = second.at("flip_crop", 2)
    assert stages[0].passed > 0 == others[0].passed
    assert torch.equal(found.x_train, filled.x_train) and torch.equal(found.x_val, filled.x_val)


def test_other_weights_have_files_of_their_own_and_old_ones_go_first(splits, tmp_path):
    size = made(splits, None)[0].bytes_at("none", 1)
    first, _ = made(splits, FileFeatureStore(tmp_path, prefix="abc"), limit=4 * size)
    first.at("none", 1)
    second, others = made(splits, FileFeatureStore(tmp_path, prefix="def"), limit=1.5 * size)
    assert second.at("none", 3)[0] == 3 and others[0].passed > 0
    assert {file.name.split("-")[0] for file in tmp_path.glob("*.f32")} == {"def"}
    assert sum(f.stat().st_size for f in tmp_path.glob("*.f32")) <= 1.5 * size


def test_a_feature_file_cut_short_is_computed_anew(splits, tmp_path):
    made(splits, FileFeatureStore(tmp_path, prefix="abc"))[0].at("none", 1)
    file = next(tmp_path.glob("abc-none-1.f32"))
    expected = file.read_bytes()
    with open(file, "r+b") as opened:
        opened.truncate(len(expected) // 2)
    cache, stages = made(splits, FileFeatureStore(tmp_path, prefix="abc"))
    assert cache.at("none", 1)[0] == 1 and stages[0].passed == len(splits.train)
    assert file.read_bytes() == expected and shape_file(file).exists()


def test_without_a_feature_store_stages_are_computed_every_time(splits):
    cache, stages = made(splits, None)
    assert cache.at("none", 3)[0] == 0 and stages[0].passed == 0
