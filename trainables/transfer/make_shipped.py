"""Make the backbone that is shipped with the package, from a folder of images.

``python -m trainables.transfer.make_shipped --images FOLDER`` trains the narrow ResNet on the classes of ``train/``,
looks at ``test/`` after each epoch, and writes the weights with what they were made of as a safetensors file. It
writes a checkpoint after each epoch beside that file; begun again with the same arguments, it goes on there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from trainables.checkpoint import remove
from trainables.config import MlpConfig
from trainables.data import DataSpec, load_splits, load_test
from trainables.device_data import DeviceData
from trainables.errors import DataError
from trainables.report import EpochReport
from trainables.transfer.config import NARROW
from trainables.transfer.preprocessing import Preprocessing, channel_statistics
from trainables.transfer.pretraining import Recipe, pretrain
from trainables.transfer.shipped_weights import FILE, PHOTO_PIXELS

SIZE = 32
"""Height and width of the images that teach, in pixels."""

VIEW_SIZES = (24, 32, 40)
"""Sizes of the views. A view may show a quarter of an image, so objects are seen as large as in photos of 80 pixels."""


def recipe(epochs: int) -> Recipe:
    """Return how the shipped backbone is trained."""
    training = MlpConfig(
        max_epochs=epochs,
        hidden=(),
        learning_rate=4e-3,
        weight_decay=0.05,
        label_smoothing=0.1,
        batch_size=128,
        schedule="one_cycle",
        one_cycle_peak=0.2,
    )
    return Recipe(training, SIZE, VIEW_SIZES)


def examples_in(folder: Path, left_out: Sequence[str]) -> tuple[DeviceData, tuple[str, ...]]:
    """Return the images below ``folder``, those of ``test/`` to validate, and the names of their classes.

    Args:
        folder: has ``train/`` and ``test/`` with a folder for each class.
        left_out: classes that are not learned from.

    Raises:
        DataError: the folder is absent or unfit, or has no such class.
    """
    spec = DataSpec(folder.name, source="images", path=str(folder.absolute()), image_size=SIZE, pixels=True)
    splits, test = load_splits(spec), load_test(spec)
    if strange := sorted(set(left_out) - set(splits.labels)):
        raise DataError(f"--leave-out {','.join(strange)}: the classes are {', '.join(splits.labels)}")
    kept = [number for number, label in enumerate(splits.labels) if label not in left_out]
    x, y = (np.concatenate([getattr(part, name) for part in (splits.train, splits.val)]) for name in ("x", "y"))
    learned, validated = (np.flatnonzero(np.isin(labels, kept)) for labels in (y, test.y))
    y_train, y_val = (torch.from_numpy(np.searchsorted(kept, part)) for part in (y[learned], test.y[validated]))
    x_train, x_val = torch.from_numpy(x[learned]), torch.from_numpy(test.x[validated])
    return DeviceData(x_train, y_train, x_val, y_val, len(kept)), tuple(splits.labels[number] for number in kept)


def make(folder: Path, out: Path, *, epochs: int, left_out: Sequence[str] = ()) -> EpochReport:
    """Train the backbone, write it to ``out``, and return the last epoch's report.

    Raises:
        DataError: the images cannot be had.
        CheckpointWriteError: the checkpoint cannot be written.
    """
    examples, labels = examples_in(folder, left_out)
    mean, deviation = channel_statistics(examples.x_train)
    preprocessing = Preprocessing(PHOTO_PIXELS, PHOTO_PIXELS, mean, deviation)
    unfinished = out.with_suffix(".unfinished.pt")

    learned = pretrain(NARROW, recipe(epochs), examples, preprocessing, unfinished=unfinished, say=print)
    facts = {
        "backbone": NARROW,
        "preprocessing": json.dumps(preprocessing.to_dict()),
        "classes": ", ".join(labels),
        "images": str(examples.examples),
        "epochs": str(learned.last.epoch),
        "accuracy": f"{learned.last.metrics['val_accuracy']:.4f}",
    }
    save_file(learned.state, out, metadata=facts)
    out.chmod(0o644)  # it was written for its owner alone
    remove(unfinished)
    return learned.last


def main() -> int:
    """Make the file that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m trainables.transfer.make_shipped", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="train/ and test/ by class")
    parser.add_argument("--out", type=Path, default=FILE, metavar="FILE")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--leave-out", default="", metavar="CLASS,CLASS", help="classes that are not learned from")
    arguments = parser.parse_args()
    left_out = [name for name in arguments.leave_out.split(",") if name]
    try:
        last = make(arguments.images, arguments.out, epochs=arguments.epochs, left_out=left_out)
    except DataError as error:
        parser.exit(2, "".join(f"error: {line}\n" for line in error.errors))
    accuracy, size = last.metrics["val_accuracy"], os.path.getsize(arguments.out)
    print(f"{arguments.out}: {size / 1e6:.2f} MB, accuracy {accuracy:.3f} on test/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
