"""A user's own folder of images: its layouts, what decoding does, and what bad folders get."""

import os

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.support.image_folders import CLASSES, drawn, error_of, fill, notices_of, spec_of
from trainables.data import DataSpec, load_splits, load_test, memory, pixel_scaling
from trainables.data.image_formats import endings
from trainables.data.image_listing import list_images
from trainables.data.memory import allocate, is_mapped
from trainables.data.pixels import decode_images
from trainables.device_data import DeviceData
from trainables.errors import DataError
from trainables.notice import texts_of


def fitted(file, size=8):
    with Image.open(file) as opened:
        image = ImageOps.fit(opened.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def test_an_image_of_too_many_pixels_is_skipped_with_the_reason(tmp_path):
    from PIL import Image

    folder = fill(tmp_path / "pets", each=80)
    name = sorted(path.name for path in folder.iterdir())[0]
    Image.new("1", (20_000, 20_000)).save(folder / name / "huge.png")
    notice = notices_of(folder)["skipped_images"]
    assert "images are not decoded (more pixels than Pillow takes)" in notice.text
    assert notice.names == (f"{name}/huge.png",)


def test_images_in_folders_of_classes_alone_are_split_into_parts(tmp_path):
    splits = load_splits(spec_of(fill(tmp_path / "pets")))
    test = load_test(spec_of(tmp_path / "pets"))
    assert (len(splits.train), len(splits.val), len(test)) == (36, 12, 12)
    assert [np.bincount(part.y).tolist() for part in (splits.train, splits.val, test)] == [[12] * 3, [4] * 3, [4] * 3]
    assert (splits.name, splits.labels, splits.classes) == ("pets", CLASSES, 3)
    assert splits.shape == (3, 8, 8)
    assert (splits.train.x.dtype, splits.train.y.dtype) == (np.float32, np.int64)
    assert tuple(texts_of(splits.notices)) == ("images: 60, RGB, as 3 x 8 x 8",)
    rows = {row.tobytes() for part in (splits.train, splits.val, test) for row in part.x}
    assert len(rows) == 60  # no image is in two parts


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [
        (("train",), (36, 12, 12)),
        (("train", "val"), (48, 15, 12)),
        (("train", "test"), (48, 12, 15)),
        (("train", "val", "test"), (60, 15, 15)),
    ],
)
def test_parts_that_have_no_folder_are_cut_from_train(tmp_path, parts, sizes):
    for i, part in enumerate(parts):
        fill(tmp_path / "pets" / part, each=20 if part == "train" else 5, seed=i)
    splits, test = load_splits(spec_of(tmp_path / "pets")), load_test(spec_of(tmp_path / "pets"))
    assert (len(splits.train), len(splits.val), len(test)) == sizes
    for part, found in (("val", splits.val), ("test", test)):
        if part in parts:
            assert np.array_equal(found.y, np.repeat([0, 1, 2], 5))
        assert set(found.y.tolist()) == {0, 1, 2}


def test_statistics_come_from_the_training_part_alone(tmp_path):
    for i, part in enumerate(("train", "val", "test")):
        fill(tmp_path / "pets" / part, each=6, seed=i)
    before = load_splits(spec_of(tmp_path / "pets"))
    files = sorted((tmp_path / "pets" / "train").rglob("*.png"))
    pixels = np.stack([fitted(file) for file in files]).astype(np.float64)
    mean, deviation = pixels.mean(axis=0), pixels.std(axis=(0, 2, 3))[:, None, None]
    assert np.allclose(before.train.x, (pixels - mean) / deviation, rtol=0, atol=1e-5)  # float32 below 10
    fill(tmp_path / "pets" / "val", each=6, seed=9)
    after = load_splits(spec_of(tmp_path / "pets"))
    assert np.array_equal(after.train.x, before.train.x)
    assert not np.array_equal(after.val.x, before.val.x)


def test_a_pixel_and_a_channel_that_never_change_in_train_are_zero(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "val", "test"):
        for name in CLASSES:
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(5):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                pixels[0, 0], pixels[..., 2] = 77, 200
                Image.fromarray(pixels).save(tmp_path / part / name / f"{i}.png")
    splits = load_splits(spec_of(tmp_path))
    assert not splits.train.x[:, :, 0, 0].any()
    assert not splits.train.x[:, 2].any()
    assert splits.train.x[:, :2].std() > 0.5


def test_grey_images_keep_one_channel_unless_one_is_coloured(tmp_path):
    grey = load_splits(spec_of(fill(tmp_path / "grey", mode="L")))
    assert grey.shape == (1, 8, 8)
    assert tuple(texts_of(grey.notices)) == ("images: 60, grey, as 1 x 8 x 8",)
    drawn(np.random.default_rng(1)).save(tmp_path / "grey" / "red" / "coloured.png")
    mixed = decode_images(list_images(tmp_path / "grey").files, 8).pixels
    assert mixed.shape == (61, 3, 8, 8)
    assert (mixed[:60, 0] == mixed[:60, 1]).all()
    assert not (mixed[60, 0] == mixed[60, 1]).all()


