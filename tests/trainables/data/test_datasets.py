import os
import struct

import numpy as np
import pytest

from trainables.data import DATASETS, DataSpec, load_splits, load_test
from trainables.data.splits import Arrays, fingerprint, random_split, resplit, stratified_split
from trainables.errors import DataError
from trainables.task import Task

TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
TABLES = {"iris": (150, 4, 3), "wine": (178, 13, 3), "breast_cancer": (569, 30, 2), "diabetes": (442, 10, 0)}
IMAGES = 10_060  # 10,000 of them become the validation part


@pytest.fixture(scope="module")
def digits():
    return load_splits(DataSpec("digits"))


@pytest.fixture(scope="module")
def digits_test():
    return load_test(DataSpec("digits"))


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    """Files as torchvision lays them out, with drawn pixels."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name in TORCHVISION.values():
        raw = folder / name / "raw"
        raw.mkdir(parents=True)
        for part, n in (("train", IMAGES), ("t10k", 100)):
            labels = (np.arange(n) % 10).astype(np.uint8)
            pixels = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
            images_header = struct.pack(">iiii", 0x803, n, 28, 28)
            (raw / f"{part}-images-idx3-ubyte").write_bytes(images_header + pixels.tobytes())
            (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 0x801, n) + labels.tobytes())
    return folder


def rows(*parts):
    return {row.tobytes() for part in parts for row in part.x}


def test_the_digits_are_all_there_in_three_parts(digits, digits_test):
    assert (len(digits.train), len(digits.val), len(digits_test)) == (1079, 359, 359)
    assert digits.test_examples == 359
    assert digits.classes == 10
    assert digits.train.x.dtype == np.float32
    assert digits.train.y.dtype == np.int64
    assert digits.train.x.shape == (1079, 1, 8, 8)


def test_the_parts_of_the_digits_are_disjoint(digits, digits_test):
    parts = (digits.train, digits.val, digits_test)
    assert sum(len(rows(part)) for part in parts) == len(rows(*parts)) == 1797  # no two digits are alike


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_the_parts_of_the_digits_are_stratified(digits, digits_test, part):
    labels = digits_test.y if part == "test" else getattr(digits, part).y
    everything = np.concatenate([digits.train.y, digits.val.y, digits_test.y])
    share, expected = (np.bincount(y, minlength=10) / len(y) for y in (labels, everything))
    assert np.abs(share - expected).max() <= 1 / len(labels)  # a class has its share, rounded to a whole example


def test_a_split_depends_on_its_seed_alone(digits):
    from trainables.data import datasets

    datasets._load.cache_clear()
    again, other = load_splits(DataSpec("digits")), load_splits(DataSpec("digits", seed=1))
    assert again is not digits
    assert again.fingerprint == digits.fingerprint
    assert np.array_equal(again.train.x, digits.train.x)
    assert other.fingerprint != digits.fingerprint
    assert rows(other.val) != rows(digits.val)


def test_statistics_come_from_the_training_part_alone(digits, digits_test):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    test, val, train = stratified_split(y, (359, 359, 1079), seed=0)
    pixels = (x / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    mean, deviation = pixels[train].mean(axis=0, dtype=np.float64), pixels[train].std(dtype=np.float64)
    for part, indices in ((digits.train, train), (digits.val, val), (digits_test, test)):
        # float32: the standardised pixels are below 10, its resolution there 1e-6.
        assert np.allclose(part.x, (pixels[indices] - mean) / deviation, rtol=0, atol=2e-6)
        assert np.array_equal(part.y, y[indices])
    assert np.abs(digits.train.x.mean(axis=0, dtype=np.float64)).max() < 1e-6  # likewise
    assert np.abs(digits.val.x.mean(axis=0, dtype=np.float64)).max() > 1e-3  # had val been part of it, this were less


def test_a_pixel_that_never_changes_is_zero(digits):
    constant = digits.train.x.min(axis=0) == digits.train.x.max(axis=0)
    assert constant.any()
    assert not digits.train.x[:, constant].any()


def test_fewer_training_examples_are_a_stratified_part_of_all(digits):
    few = load_splits(DataSpec("digits", train_examples=200))
    assert len(few.train) == 200
    assert rows(few.train) < rows(digits.train)
    assert np.bincount(few.train.y, minlength=10).min() >= 19  # about 20 of each class
    assert np.array_equal(few.val.x, digits.val.x)
    assert few.fingerprint != digits.fingerprint


@pytest.mark.parametrize("n", [0, 9, 1080, -1])
def test_too_few_or_too_many_examples_are_refused(n):
    with pytest.raises(DataError, match=f"train_examples must be between 10 and 1079 for digits, got {n}"):
        load_splits(DataSpec("digits", train_examples=n))


def test_an_unknown_data_set_is_refused():
    with pytest.raises(DataError, match="unknown data set 'digist'; known: digits, mnist, fashion_mnist"):
        load_splits(DataSpec("digist"))


ONE = Arrays(np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1]))


@pytest.mark.parametrize(
    "other",
    [
        Arrays(np.array([[0, 0], [0, 0], [0, 0], [0, 1e-30]], np.float32), ONE.y),
        Arrays(ONE.x, np.array([0, 1, 1, 1])),
        Arrays(ONE.x.reshape(2, 4), ONE.y),
        Arrays(ONE.x.astype(np.float64), ONE.y),
        Arrays(ONE.x[:3], ONE.y[:3]),
    ],
    ids=["one value", "one label", "shape", "type", "fewer"],
)
def test_the_fingerprint_changes_when_the_data_changes(other):
    assert fingerprint(other) != fingerprint(ONE)
    assert fingerprint(ONE, other) != fingerprint(other, ONE)


def test_the_fingerprint_does_not_depend_on_the_layout_in_memory():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    y = np.arange(3)
    assert fingerprint(Arrays(np.asfortranarray(x), y)) == fingerprint(Arrays(x, y))
    assert len(fingerprint(ONE)) == 64


@pytest.mark.parametrize("seed", [0, 5, 2**32 - 1])
def test_splits_are_disjoint_sorted_and_of_the_sizes_asked_for(seed):
    y = np.repeat(np.arange(4), 25)
    parts = stratified_split(y, (20, 30, 10), seed=seed)
    assert [len(p) for p in parts] == [20, 30, 10]
    assert len(set(np.concatenate(parts))) == 60
    assert all(np.array_equal(p, np.sort(p)) for p in parts)
    assert all(np.ptp(np.bincount(y[p], minlength=4)) <= 1 for p in parts)
    everything = stratified_split(y, (60, 40), seed=seed)
    assert np.array_equal(np.sort(np.concatenate(everything)), np.arange(100))


@pytest.mark.parametrize("name", TORCHVISION)
def test_an_absent_data_set_names_the_path_and_the_flag(name, tmp_path):
    with pytest.raises(DataError) as caught:
        load_splits(DataSpec(name, data_dir=str(tmp_path)))
    assert f"data set {name!r} is not in {tmp_path / TORCHVISION[name] / 'raw'}" in str(caught.value)
    assert "--download fetches it" in str(caught.value)
    with pytest.raises(DataError, match=rf"data set {name!r} needs --data-dir FOLDER .*, or --download"):
        load_splits(DataSpec(name))


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_damaged_data_set_is_reported(image_folder, tmp_path, damage):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (image_folder / "MNIST" / "raw").iterdir():
        (raw / file.name).write_bytes(file.read_bytes())
    images = raw / "train-images-idx3-ubyte"
    content = {"truncated": images.read_bytes()[:-1000], "empty": b"", "text": b"no images here, only words"}
    images.write_bytes(content[damage])
    with pytest.raises(DataError, match=r"data set 'mnist' in .*raw cannot be read.*--download"):
        load_splits(DataSpec("mnist", data_dir=str(tmp_path)))


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_files_are_read_and_split(image_folder, name):
    spec = DataSpec(name, data_dir=str(image_folder))
    splits, test = load_splits(spec), load_test(spec)
    assert (len(splits.train), len(splits.val), len(test)) == (60, 10_000, 100)
    assert splits.train.x.shape == (60, 1, 28, 28)
    assert splits.train.x.dtype == np.float32
    assert np.array_equal(np.bincount(splits.train.y), [6] * 10)
    assert np.array_equal(test.y, np.arange(100) % 10)
    assert np.abs(splits.train.x.mean(axis=0, dtype=np.float64)).max() < 1e-6  # float32 around 1


def test_every_named_data_set_is_among_these_tests():
    assert set(DATASETS) == {"digits", *TORCHVISION, *TABLES}


@pytest.mark.skipif("LANEWISE_DATA" not in os.environ, reason="LANEWISE_DATA names no folder with MNIST in it")
def test_the_real_mnist_files_are_read_and_split():
    spec = DataSpec("mnist", data_dir=os.environ["LANEWISE_DATA"])
    splits, test = load_splits(spec), load_test(spec)
    assert (len(splits.train), len(splits.val), len(test)) == (50_000, 10_000, 10_000)
    assert splits.classes == 10
    assert np.bincount(test.y)[:3].tolist() == [980, 1135, 1032]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_standardised_by_its_training_part(name):
    n, columns, classes = TABLES[name]
    splits, test = load_splits(DataSpec(name)), load_test(DataSpec(name))
    assert len(splits.train) + len(splits.val) + len(test) == n
    assert (splits.shape, splits.classes, splits.test_examples) == ((columns,), classes, len(test))
    assert splits.train.x.dtype == np.float32
    # float32 around 1, some hundred examples
    assert np.abs(splits.train.x.mean(axis=0, dtype=np.float64)).max() < 1e-6
    assert np.allclose(splits.train.x.std(axis=0, dtype=np.float64), 1, rtol=0, atol=1e-6)
    assert np.abs(splits.val.x.mean(axis=0, dtype=np.float64)).max() > 1e-3  # not standardised by itself
    assert len(rows(splits.train) & rows(test)) <= 1  # iris holds one flower twice


def test_a_numeric_target_is_standardised_and_its_scale_kept():
    from sklearn.datasets import load_diabetes

    splits, test = load_splits(DataSpec("diabetes")), load_test(DataSpec("diabetes"))
    assert splits.task is Task.REGRESSION
    assert splits.outputs == 1
    assert splits.train.y.dtype == np.float32
    assert abs(splits.train.y.mean(dtype=np.float64)) < 1e-6
    assert splits.train.y.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    own = np.concatenate(
        [part.y * splits.scale.deviation + splits.scale.mean for part in (splits.train, splits.val, test)]
    )
    expected = load_diabetes(return_X_y=True)[1]
    assert np.allclose(np.sort(own), np.sort(expected), rtol=0, atol=1e-3)  # float32 of hundreds


def test_fewer_training_examples_of_a_number_are_drawn_at_random():
    few = load_splits(DataSpec("diabetes", train_examples=50))
    assert len(few.train) == 50
    assert rows(few.train) < rows(load_splits(DataSpec("diabetes")).train)


def test_a_random_split_is_disjoint_and_fixed_by_its_seed():
    parts = random_split(100, (20, 30, 40), seed=3)
    assert [len(p) for p in parts] == [20, 30, 40]
    assert len(set(np.concatenate(parts).tolist())) == 90
    assert all(np.array_equal(a, b) for a, b in zip(parts, random_split(100, (20, 30, 40), seed=3), strict=True))
    assert not np.array_equal(parts[0], random_split(100, (20, 30, 40), seed=4)[0])


@pytest.mark.parametrize("name", ["digits", "wine", "diabetes"])
def test_a_re_split_cuts_train_and_validation_anew_and_leaves_the_test_part(name):
    before = load_splits(DataSpec(name))
    after = resplit(before, seed=7)
    assert (len(after.train), len(after.val)) == (len(before.train), len(before.val))
    assert rows(after.train, after.val) == rows(before.train, before.val)
    assert not rows(after.train, after.val) & rows(load_test(DataSpec(name)))
    moved = rows(after.val) - rows(before.val)
    assert len(moved) > len(before.val) / 2
    pairs = {(x.tobytes(), y) for part in (before.train, before.val) for x, y in zip(part.x, part.y, strict=True)}
    assert pairs == {(x.tobytes(), y) for part in (after.train, after.val) for x, y in zip(part.x, part.y, strict=True)}


def test_a_re_split_depends_on_its_seed_alone_and_keeps_the_proportions():
    before = load_splits(DataSpec("wine"))
    first, again, other = (resplit(before, seed=seed) for seed in (1, 1, 2))
    assert fingerprint(first.train, first.val) == fingerprint(again.train, again.val)
    assert rows(first.val) != rows(other.val)
    whole = np.bincount(np.concatenate([before.train.y, before.val.y])) / (len(before.train) + len(before.val))
    for split in (first, other):
        assert np.abs(np.bincount(split.val.y) - whole * len(split.val)).max() <= 1
