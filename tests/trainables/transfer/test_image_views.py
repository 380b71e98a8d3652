from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainables.transfer.conftest import CPU
from trainables.transfer.image_views import ImageViews
from trainables.transfer.preprocessing import Normalise, Preprocessing, channel_statistics

PLAIN = Preprocessing(0, 0, (0.5,), (0.25,))


def image_views(splits, *, views=3, preprocessing=PLAIN):
    return ImageViews(splits, preprocessing, device=CPU, views=views)


@pytest.mark.parametrize("augmentation", ["flip_crop", "trivial_augment"])
def test_views_are_a_fixed_number_of_other_bytes_drawn_once_for_all(splits, augmentation):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = image_views(splits).train(augmentation)
    assert torch.equal(torch.get_rng_state(), before), "the global generator is left as it was"
    torch.manual_seed(77)
    again = image_views(splits).train(augmentation)
    assert torch.equal(first, again)
    assert first.dtype == torch.uint8 and len(first) == 3 * len(splits.train)
    n = len(splits.train)
    assert not torch.equal(first[:n], first[n : 2 * n])
    assert not torch.equal(first[:n], torch.from_numpy(splits.train.x))


@pytest.mark.parametrize("augmentation", ["none", "flip_crop", "trivial_augment"])
def test_large_views_lie_in_a_file_with_the_same_bytes(splits, augmentation, monkeypatch, tmp_path):
    found = image_views(splits, preprocessing=Preprocessing(12, 10, (0.5,), (0.25,))).train(augmentation)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("trainables.data.memory.MAPPED_FROM_BYTES", 1)
    monkeypatch.setattr("trainables.transfer.image_views.AT_ONCE", len(splits.train))
    mapped = image_views(splits, preprocessing=Preprocessing(12, 10, (0.5,), (0.25,))).train(augmentation)
    assert torch.equal(found, mapped)
    assert str(tmp_path) in Path("/proc/self/maps").read_text()
    assert not [*(tmp_path / "lanewise").iterdir()], "it has no name, so nothing has to remove it"


def test_what_resizing_and_cutting_bring_back_to_its_size_is_still_changed(splits):
    found = image_views(splits, preprocessing=Preprocessing(12, 8, (0.5,), (0.25,))).train("none")
    assert found.shape[2:] == splits.train.x.shape[2:]
    assert not torch.equal(found, torch.from_numpy(splits.train.x))


@pytest.mark.parametrize("augmentation", ["flip_crop", "trivial_augment"])
def test_views_do_not_depend_on_how_many_images_are_augmented_at_a_time(splits, augmentation, monkeypatch):
    whole = image_views(splits).train(augmentation)
    monkeypatch.setattr("trainables.transfer.image_views.AT_ONCE", 7)
    assert torch.equal(image_views(splits).train(augmentation), whole)


def test_a_moved_and_mirrored_image_is_the_same_image_moved_and_mirrored(splits):
    images = torch.from_numpy(splits.train.x)
    for image, view in zip(images[:20], image_views(splits).train("flip_crop"), strict=False):
        candidates = [
            torch.nn.functional.pad(turned, (1, 1, 1, 1))[:, down : down + 8, right : right + 8]
            for turned in (image, image.flip(2))
            for down in range(3)
            for right in range(3)
        ]
        assert any(torch.equal(view, candidate) for candidate in candidates)


def test_without_augmentation_there_is_one_view_the_images_themselves(splits):
    found = image_views(splits)
    assert found.views("none") == 1 and found.views("flip_crop") == 3
    assert torch.equal(found.train("none"), torch.from_numpy(splits.train.x))


def test_images_are_resized_and_cut_once(splits):
    found = image_views(splits, preprocessing=Preprocessing(32, 28, (0.5,), (0.25,)))
    assert found.val.shape == (len(splits.val), 1, 28, 28) and found.val.dtype == torch.uint8


def test_grey_bytes_become_three_normalised_channels():
    x = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    found = Normalise(Preprocessing(0, 0, (0.5, 0.4, 0.3), (0.5, 0.2, 0.1)))(x)
    assert found.shape == (1, 3, 1, 2)
    np.testing.assert_allclose(found[0, :, 0].numpy(), [[-1, 1], [-2, 3], [-3, 7]], rtol=1e-5)


def test_statistics_are_those_of_the_channels():
    images = torch.randint(256, (5, 3, 4, 4), dtype=torch.uint8)
    mean, deviation = channel_statistics(images)
    values = images.double().transpose(0, 1).flatten(1) / 255
    np.testing.assert_allclose(mean, values.mean(1).numpy())
    np.testing.assert_allclose(deviation, values.std(1, correction=0).numpy())
    assert channel_statistics(torch.zeros(2, 1, 2, 2, dtype=torch.uint8)) == ((0.0,), (1.0,))