def test_the_files_and_classes_are_those_of_torchvision(tmp_path):
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import IMG_EXTENSIONS

    assert endings().issuperset(IMG_EXTENSIONS)
    fill(tmp_path)
    (tmp_path / "red" / "more").mkdir()
    drawn(np.random.default_rng(2)).save(tmp_path / "red" / "more" / "a.JPG")
    listing, theirs = list_images(tmp_path), ImageFolder(tmp_path)
    ours = [(str(file), CLASSES.index(name)) for file, name in zip(listing.files, listing.class_name, strict=True)]
    assert ours == theirs.samples
    assert {name: i for i, name in enumerate(CLASSES)} == theirs.class_to_idx


def test_the_shorter_side_is_fitted_and_the_centre_kept(tmp_path):
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = (0, 250, 0)
    pixels[:, 80:] = (0, 0, 250)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    (found,) = decode_images([tmp_path / "wide.png"], 8).pixels
    assert (found[1, :, 1:-1] == 250).all()
    assert found[[0, 2]].max() < 50  # the filter reaches a little over the edges of the cut


MODES = [
    ("RGBA", (10, 20, 30, 255), "a.png", (10, 20, 30)),
    ("L", 77, "a.png", (77,)),
    ("LA", (77, 255), "a.png", (77,)),
    ("1", 1, "a.png", (255,)),
    ("P", 3, "a.png", (0, 0, 0)),
    ("CMYK", (0, 255, 255, 0), "a.tif", (255, 0, 0)),
    ("RGB", (10, 20, 30), "a.bmp", (10, 20, 30)),
    ("RGB", (10, 20, 30), "a.webp", (10, 20, 30)),
]


@pytest.mark.parametrize(("mode", "colour", "name", "expected"), MODES, ids=[f"{m} {n}" for m, _, n, _ in MODES])
def test_every_image_mode_becomes_grey_or_rgb(tmp_path, mode, colour, name, expected):
    image = Image.new(mode, (6, 6), colour)
    if mode == "P":
        image.putpalette([0] * 768)
    image.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    found = decode_images([tmp_path / name], 4)
    assert found.whole.all()
    assert np.array_equal(found.pixels[0, :, 1, 1], expected)


def test_a_large_jpeg_is_decoded_at_less_than_its_size(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((960, 960)).save(tmp_path / "a.jpg")
    (found,) = decode_images([tmp_path / "a.jpg"], 8).pixels
    assert np.abs(found.astype(int) - fitted(tmp_path / "a.jpg")).max() <= 8  # of 255: JPEG's own scaling averages


def test_the_memory_map_has_the_same_bytes_as_memory(tmp_path, monkeypatch):
    spec = spec_of(fill(tmp_path / "pets"))
    plain, plain_test = load_splits(spec), load_test(spec)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "MAPPED_FROM_BYTES", 1)
    monkeypatch.setattr(pixel_scaling, "BLOCK_PIXELS", 7 * 3 * 8 * 8)
    os.utime(tmp_path / "pets" / "red" / "000.png")  # what was read before is not what is read now
    mapped, mapped_test = load_splits(spec), load_test(spec)
    assert not is_mapped(plain.train.x)
    assert is_mapped(mapped.train.x)
    assert is_mapped(mapped_test.x)
    assert mapped.fingerprint == plain.fingerprint
    assert np.array_equal(mapped_test.x, plain_test.x)
    assert (tmp_path / "cache" / "lanewise").is_dir()
    assert not list((tmp_path / "cache" / "lanewise").iterdir())  # nothing is left when the process ends


def test_a_mapped_array_stays_in_its_file_on_the_way_to_training(tmp_path, monkeypatch):
    import torch

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "MAPPED_FROM_BYTES", 1)
    splits = load_splits(spec_of(fill(tmp_path / "pets")))
    data = DeviceData.of(splits, torch.device("cpu"))
    assert data.x_train.data_ptr() == splits.train.x.ctypes.data
    assert torch.equal(data.x_train, torch.tensor(splits.train.x))


def test_decoded_images_that_do_not_fit_on_the_disk_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"1048576\.0 GiB of decoded examples do not fit in .*XDG_CACHE_HOME names"):
        allocate((1 << 50,), np.uint8)


