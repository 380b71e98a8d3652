"""Copies of a picture: found whatever the file's name and format, kept in one part, said."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.support.image_folders import drawn, error_of, fill, notices_of, spec_of
from trainables.data import load_splits, load_test
from trainables.data.splits import resplit

PETS = ("cat", "dog")


def rows(arrays):
    return {row.tobytes() for row in arrays.x}


def parts(folder, **values):
    splits = load_splits(spec_of(folder, **values))
    return splits.train, splits.val, load_test(spec_of(folder, **values))


def copy(folder, source, *, every=2):
    """Copy every second image of each class beside itself, under another name."""
    for file in sorted(source.rglob("*.png"))[::every]:
        shutil.copy(file, folder / file.parent.name / f"copy of {file.name}")


def assert_apart(train, val, test):
    assert not rows(train) & rows(val)
    assert not rows(train) & rows(test)
    assert not rows(val) & rows(test)


@pytest.mark.parametrize("seed", range(3))
def test_copies_stay_in_one_part_in_the_split_and_in_every_new_one(tmp_path, seed):
    folder = fill(tmp_path / "pets", classes=PETS)
    copy(folder, folder)
    train, val, test = parts(folder, seed=seed)
    assert len(train) + len(val) + len(test) == 60
    assert_apart(train, val, test)
    for again in range(3):
        new = resplit(load_splits(spec_of(folder, seed=seed)), seed=again)
        assert_apart(new.train, new.val, test)
        assert len(new.train) + len(new.val) == len(train) + len(val)
    notice = notices_of(folder, seed=seed)["duplicate_images"]
    assert (notice.count, notice.warning) == (20, True)
    assert notice.text.startswith(
        "kept in one part, the same in every pixel: 20 copies of an image ('cat/copy of 000.png' of 'cat/000.png', "
    )


def test_without_copies_a_new_split_is_what_it_was(tmp_path):
    from trainables.data.splits import stratified_split

    splits = load_splits(spec_of(fill(tmp_path / "pets", classes=PETS)))
    y = np.concatenate([splits.train.y, splits.val.y])
    val, _ = stratified_split(y, (len(splits.val), len(splits.train)), seed=5)
    x = np.concatenate([splits.train.x, splits.val.x])
    assert np.array_equal(resplit(splits, seed=5).val.x, x[val])


def test_copies_in_another_part_are_left_out_there(tmp_path):
    folder = tmp_path / "pets"
    for seed, part in enumerate(("train", "val", "test")):
        fill(folder / part, classes=PETS, each=6, seed=seed)
    before = parts(folder)
    copy(folder / "val", folder / "train")
    copy(folder / "test", folder / "train", every=4)
    copy(folder / "test", folder / "val" / "dog", every=4)
    train, val, test = parts(folder)
    assert [rows(part) for part in (train, val, test)] == [rows(part) for part in before]
    notice = notices_of(folder)["leaked_images"]
    assert notice.warning
    assert notice.text.startswith(
        "left out, the same in every pixel as an image of another part: 12 copies ('val/cat/copy of 000.png' of "
        "'train/cat/000.png', "
    )


def test_a_part_of_copies_alone_is_refused(tmp_path):
    folder = fill(tmp_path / "pets" / "train", classes=PETS, each=10).parent
    shutil.copytree(folder / "train", folder / "test")
    assert error_of(folder).endswith(": every image of test is a copy of one of another part")


@pytest.mark.parametrize("ending", ["bmp", "tif", "webp", "gif"])
def test_a_picture_saved_in_another_format_is_a_copy(tmp_path, ending):
    folder = fill(tmp_path / "pets", classes=PETS, mode="L")
    with Image.open(folder / "cat" / "003.png") as image:
        image.save(folder / "cat" / f"again.{ending}", **({"lossless": True} if ending == "webp" else {}))
    assert notices_of(folder)["duplicate_images"].names == (f"cat/again.{ending}",)


def test_pictures_that_only_become_the_same_when_small_are_no_copies(tmp_path):
    folder = fill(tmp_path / "pets", classes=PETS)
    for i in range(3):
        pixels = np.full((400, 400), 90, np.uint8)
        pixels[200, 200 + i] = 91
        Image.fromarray(pixels).save(folder / "cat" / f"wall{i}.png")
    assert "duplicate_images" not in notices_of(folder)


def test_a_picture_in_two_classes_is_pointed_out_and_in_one_part(tmp_path):
    folder = fill(tmp_path / "pets", classes=PETS)
    image = drawn(np.random.default_rng(9))
    for name in PETS:
        image.save(folder / name / "same.png")
    found = notices_of(folder)["contradictory_images"]
    assert (found.names, found.warning) == (("cat/same.png", "dog/same.png"), True)
    assert_apart(*parts(folder))
    assert sum(map(len, parts(folder))) == 42


def test_a_class_of_too_few_different_images_is_refused(tmp_path):
    folder = fill(tmp_path / "pets", classes=PETS)
    for i in range(6):
        (folder / "emu").mkdir(exist_ok=True)
        drawn(np.random.default_rng(i % 2 + 50)).save(folder / "emu" / f"{i}.png")
    assert error_of(folder).endswith("'emu' has 2 (an image and its copies count once, across classes too)")
