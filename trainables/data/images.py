"""A user's folder of images as examples, in the layout of torchvision's ``ImageFolder``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.duplicates import Copies, bytes_digest, find_copies, with_copies
from trainables.data.image_cache import decoded_file
from trainables.data.image_errors import refuse_same, refuse_unfit, refuse_unread
from trainables.data.image_listing import ImageListing, list_images
from trainables.data.image_modes import Depth, Range, background_colour
from trainables.data.image_notices import describe
from trainables.data.image_preprocessing import ImagePreprocessing
from trainables.data.parts import TEST_SHARE, VALIDATION_SHARE, Parts, part_indices
from trainables.data.pixel_file import PixelFile
from trainables.data.pixel_scaling import copy_part, encode_part, standardisation_of
from trainables.data.pixels import DecodedImages, ImageFacts, Unread, decode_images, picture_digest
from trainables.data.recut import Recut, cut_anew
from trainables.data.room import MemoryLimit, gib
from trainables.data.splits import Arrays, stratified_split
from trainables.data.stored_images import StoredImages
from trainables.notice import Notice

HELD_BYTES = 5
"""Bytes a number while a folder is held in memory: the pixel, and the input that is made of it."""


def load(
    root: Path,
    *,
    size: int,
    seed: int,
    pixels: bool = False,
    background: str = "white",
    memory_mb: int | None = None,
    recut: Recut | None = None,
) -> Parts:
    """Return the images below ``root``, standardised by the training part (see ``standardisation_of``).

    What is larger than memory should hold is decoded into a file of the cache, and read from there; the
    inputs are the same.

    Copies of a picture stay together in one part; those that have a folder in another are left out.

    Args:
        root: ``train/``, and maybe ``val/`` and ``test/``, with a folder for each class; or these folders.
        size: width and height to which every image is brought.
        seed: seeds the split of what has no folder of its own.
        pixels: return the bytes as they were decoded.
        background: the colour under transparent images.
        memory_mb: MiB that the images may take in memory; by default half of what is free.
        recut: a pair or a fold, where not the parts of the search are wanted; see ``cut_anew``.

    Raises:
        DataError: everything that is wrong with the folder, a line each.
    """
    what, colour = f"--data images:{root}", background_colour(background)
    listing = list_images(root)
    limit = MemoryLimit.of(memory_mb)
    stored = limit.exceeded_by(HELD_BYTES * len(listing.files) * 3 * size**2)
    decode = partial(decoded_file, root) if stored else decode_images
    decoded = decode(listing.files, size, background=colour)
    refuse_unread(what, listing, decoded)
    refuse_same(what, decoded)
    numbers = {name: number for number, name in enumerate(listing.labels)}
    y = np.array([numbers[name] for name in listing.class_name])
    copies = _copies(listing, decoded, y, colour)
    kept = decoded.whole & ~copies.dropped
    part = np.where(kept, np.array(listing.part), "")
    refuse_unfit(what, listing, part, y, copies.first)
    indices = _part_indices(part, copies.first, y, seed=seed, recut=recut)
    ranges, decoded = _scale_depths(decoded, indices[0], partial(decode, background=colour), listing.files)
    notices = describe(listing, decoded, copies, part, ranges=ranges, background=background)
    shape = (decoded.pixels.shape[1], size, size)
    made = ImagePreprocessing(shape, fit=True, background=colour, ranges=ranges)
    if isinstance(decoded.pixels, PixelFile):
        notices = (*notices, _stored_notice(decoded, decoded.pixels, limit, copied=pixels))
    if not pixels:
        made = replace(made, standardisation=standardisation_of(decoded.pixels, indices[0]))
    train, val, test = (Arrays(_inputs(decoded.pixels, chosen, made), y[chosen]) for chosen in indices)
    return Parts(train, val, test, labels=listing.labels, notices=notices, preprocessing=made)


def _copies(
    listing: ImageListing, decoded: DecodedImages, y: NDArray[np.int64], background: tuple[int, int, int]
) -> Copies:
    return find_copies(
        [facts.digest if isinstance(facts, ImageFacts) else None for facts in decoded.found],
        y,
        listing.part,
        file_digest=lambda i: bytes_digest(listing.files[i]),
        picture=lambda i: picture_digest(listing.files[i], background),
    )


def _part_indices(
    part: NDArray[np.str_], first: NDArray[np.int64], y: NDArray[np.int64], *, seed: int, recut: Recut | None = None
) -> list[NDArray[np.int64]]:
    """Return which images are for training, for validation and for test; what has no folder is cut from train.

    Args:
        part: [N] the part that the folder says; empty for what is left out.
        first: [N] the first image with the same picture: what shows the same picture is never cut apart.
        y: [N] class numbers.
        seed: seeds the cut.
        recut: a pair or a fold, where not the parts of the search are wanted; see ``cut_anew``.
    """
    leads = first == np.arange(len(first))
    train, val, test = (np.flatnonzero((part == name) & leads) for name in ("train", "val", "test"))
    if not len(val) and not len(test):
        test, val, rest = (train[chosen] for chosen in part_indices(y[train], numeric=False, seed=seed))
        train = rest
    elif not len(val) or not len(test):
        size = round(len(train) * (TEST_SHARE if len(val) else VALIDATION_SHARE))
        taken, rest = stratified_split(y[train], (size, len(train) - size), seed=seed)
        val, test = (val, train[taken]) if len(val) else (train[taken], test)
        train = train[rest]
    whole = [with_copies(first, chosen) for chosen in (test, val, train)]
    kept = [chosen[part[chosen] != ""] for chosen in whole]
    test, val, train = cut_anew(kept, y, recut, first=first)
    return [train, val, test]


def _inputs(
    pixels: NDArray[np.uint8] | PixelFile, part: NDArray[np.int64], made: ImagePreprocessing
) -> NDArray[Any] | StoredImages:
    """Return the images of a part as a model takes them, or what reads them from the file."""
    if made.makes_bytes:
        return copy_part(pixels, part) if isinstance(pixels, PixelFile) else pixels[part]
    return StoredImages(pixels, part, made) if isinstance(pixels, PixelFile) else encode_part(pixels, part, made)


def _stored_notice(decoded: DecodedImages, pixels: PixelFile, limit: MemoryLimit, *, copied: bool) -> Notice:
    """Return where the images are, and why they are not in memory."""
    images, held = pixels.shape[0], gib(HELD_BYTES * pixels.bytes_each * pixels.shape[0])
    how = "copied from" if copied else "read from"
    text = (
        f"{images:,} decoded images, {gib(pixels.bytes_each * images)}, {how} {pixels.path.parent}: "
        f"in memory they would take {held}, more than {limit}"
    )
    if decoded.damaged:
        text += f"; decoded again, as what was there was damaged ({decoded.damaged})"
    return Notice("stored_images", text, images)


def _scale_depths(
    decoded: DecodedImages, train: NDArray[np.int64], decode: Callable[..., DecodedImages], files: Sequence[Path]
) -> tuple[Mapping[Depth, Range], DecodedImages]:
    """Decode images of more than 8 bits again, all by the range of the training part; return these ranges too.

    Args:
        decoded: all images.
        train: the numbers of those of the training part.
        decode: decodes ``(files, size, ranges=...)``.
        files: of all images.
    """
    deep = [i for i, facts in enumerate(decoded.found) if isinstance(facts, ImageFacts) and facts.depth]
    if not deep:
        return {}, decoded
    ranges = {**_ranges(decoded.found), **_ranges([decoded.found[i] for i in train])}
    size = decoded.pixels.shape[2]
    if isinstance(decoded.pixels, PixelFile):
        return ranges, replace(decoded, pixels=decode(files, size, ranges=ranges).pixels)
    again = decode([files[i] for i in deep], size, ranges=ranges).pixels
    assert not isinstance(again, PixelFile)
    decoded.pixels[deep] = again
    return ranges, decoded


def _ranges(found: Sequence[ImageFacts | Unread]) -> dict[Depth, Range]:
    """Return the least and the greatest value of the images of each depth."""
    ranges: dict[Depth, Range] = {}
    for facts in found:
        if isinstance(facts, ImageFacts) and facts.depth is not None:
            low, high = ranges.get(facts.depth, facts.values)
            ranges[facts.depth] = (min(low, facts.values[0]), max(high, facts.values[1]))
    return ranges
