"""A user's folder of images as examples, in the layout of torchvision's ``ImageFolder``."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from trainables.data.memory import allocate
from trainables.data.parts import (
    TEST_SHARE,
    VALIDATION_SHARE,
    Parts,
    class_errors,
    list_first,
    part_indices,
    quote_first,
)
from trainables.data.pixels import decode_images
from trainables.data.splits import Arrays, stratified_split
from trainables.errors import DataError
from trainables.notice import Notice, notice_of

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Endings of the files that are read: those of torchvision's ``ImageFolder``."""

TRAIN, VAL, TEST = "train", "val", "test"
SKIPPED_SHARE = 0.01
"""The share of the images that may be damaged; with more of them the folder is refused."""

BLOCK_PIXELS = 1 << 22
"""Numbers that are standardised at once."""


@dataclass(frozen=True)
class ImageListing:
    """The image files of a folder.

    Attributes:
        files: the images, sorted within each class of each part.
        part: for each file ``train``, ``val`` or ``test``; all are ``train`` where the folder has no parts.
        class_name: for each file its class.
        notices: what was found and not read.
    """

    files: tuple[Path, ...]
    part: tuple[str, ...]
    class_name: tuple[str, ...]
    notices: tuple[Notice, ...] = ()


def load(root: Path, *, size: int, seed: int, pixels: bool = False) -> Parts:
    """Return the images below ``root``.

    Each pixel of each channel is shifted by its mean over the training part, so that one that never changes
    is exactly 0 (see ``centred_pixels``); each channel is scaled by its own deviation over that part, because
    channels differ in contrast, while pixels of a channel keep theirs among each other.

    Args:
        root: ``train/``, and maybe ``val/`` and ``test/``, with a folder for each class; or these folders.
        size: width and height to which every image is brought.
        seed: seeds the split of what has no folder of its own.
        pixels: return the bytes as they were decoded.

    Raises:
        DataError: everything that is wrong with the folder, a line each.
    """
    listing = list_images(root)
    errors = _layout_errors(root, listing)
    if errors:
        raise DataError(errors)
    labels = sorted({name for name, part in zip(listing.class_name, listing.part, strict=True) if part == TRAIN})
    y = np.array([labels.index(name) for name in listing.class_name])
    part = np.array(listing.part)
    _refuse_small_classes(root, part, y, labels)
    decoded = decode_images(listing.files, size)
    skipped = _skipped(root, listing, decoded.whole)
    kept = np.where(decoded.whole, part, "")
    _refuse_small_classes(root, kept, y, labels)
    channels = decoded.pixels.shape[1]
    text = f"images: {len(y):,}, {'grey' if channels == 1 else 'RGB'}, as {channels} x {size} x {size}"
    notices = (Notice("images", text, len(y)), *skipped, *listing.notices)
    indices = _part_indices(kept, y, seed=seed)
    if pixels:
        train, val, test = (Arrays(decoded.pixels[part], y[part]) for part in indices)
    else:
        train, val, test = _standardised(decoded.pixels, y, indices)
    return Parts(train, val, test, labels=tuple(labels), notices=notices)


def list_images(root: Path) -> ImageListing:
    """Return the image files below ``root``; names that begin with a dot are left out."""
    notices: list[Notice] = []
    folders = _folders(root)
    if (root / TRAIN).is_dir() and _folders(root / TRAIN):
        others = [name for name in folders if name not in (TRAIN, VAL, TEST)]
        if others:
            text = f"not read, beside train/: {quote_first(others)}"
            notices.append(notice_of("folders_not_read", text, others, warning=True))
        parts = {part: root / part for part in (TRAIN, VAL, TEST) if part in folders}
    else:
        parts = {TRAIN: root}
    found = [
        (file, part, class_name)
        for part, folder in parts.items()
        for class_name in _folders(folder)
        for file in _files(folder / class_name)
    ]
    files, part_names, class_names = zip(*found, strict=True) if found else ((), (), ())
    return ImageListing(files, part_names, class_names, tuple(notices))


def _layout_errors(root: Path, listing: ImageListing) -> list[str]:
    what = f"--data images:{root}"
    folders = _folders(root)
    if not folders:
        return [f"{what} has no folders; expected one for each class, or train/ with these inside"]
    if TRAIN not in folders and set(folders) <= {VAL, TEST}:
        return [f"{what} has {' and '.join(folders)} but no train"]
    if not listing.files:
        return [f"{what}: no image in its folders {quote_first(folders)}; endings that are read: {', '.join(ENDINGS)}"]
    classes: dict[str, Counter[str]] = {part: Counter() for part in (TRAIN, VAL, TEST)}
    for part, class_name in zip(listing.part, listing.class_name, strict=True):
        classes[part][class_name] += 1
    errors = []
    for part in (VAL, TEST):
        strangers = sorted(classes[part].keys() - classes[TRAIN].keys())
        if strangers:
            errors.append(f"{what}: {part} has classes that train has not: {quote_first(strangers)}")
    return errors


