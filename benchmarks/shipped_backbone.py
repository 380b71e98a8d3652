"""What the backbone that is shipped is worth: a linear probe and fine-tuning beside training from scratch.

On Fashion-MNIST, of which it has seen nothing, and on two classes of photos that a twin has not seen: the file that
``python -m trainables.transfer.make_shipped --images FOLDER --leave-out CLASS,CLASS --out FILE`` writes. Accuracy on
images that nothing learned from, after the last epoch; nothing is chosen by it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import spread
from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, write_section
from trainables.cpu_threads import torch_threads
from trainables.data import Arrays, DataSpec, Splits, load_splits, load_test
from trainables.transfer.config import CIFAR10
from trainables.transfer.trainable import TransferTrainable

METHODS: dict[str, dict[str, Any]] = {
    "linear probe": {"freeze_depth": 5, "learning_rate": 0.01},
    "fine-tuned": {"freeze_depth": 0, "learning_rate": 1e-3, "augmentation": "flip_crop"},
    "from scratch": {"init": "scratch", "learning_rate": 1e-3, "augmentation": "flip_crop"},
}
TESTED = 1000
"""Images that the accuracy is taken on, at most."""


def main() -> int:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.shipped_backbone")
    parser.add_argument("--data-dir", help="where torchvision's FashionMNIST lies")
    parser.add_argument("--images", type=Path, help="the photos that the twin learned from")
    parser.add_argument("--twin", type=Path, metavar="FILE", help="weights that have not seen the classes left out")
    parser.add_argument("--left-out", default="", metavar="CLASS,CLASS")
    parser.add_argument("--examples", type=int, default=120, help="training images per class")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    add_results(parser)
    arguments = parser.parse_args()
    tasks: list[tuple[str, Splits, dict[str, Any]]] = []
    if arguments.images is None:
        named = DataSpec("digits" if arguments.data_dir is None else "fashion_mnist", arguments.data_dir, pixels=True)
        splits = load_splits(named)
        sample = subset(splits.train, range(splits.classes), each=arguments.examples)
        tasks.append((splits.name, with_parts(splits, sample, splits.val), {"weights": CIFAR10}))
    else:
        classes = arguments.left_out.split(",")
        seen = held_out(arguments.images, classes, each=arguments.examples)
        weights = CIFAR10 if arguments.twin is None else str(arguments.twin.absolute())
        for size in (32, 64):
            tasks.append((f"{' and '.join(classes)}, {size} pixels", seen, {"weights": weights, "input_size": size}))
    rows = []
    for name, splits, settings in tasks:
        shown = [f"{name}: {len(splits.train)} images, {splits.classes} classes"]
        for params in METHODS.values():
            chosen, epochs = {**settings, **params}, arguments.epochs
            found = [accuracy(splits, chosen, epochs, seed) for seed in range(arguments.seeds)]
            shown.append(spread(found, 3))
            progress(" | ".join(shown))
        rows.append(shown)
    body = "\n\n".join(
        [
            f"Accuracy after {arguments.epochs} epochs (AdamW, cosine, batches of 32), median of {arguments.seeds} "
            "seeds; the same images for all.",
            table(["", *METHODS], rows),
        ]
    )
    private = [(str(path), word) for path, word in ((arguments.images, "IMAGES"), (arguments.twin, "TWIN")) if path]
    private += [(arguments.data_dir, "DATA")] if arguments.data_dir else []
    section = f"shipped backbone: {', '.join(splits.name for _, splits, _ in tasks[:1])}"
    write_section(section, shown_command("benchmarks.shipped_backbone", private), body, arguments.results)
    return 0


def accuracy(splits: Splits, params: dict[str, Any], epochs: int, seed: int) -> float:
    """Return the accuracy on the validation part after the last epoch."""
    trainable, cpu = TransferTrainable(), torch.device("cpu")
    params = {"schedule": "cosine", "batch_size": 32, **params}
    config = trainable.configure(params, max_epochs=epochs)
    with torch_threads(1):
        run = trainable.start(config, trainable.prepare(splits, cpu), seed=seed, device=cpu)
        *_, last = (run.step() for _ in range(epochs))
    return float(last.metrics["val_accuracy"])


def subset(part: Arrays, classes: Any, *, each: int) -> Arrays:
    """Return the first ``each`` images of each class, whose numbers begin at 0 again."""
    rows = [np.flatnonzero(part.y == number)[:each] for number in classes]
    y = np.repeat(np.arange(len(rows)), [len(found) for found in rows])
    return Arrays(part.x[np.concatenate(rows)], y)


def held_out(folder: Path, classes: list[str], *, each: int) -> Splits:
    """Return two or more classes of a folder with ``train/`` and ``test/``; those of ``test/`` to validate on."""
    spec = DataSpec(folder.name, source="images", path=str(folder.absolute()), pixels=True)
    splits = load_splits(spec)
    numbers = [splits.labels.index(name) for name in classes]
    return with_parts(
        replace(splits, name=" and ".join(classes), classes=len(numbers), labels=tuple(classes)),
        subset(splits.train, numbers, each=each),
        subset(load_test(spec), numbers, each=TESTED),
    )


def with_parts(splits: Splits, train: Arrays, val: Arrays) -> Splits:
    """Return the splits with these parts, of the second at most ``TESTED`` images."""
    return replace(splits, train=train, val=Arrays(val.x[:TESTED], val.y[:TESTED]))


if __name__ == "__main__":
    sys.exit(main())
