"""Folders of small images, made as a user might have them, and what reading them says."""

import numpy as np
import pytest
from PIL import Image

from trainables.data import DataSpec, load_splits
from trainables.errors import DataError

CLASSES = ("blue", "green", "red")


def drawn(rng, mode="RGB"):
    shape = (10, 12, 3) if mode == "RGB" else (10, 12)
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))


def fill(folder, *, each=20, classes=CLASSES, mode="RGB", ending="png", seed=0):
    """Write ``each`` images of every class, a folder a class."""
    rng = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            drawn(rng, mode).save(folder / name / f"{i:03}.{ending}")
    return folder


def spec_of(folder, **values):
    return DataSpec(folder.name, source="images", path=str(folder), **{"image_size": 8, **values})


def error_of(folder, **values):
    with pytest.raises(DataError) as caught:
        load_splits(spec_of(folder, **values))
    (line,) = caught.value.errors
    assert line.startswith(f"--data images:{folder}")
    return line


def notices_of(folder, **values):
    """Return the notices on a folder, by kind."""
    return {notice.kind: notice for notice in load_splits(spec_of(folder, **values)).notices}