def _refuse_small_classes(root: Path, part: NDArray[np.str_], y: NDArray[np.int64], labels: list[str]) -> None:
    cut = not {VAL, TEST} <= set(part.tolist())
    errors = class_errors(y[part == TRAIN], labels, what=f"--data images:{root}", cut=cut)
    if errors:
        raise DataError(errors)


def _skipped(root: Path, listing: ImageListing, whole: NDArray[np.bool_]) -> list[Notice]:
    """Return a notice on the images that could not be decoded, if any.

    Raises:
        DataError: there are too many of them.
    """
    damaged = [str(listing.files[i].relative_to(root)) for i in np.flatnonzero(~whole)]
    if not damaged:
        return []
    found = f"{len(damaged):,} of {len(whole):,} images cannot be decoded: {list_first(damaged)}"
    if len(damaged) > SKIPPED_SHARE * len(whole):
        raise DataError(f"--data images:{root}: {found}; up to {SKIPPED_SHARE:.0%} would be skipped")
    return [notice_of("skipped_images", f"skipped, {found}", damaged, warning=True)]


def _part_indices(part: NDArray[np.str_], y: NDArray[np.int64], *, seed: int) -> list[NDArray[np.int64]]:
    """Return which images are for training, for validation and for test; what has no folder is cut from train."""
    train, val, test = (np.flatnonzero(part == name) for name in (TRAIN, VAL, TEST))
    if not len(val) and not len(test):
        test, val, rest = part_indices(y[train], numeric=False, seed=seed)
        return [train[rest], train[val], train[test]]
    if len(val) and len(test):
        return [train, val, test]
    size = round(len(train) * (TEST_SHARE if len(val) else VALIDATION_SHARE))
    taken, rest = stratified_split(y[train], (size, len(train) - size), seed=seed)
    return [train[rest], val, train[taken]] if len(val) else [train[rest], train[taken], test]


def _standardised(
    pixels: NDArray[np.uint8], y: NDArray[np.int64], indices: list[NDArray[np.int64]]
) -> tuple[Arrays, ...]:
    """Return train, validation and test as float32."""
    mean, scale = _statistics(pixels, indices[0])
    arrays = []
    for part in indices:
        x = allocate((len(part), *pixels.shape[1:]), np.float32)
        start = 0
        for block in _blocks(pixels, part):
            x[start : start + len(block)] = (pixels[block] - mean) / scale
            start += len(block)
        arrays.append(Arrays(x, y[part]))
    return tuple(arrays)


def _statistics(pixels: NDArray[np.uint8], train: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean of each pixel and the deviation of each channel (1 for a constant one).

    They come from sums of whole numbers: the same, bit for bit, however the images are cut into blocks.
    """
    sums = np.zeros(pixels.shape[1:], np.int64)
    squares = np.zeros(pixels.shape[1], np.int64)
    for block in _blocks(pixels, train):
        values = pixels[block]
        sums += values.sum(axis=0, dtype=np.int64)
        squares += np.square(values, dtype=np.uint32).sum(axis=(0, 2, 3), dtype=np.int64)
    n = len(train) * pixels.shape[2] * pixels.shape[3]
    totals = sums.sum(axis=(1, 2)).tolist()
    deviation = [math.sqrt(n * square - total**2) / n for square, total in zip(squares.tolist(), totals, strict=True)]
    scale = np.array([d or 1.0 for d in deviation], np.float32)[:, None, None]
    return (sums / len(train)).astype(np.float32), scale


def _blocks(pixels: NDArray[np.uint8], indices: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    size = max(1, BLOCK_PIXELS // math.prod(pixels.shape[1:]))
    return (indices[start : start + size] for start in range(0, len(indices), size))


def _folders(folder: Path) -> list[str]:
    return sorted(e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    """Return the images below ``folder``, however deep, in the order of torchvision's ``ImageFolder``."""

    def refuse(error: OSError) -> NoReturn:
        raise error  # walk would leave out what it cannot read

    return [
        Path(where, name)
        for where, _, names in sorted(os.walk(folder, followlinks=True, onerror=refuse))
        for name in sorted(names)
        if name.lower().endswith(ENDINGS) and not name.startswith(".")
    ]
