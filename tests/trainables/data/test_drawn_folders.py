"""Folders of images drawn as people have them: the same images and labels come back, or one line says why not."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support.image_folders import spec_of
from trainables.data import load_splits, load_test
from trainables.data.split_folders import part_named
from trainables.errors import DataError

SIDE = 12
SAVED = {
    "png": "PNG",
    "PNG": "PNG",
    "": "PNG",
    "jpg": "PNG",
    "dat": "BMP",
    "gif": "GIF",
    "tif": "TIFF",
    "TIFF": "TIFF",
    "bmp": "BMP",
    "tga": "TGA",
}
"""How images are saved, none of them with a loss, by their endings: right, in capitals, none, wrong, unknown."""

MODES = ("L", "RGB", "RGBA", "LA", "P", "I;16", "F")
OF_MODES = {
    "I;16": ("png", "tif", "TIFF", ""),
    "F": ("tif", "TIFF"),
    "LA": ("png", "PNG", "", "tga"),
    "RGBA": ("png", "PNG", "", "jpg", "tif", "tga"),
}
"""The endings with which a mode can be saved, where not with all."""

PARTS = (
    (),
    ("train",),
    ("Training", "TEST"),
    ("train", "valid"),
    ("trn", "dev", "holdout"),
    ("training_set", "Validation", "testing"),
)
EXTRAS = ("hidden", "service", "thumbs", "text", "loop", "pipe", "dead", "linked", "wrapper")
BREAKS = ("empty class", "part among classes", "two trains", "damaged", "stranger", "no train")


@dataclass(frozen=True)
class Drawn:
    """How a folder is made: its parts, modes and endings of images, what else lies in it, and what is wrong with it."""

    parts: tuple[str, ...]
    saved: tuple[tuple[str, str], ...]
    extras: frozenset[str]
    broken: str | None


@st.composite
def folders(draw):
    saved = []
    for _ in range(4):
        mode = draw(st.sampled_from(MODES))
        saved.append((mode, draw(st.sampled_from(OF_MODES.get(mode, tuple(SAVED))))))
    extras = draw(st.frozensets(st.sampled_from(EXTRAS), max_size=4))
    return Drawn(draw(st.sampled_from(PARTS)), tuple(saved), extras, draw(st.none() | st.sampled_from(BREAKS)))


def picture(number):
    """Return the picture of a number  # uint8 [SIDE, SIDE]; it has the least and the greatest value, and a range so."""
    pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    pixels[0, :2] = (0, 255)
    return pixels


def save(pixels, file, mode, ending):
    if mode == "I;16":
        image = Image.fromarray(pixels.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(pixels.astype(np.float32) / 255)
    elif mode == "P":
        image = Image.fromarray(255 - pixels, "P")
        image.putpalette(np.repeat(np.arange(255, -1, -1, dtype=np.uint8), 3).tobytes())
    else:
        image = Image.fromarray(pixels).convert(mode)
    image.save(file.with_suffix(f".{ending}" if ending else ""), format=SAVED[ending])


def write(drawn, root):
    """Write the folder; return what should be read: for each part a set of class and picture."""
    base, expected, number = root / "data" / "pets", {}, 0
    inside = base / "inner" if "wrapper" in drawn.extras else base
    for part in drawn.parts or (".",):
        for name in ("cat", "dog"):
            (inside / part / name).mkdir(parents=True)
            for _ in range(5):
                pixels = picture(number)
                save(pixels, inside / part / name / f"{number}", *drawn.saved[number % len(drawn.saved)])
                expected.setdefault(part_named(part) or "train", set()).add((name, pixels.tobytes()))
                number += 1
    first = inside / (drawn.parts or (".",))[0]
    add(drawn.extras, first / "cat", root)
    if drawn.broken is not None:
        ruin(drawn.broken, inside, first)
    return base, expected


def add(extras, folder, root):
    """Put beside the images of a class what changes nothing."""
    images = sorted(file for file in folder.iterdir())
    if "hidden" in extras:
        shutil.copytree(folder, folder / ".ipynb_checkpoints")
    if "service" in extras:
        shutil.copytree(folder.parent / "dog", folder / "@eaDir")
    if "thumbs" in extras:
        shutil.copy(images[0], folder / "Thumbs.db")
    if "text" in extras:
        (folder / "labels.csv").write_text("file,label\n")
    if "loop" in extras:
        (folder / "up").symlink_to("..")
    if "pipe" in extras:
        os.mkfifo(folder / "pipe.png")
    if "dead" in extras:
        (folder / "dead.png").symlink_to("nowhere.png")
    if "linked" in extras:
        pool = root / "pool"
        pool.mkdir()
        images[0].rename(pool / images[0].name)
        images[0].symlink_to(pool / images[0].name)
        (folder / "again.png").symlink_to(images[1])


def ruin(broken, inside, first):
    """Make the folder one that cannot be read in one way."""
    image = next(file for file in sorted((first / "dog").iterdir()))
    if broken == "empty class":
        (first / "emu").mkdir()
    elif broken == "part among classes":
        (first / "test").mkdir()
        shutil.copy(image, first / "test")
    elif broken == "two trains":
        for name in ("train", "TRAIN"):
            (inside / name / "dog").mkdir(parents=True, exist_ok=True)
            shutil.copy(image, inside / name / "dog")
    elif broken == "damaged":
        image.write_bytes(image.read_bytes()[:60])
    elif broken == "stranger":
        (inside / "validation" / "cot").mkdir(parents=True)
        shutil.copy(image, inside / "validation" / "cot")
    elif first != inside:
        first.rename(inside / "tst")
    else:
        (first / "cat").rename(first / "val")


def content(arrays, labels):
    return {(labels[y], x[0].tobytes()) for x, y in zip(arrays.x, arrays.y, strict=True)}


@given(folders())
def test_a_folder_gives_its_images_and_labels_or_a_line(drawn):
    with tempfile.TemporaryDirectory() as root:
        folder, expected = write(drawn, Path(root))
        spec = spec_of(folder, image_size=SIDE, pixels=True)
        try:
            splits = load_splits(spec)
        except DataError as error:
            assert drawn.broken is not None, error
            for line in error.errors:
                assert line.startswith(f"--data images:{folder}")
                assert "\n" not in line
            return
        found = {"train": splits.train, "val": splits.val, "test": load_test(spec)}
        read = {part: content(arrays, splits.labels) for part, arrays in found.items()}
        assert sum(map(len, found.values())) == sum(map(len, expected.values()))  # none twice
        assert set.union(*read.values()) == set.union(*expected.values())
        for part in {"val", "test"} & expected.keys():
            assert read[part] == expected[part]
        assert drawn.broken is None or any(notice.warning for notice in splits.notices)
