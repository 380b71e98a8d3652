"""Images that are larger than memory: decoded once into a file, and the same to a trial as those that are held."""

import dataclasses
import os
import pickle
import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.image_folders import fill, spec_of
from trainables.config import CnnConfig
from trainables.data import image_cache, load_splits, load_test
from trainables.data.datasets import load_pair
from trainables.data.splits import fingerprint
from trainables.data.stored_images import StoredImages
from trainables.errors import DataError
from trainables.loop import TrainingRun, fit
from trainables.stream_data import place_examples

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lanewise" / "images"


def stored(spec):
    return dataclasses.replace(spec, memory_mb=0)


def entries(cache):
    return sorted(entry for entry in cache.iterdir() if entry.is_dir())


def make_grey(folder):
    for file in folder.rglob("*.png"):
        Image.open(file).convert("L").save(file)


def make_deep(folder):
    for i, file in enumerate(sorted(folder.rglob("*.png"))[::2]):
        pixels = np.random.default_rng(i).integers(0, 4096, (9, 9), dtype=np.uint16)
        Image.fromarray(pixels).save(file)


@pytest.mark.parametrize("change", [None, make_grey, make_deep])
def test_stored_images_are_those_that_memory_would_hold_bit_for_bit(tmp_path, change):
    folder = fill(tmp_path / "pets")
    if change is not None:
        change(folder)
    held, found = load_splits(spec_of(folder)), load_splits(stored(spec_of(folder)))
    assert isinstance(found.train.x, StoredImages)
    assert found.fingerprint == held.fingerprint
    for a, b in ((held.train, found.train), (held.val, found.val), (load_test(held.spec), load_test(found.spec))):
        assert np.array_equal(a.x, b.x[:])
        assert np.array_equal(a.y, b.y)
    *_, last = found.notices
    texts = [notice.text for notice in found.notices if notice.kind == "stored_images"]
    assert len(texts) == 1 and "read from /" in texts[0] and "--memory-mb" in texts[0]


def test_a_pair_of_stored_images_is_the_pair_of_those_that_are_held(tmp_path):
    folder = fill(tmp_path / "pets")
    held, found = load_pair(spec_of(folder), seed=3), load_pair(stored(spec_of(folder)), seed=3)
    assert found.splits.fingerprint == held.splits.fingerprint
    assert fingerprint(found.scored, found.test) == fingerprint(held.scored, held.test)


def test_the_folds_of_stored_images_are_those_of_images_that_are_held(tmp_path):
    spec = dataclasses.replace(spec_of(fill(tmp_path / "pets")), folds=3)
    held, found = load_splits(spec), load_splits(stored(spec))
    assert all(fold.streamed for fold in found.folds)
    assert [fold.fingerprint for fold in found.folds] == [fold.fingerprint for fold in held.folds]


def test_a_trial_has_the_curve_that_it_has_on_images_in_memory(tmp_path):
    folder = fill(tmp_path / "pets")
    curves = []
    for spec in (spec_of(folder), stored(spec_of(folder))):
        config = CnnConfig(max_epochs=3, channels=(4,), hidden=(8,), dropout=0.3, batch_size=8, learning_rate=0.01)
        run = TrainingRun(config, place_examples(load_splits(spec), CPU), seed=5, device=CPU)
        curves.append([dict(report.metrics) for report in fit(run)])
    assert curves[0] == curves[1]


def test_pixels_for_a_model_of_its_own_preprocessing_are_copied_from_the_map(tmp_path):
    spec = dataclasses.replace(spec_of(fill(tmp_path / "pets")), pixels=True)
    held, found = load_splits(spec), load_splits(stored(spec))
    assert np.array_equal(held.train.x, found.train.x)
    assert found.train.x.dtype == np.uint8
    assert any("copied from /" in notice.text for notice in found.notices)


def test_a_folder_is_decoded_once_until_it_changes(tmp_path, cache):
    folder = fill(tmp_path / "pets")
    load_splits(stored(spec_of(folder)))
    (entry,) = entries(cache)
    written = (entry / "pixels").stat().st_mtime_ns
    load_splits(dataclasses.replace(stored(spec_of(folder)), seed=1))
    assert entries(cache) == [entry]
    assert (entry / "pixels").stat().st_mtime_ns == written
    file = next(folder.rglob("*.png"))
    Image.new("RGB", (9, 9), (1, 2, 3)).save(file)
    load_splits(stored(spec_of(folder)))
    assert len(entries(cache)) == 2


def truncate(entry):
    os.truncate(entry / "pixels", 100)


def overwrite(entry):
    (entry / "pixels").write_bytes(b"\x07" * (entry / "pixels").stat().st_size)


def lose_facts(entry):
    (entry / "facts.npz").unlink()


def spoil_facts(entry):
    (entry / "facts.npz").write_bytes(b"PK nonsense")