def damage(folder, count):
    """Cut ``count`` files short, each in a way of its own."""
    files = sorted(folder.rglob("*.png"))[:: max(1, 200 // max(count, 1))][:count]
    for i, file in enumerate(files):
        whole = file.read_bytes()
        file.write_bytes((whole[: len(whole) // 2], b"", b"no image at all")[i % 3])
    return files


def test_a_few_damaged_images_are_skipped_and_named(tmp_path):
    fill(tmp_path / "pets", each=100, classes=("cat", "dog"))
    (bad,) = damage(tmp_path / "pets", 1)  # 0.5%
    splits = load_splits(spec_of(tmp_path / "pets"))
    assert len(splits.train) + len(splits.val) + splits.test_examples == 199
    assert splits.notices[1].text == (
        f"skipped, 1 of 200 images cannot be decoded: '{bad.relative_to(tmp_path / 'pets')}'"
    )


def test_many_damaged_images_are_refused(tmp_path):
    fill(tmp_path / "pets", each=100, classes=("cat", "dog"))
    assert len(damage(tmp_path / "pets", 10)) == 10  # 5%
    line = error_of(tmp_path / "pets")
    assert "10 of 200 images cannot be decoded: 'cat/000.png', 'cat/020.png', 'cat/040.png', 'cat/060.png', " in line
    assert line.endswith("and 5 more; up to 1% would be skipped")


def test_a_class_that_damage_leaves_too_small_is_refused(tmp_path):
    fill(tmp_path / "pets", each=100, classes=("cat", "dog"))
    fill(tmp_path / "pets", each=3, classes=("emu",), seed=1)
    (tmp_path / "pets" / "emu" / "000.png").write_bytes(b"")
    assert error_of(tmp_path / "pets").endswith(": a class needs at least 3 examples; 'emu' has 2")


def build(tmp_path, layout):
    for i, (name, each) in enumerate(layout.items()):
        fill(tmp_path / "d" / name, each=each, classes=("",), seed=i)
    (tmp_path / "d").mkdir(exist_ok=True)
    return tmp_path / "d"


BAD = [
    ({}, " has no folders; expected one for each class, or train/ with these inside"),
    ({"a": 0, "b": 0}, ": no image in its folders 'a', 'b'"),
    ({"a": 10}, " has 1 class(es) ('a'); at least two are needed"),
    ({"a": 10, "b": 2}, ": a class needs at least 3 examples; 'b' has 2"),
    ({"a": 4, "b": 3}, ": 7 examples are too few for 2 classes, of which validation and test need one each; at least"),
    ({"val/a": 5, "test/a": 5}, " has test and val but no train"),
    ({"train/a": 9, "train/b": 9, "val/a": 5, "val/c": 5}, ": val has classes that train has not: 'c'"),
]


@pytest.mark.parametrize(("layout", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_images_folder_gets_its_one_line(tmp_path, layout, said):
    assert error_of(build(tmp_path, layout)).removeprefix(f"--data images:{tmp_path / 'd'}").startswith(said)


def test_every_part_with_strangers_is_named_at_once(tmp_path):
    folder = build(tmp_path, {"train/a": 9, "train/b": 9, "val/c": 5, "test/d": 5})
    with pytest.raises(DataError) as caught:
        load_splits(spec_of(folder))
    assert [line.rpartition(": ")[2] for line in caught.value.errors] == ["'c'", "'d'"]


def test_what_lies_beside_train_is_said_and_hidden_folders_are_not_read(tmp_path):
    folder = build(tmp_path, {"train/a": 9, "train/b": 9, "extra/c": 2, ".hidden": 2, "train/.cache": 1})
    splits = load_splits(spec_of(folder))
    assert splits.labels == ("a", "b")
    assert tuple(texts_of(splits.notices[1:])) == (
        "parts: 'train' for training",
        "not read, beside train/: 'extra'",
        "not read, hidden or a system's own: 3 files ('.hidden' 2, 'train/.cache')",
    )


def test_an_image_class_may_be_called_train_inside_the_training_part(tmp_path):
    splits = load_splits(spec_of(build(tmp_path, {"train/plane": 9, "train/train": 9})))
    assert splits.labels == ("plane", "train")


def test_an_images_folder_without_read_permission_is_named(tmp_path, unprivileged):
    folder = fill(tmp_path / "pets")
    load_splits(spec_of(folder))  # whoever has no permissions cannot import the rest either
    (folder / "red").chmod(0)
    try:
        with unprivileged(), pytest.raises(DataError) as caught:
            load_splits(spec_of(folder, seed=1))
    finally:
        (folder / "red").chmod(0o755)
    assert "cannot be read: Permission denied" in str(caught.value) or "no such folder" in str(caught.value)


def test_an_absent_images_folder_is_named(tmp_path):
    assert error_of(tmp_path / "nowhere").endswith("there is no such folder")


def test_a_file_in_place_of_the_images_folder_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n")
    assert error_of(tmp_path / "a.csv").endswith("is a file; expected a folder (--data table:FILE takes a table)")


@pytest.mark.skipif("LANEWISE_DATA" not in os.environ, reason="LANEWISE_DATA names no folder with images in it")
def test_real_photographs_are_decoded():
    folder = f"{os.environ['LANEWISE_DATA']}/cifar10_images"
    splits = load_splits(DataSpec("cifar10_images", source="images", path=folder))
    assert (len(splits.train), len(splits.val), splits.test_examples) == (8000, 2000, 2000)
    assert splits.classes == 10
    assert np.abs(splits.train.x.mean(axis=0, dtype=np.float64)).max() < 1e-5  # float32 around 1
