"""The weights that come with the package, and when they are used."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trainables.transfer.conftest import TRANSFER, configured, started
from trainables.data import DataSpec, load_splits
from trainables.transfer.config import chosen_weights
from trainables.transfer.initial_weights import load_weights
from trainables.transfer.shipped_weights import FILE

MOST_BYTES = 4_000_000
PROJECT = Path(__file__).parents[3]


def silent(line):
    raise AssertionError(f"nothing takes long here: {line}")


def photos(folder, *, size, classes=2, each=12):
    """Write images by class, each class of a colour of its own."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for i in range(each):
            pixels = rng.integers(60 * label, 60 * label + 80, size=(size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class{label}" / f"{i}.png")
    return DataSpec(folder.name, source="images", path=str(folder), image_size=size, pixels=True)


def test_the_file_is_small_finite_and_a_part_of_the_package(tmp_path):
    found = load_weights(configured(), load_splits(photos(tmp_path / "photos", size=24)), silent)
    assert FILE.stat().st_size <= MOST_BYTES
    assert all(torch.isfinite(tensor).all() for tensor in found.state.values())
    assert found.origin.startswith("cifar10, shipped with the package (") and found.sha256[:16] in found.origin
    assert '"transfer/shipped/*"' in (PROJECT / "pyproject.toml").read_text()


@pytest.mark.parametrize(("size", "input_size", "seen"), [(64, 0, 64), (24, 0, 24), (8, 0, 32), (40, 96, 96)])
def test_they_see_images_as_they_are_and_thumbnails_enlarged(size, input_size, seen, tmp_path):
    splits = load_splits(photos(tmp_path / "photos", size=size))
    found = load_weights(configured(input_size=input_size), splits, silent)
    assert (found.preprocessing.resize, found.preprocessing.crop) == (seen, seen)
    assert started(splits, freeze_depth=5, input_size=input_size).step().metrics["val_loss"] > 0


@pytest.mark.parametrize("classes", [2, 3])
def test_any_number_of_classes_is_learned_from_a_few_photos(classes, tmp_path):
    splits = load_splits(photos(tmp_path / "photos", size=24, classes=classes))
    run = started(splits, freeze_depth=5, max_epochs=20)
    *_, last = (run.step() for _ in range(20))
    assert last.metrics["val_accuracy"] == 1.0


def test_another_backbone_is_refused_with_the_other_choices(tmp_path):
    splits = load_splits(photos(tmp_path / "photos", size=32))
    (line,) = TRANSFER.try_out([configured(weights="cifar10", backbone="resnet18")], splits).errors
    assert line.startswith(
        "--weights cifar10 is for --backbone narrow_resnet, not resnet18; for that --weights imagenet"
    )
    assert "\n" not in line


IMAGES, DIGITS = DataSpec("photos", source="images", path="/photos"), DataSpec("digits")


@pytest.mark.parametrize(
    ("given", "spec", "chosen"),
    [
        ({}, IMAGES, "cifar10"),
        ({}, DIGITS, "source"),
        ({}, None, "source"),
        ({}, DataSpec("photos", source="images", path="/photos", half="second"), "source"),
        ({"backbone": "resnet18"}, IMAGES, "source"),
        ({"source_data": "mnist"}, IMAGES, "source"),
        ({"weights": "none"}, IMAGES, "none"),
        ({"weights": "source"}, IMAGES, "source"),
        ({"weights": "cifar10"}, DIGITS, "cifar10"),
        ({"weights": "/mine.pt"}, IMAGES, "/mine.pt"),
    ],
)
def test_auto_is_cifar10_for_ones_own_photos_and_source_otherwise(given, spec, chosen):
    plain = {"weights": "auto", "backbone": "narrow_resnet", "source_data": ""}
    assert chosen_weights(**{**plain, **given}, spec=spec) == chosen
