import numpy as np
import pytest

from trainables.data import DataSpec, load_splits
from trainables.errors import DataError
from trainables.notice import texts_of


def test_the_halves_of_the_classes_share_none_and_together_are_all():
    first, second, whole = (
        load_splits(DataSpec("digits", pixels=True, half=half)) for half in ("first", "second", None)
    )
    assert (first.classes, second.classes, whole.classes) == (5, 5, 10)
    assert len(first.train) + len(second.train) == len(whole.train)
    assert tuple(texts_of(second.notices)) == ("classes: 5, 6, 7, 8, 9, the second half of 10",)
    kept = whole.train.y >= 5
    assert np.array_equal(second.train.x, whole.train.x[kept]) and np.array_equal(
        second.train.y, whole.train.y[kept] - 5
    )


def test_pixels_are_bytes_of_the_same_images():
    centred, pixels = (load_splits(DataSpec("digits", pixels=choice)) for choice in (False, True))
    assert pixels.train.x.dtype == np.uint8 and pixels.train.x.max() == 255
    assert np.array_equal(centred.train.y, pixels.train.y)
    scaled = pixels.train.x / 255
    found = (scaled - scaled.mean(0)) / scaled.std()
    np.testing.assert_allclose(found, centred.train.x, atol=0.01)


def test_fewer_than_four_classes_cannot_be_halved(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("ant", "bee", "cat"):
        (tmp_path / name).mkdir()
        for i in range(8):
            Image.fromarray(rng.integers(256, size=(8, 8), dtype=np.uint8)).save(tmp_path / name / f"{i}.png")
    spec = DataSpec(tmp_path.name, source="images", path=str(tmp_path), image_size=8, pixels=True, half="second")
    with pytest.raises(DataError, match="has 3 classes; at least 4 are needed to learn from one half and transfer to"):
        load_splits(spec)


def test_a_table_asked_for_pixels_is_refused():
    with pytest.raises(
        DataError, match="wine has no images; data sets that have: digits, mnist, fashion_mnist, or images"
    ):
        load_splits(DataSpec("wine", pixels=True))
