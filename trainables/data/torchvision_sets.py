"""MNIST and Fashion-MNIST, in the files that torchvision lays out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.data.image_preprocessing import ImagePreprocessing
from trainables.data.parts import Parts, centre_pixels
from trainables.data.recut import Recut, cut_anew
from trainables.data.splits import Arrays, stratified_split
from trainables.errors import DataError
from trainables.stage import stage

VALIDATION_EXAMPLES = 10_000


def load(
    name: str,
    class_name: str,
    data_dir: str | None,
    *,
    download: bool,
    seed: int,
    pixels: bool = False,
    recut: Recut | None = None,
) -> Parts:
    """Return the set as images of one channel; validation is cut from its training part.

    Centred numbers, or bytes where ``pixels`` are asked for; with ``recut`` as ``cut_anew`` cuts it.

    Raises:
        DataError: the files are absent or damaged; the message says what to do.
    """
    from torchvision import datasets

    if data_dir is None:
        raise DataError(
            f"data set {name!r} needs --data-dir FOLDER (files as torchvision lays them out in "
            f"FOLDER/{class_name}/raw), or --download to fetch it there"
        )
    try:
        with stage(f"{'downloading' if download else 'reading'} {class_name} in {data_dir}"):
            sets = [getattr(datasets, class_name)(data_dir, train=train, download=download) for train in (True, False)]
    except Exception as error:  # torchvision's readers assert, and raise whatever damaged bytes lead them to
        raise DataError(_why_not(name, Path(data_dir).absolute() / class_name / "raw", error, download)) from None
    (images, labels), (test_images, test_labels) = ((s.data.numpy(), s.targets.numpy()) for s in sets)
    sizes = (VALIDATION_EXAMPLES, len(labels) - VALIDATION_EXAMPLES)
    none_of_these = np.array([], np.int64)
    scored, *indices = cut_anew([none_of_these, *stratified_split(labels, sizes, seed=seed)], labels, recut)
    if isinstance(recut, int):
        test_images, test_labels = (
            np.concatenate(both) for both in ((test_images, images[scored]), (test_labels, labels[scored]))
        )
    raw = ImagePreprocessing((1, *images.shape[1:]), unit=255)
    if pixels:
        val, train = (Arrays(images[i][:, None], labels[i]) for i in indices)
        return Parts(train, val, Arrays(test_images[:, None], test_labels), preprocessing=raw)
    val, train = (Arrays(_pixels(images[i]), labels[i]) for i in indices)
    parts = Parts(train, val, Arrays(_pixels(test_images), test_labels))
    return replace(parts, preprocessing=replace(raw, standardisation=centre_pixels(parts)))


def _pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return pixels between 0 and 1  # [N, 28, 28] -> [N, 1, 28, 28]."""
    pixels = images[:, None].astype(np.float32)
    pixels /= 255
    return pixels


def _why_not(name: str, where: Path, error: Exception, download: bool) -> str:
    cause = str(error) or type(error).__name__
    if download:
        return f"data set {name!r} is not in {where} ({cause}); the download failed"
    if "not found" in cause:
        return f"data set {name!r} is not in {where} ({cause}); --download fetches it"
    return f"data set {name!r} in {where} cannot be read ({cause}); remove it, and --download fetches it anew"