def change_one(entry):
    pixels = bytearray((entry / "pixels").read_bytes())
    pixels[len(pixels) // 2 + 1] ^= 1
    (entry / "pixels").write_bytes(pixels)


def rewritten(**columns):
    def rewrite(entry):
        with np.load(entry / "facts.npz") as held:
            facts = dict(held)
        changed = {name: change(facts[name]) for name, change in columns.items()}
        np.savez(entry / "facts.npz", **{**facts, **changed})

    return rewrite


@pytest.mark.parametrize(
    "damage",
    [
        *(truncate, overwrite, change_one, lose_facts, spoil_facts),
        rewritten(depth=lambda column: column + 7),
        rewritten(depth=lambda column: column - 1),
        rewritten(width=lambda column: column[:3]),
        rewritten(values=lambda column: column[:, 0]),
        rewritten(grey=lambda column: column.astype(str)),
    ],
)
def test_what_is_damaged_is_decoded_again_and_said(tmp_path, cache, damage):
    folder = fill(tmp_path / "pets")
    whole = load_splits(stored(spec_of(folder))).fingerprint
    damage(entries(cache)[0])
    found = load_splits(dataclasses.replace(stored(spec_of(folder)), name="again"))
    assert found.fingerprint == whole
    assert any("decoded again, as what was there was damaged" in notice.text for notice in found.notices)


def test_one_pixel_of_many_images_that_changed_is_noticed(tmp_path, cache):
    folder = fill(tmp_path / "pets", each=35)
    whole = load_splits(stored(spec_of(folder))).fingerprint
    change_one(entries(cache)[0])
    found = load_splits(dataclasses.replace(stored(spec_of(folder)), name="again"))
    assert found.fingerprint == whole
    assert any("decoded again" in notice.text for notice in found.notices)


@pytest.mark.parametrize("suffix", ["", ".lock", ".part"])
def test_what_lies_in_the_place_of_an_entry_is_named(tmp_path, cache, suffix):
    folder = fill(tmp_path / "pets")
    load_splits(stored(spec_of(folder)))
    (entry,) = entries(cache)
    shutil.rmtree(entry)
    stray = entry.with_suffix(suffix)
    stray.unlink(missing_ok=True)
    stray.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError) as caught:
        load_splits(dataclasses.replace(stored(spec_of(folder)), name="again"))
    assert caught.value.errors == (f"{stray} is none of the decoded images that are kept there; move it away",)
    assert not (tmp_path / "elsewhere").exists()


def test_what_ends_decoding_leaves_nothing_and_the_next_one_decodes(tmp_path, cache, monkeypatch):
    folder = fill(tmp_path / "pets")

    def interrupted(store, files, **_):
        store.put(0, store.block(0, 2))
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(image_cache, "decode_into", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_splits(stored(spec_of(folder)))
    assert entries(cache) == []
    assert load_splits(stored(spec_of(folder))).fingerprint == load_splits(spec_of(folder)).fingerprint


def test_what_a_killed_process_left_is_removed(tmp_path, cache):
    folder = fill(tmp_path / "pets")
    load_splits(stored(spec_of(folder)))
    (entry,) = entries(cache)
    entry.rename(entry.with_suffix(".part"))
    load_splits(dataclasses.replace(stored(spec_of(folder)), name="again"))
    assert entries(cache) == [entry]


def test_a_disk_without_room_is_said_before_anything_is_decoded(tmp_path, cache, monkeypatch):
    folder = fill(tmp_path / "pets")
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 100)
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"60 decoded images of 8 x 8 pixels take 0.0 MiB, and the disk of .* has"):
        load_splits(stored(spec_of(folder)))
    assert entries(cache) == []


def test_a_cache_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="decoded images cannot be kept in .*; XDG_CACHE_HOME names another folder"):
        load_splits(stored(spec_of(fill(tmp_path / "pets"))))


def test_of_two_that_need_the_same_images_one_decodes(tmp_path, cache, monkeypatch):
    folder, decoded = fill(tmp_path / "pets"), []
    decode = image_cache.decode_into
    monkeypatch.setattr(image_cache, "decode_into", lambda *a, **k: decoded.append(1) or decode(*a, **k))
    specs = [dataclasses.replace(stored(spec_of(folder)), name=name) for name in ("one", "two")]
    with ThreadPoolExecutor(2) as pool:
        a, b = pool.map(load_splits, specs)
    assert a.fingerprint == b.fingerprint
    assert decoded == [1]


def test_another_process_reads_the_same_file_or_says_why_it_cannot(tmp_path, cache):
    splits = load_splits(stored(spec_of(fill(tmp_path / "pets"))))
    pickled = pickle.dumps(splits.val.x)
    assert len(pickled) < 10_000
    assert np.array_equal(pickle.loads(pickled)[:], splits.val.x[:])
    shutil.rmtree(cache)
    with pytest.raises(DataError, match="decoded images, cannot be read here .*XDG_CACHE_HOME"):
        pickle.loads(pickled)


def test_streamed_inputs_become_no_array_by_themselves(tmp_path):
    splits = load_splits(stored(spec_of(fill(tmp_path / "pets"))))
    with pytest.raises(TypeError, match="not one array"):
        np.asarray(splits.train.x)
    with pytest.raises(TypeError, match="streamed"):
        print(splits.train.held)
    assert splits.train.x.shape == (36, 3, 8, 8)
    assert splits.train.first(2).held.shape == (2, 3, 8, 8)
