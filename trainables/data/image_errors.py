"""Why a folder of images cannot be learned from."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from trainables.data.image_listing import ImageListing
from trainables.data.parts import class_errors, counted, list_first, quote_first
from trainables.data.pixels import DecodedImages, ImageFacts, Unread
from trainables.data.split_folders import PARTS
from trainables.errors import DataError

SKIPPED_SHARE = 0.01
"""The share of the images that may be damaged or closed; with more of them the folder is refused."""


def refuse_unread(what: str, listing: ImageListing, decoded: DecodedImages) -> None:
    """Refuse a folder of which too much cannot be read.

    Raises:
        DataError: more than ``SKIPPED_SHARE`` of the images are damaged or closed, or a class or a part has none.
    """
    errors, images = [], Counter[tuple[str, str]]()
    for part, name, facts in zip(listing.part, listing.class_name, decoded.found, strict=True):
        images[part, name] += isinstance(facts, ImageFacts)
    skipped = skipped_images(listing, decoded)
    expected = sum(facts is not Unread.FOREIGN for facts in decoded.found)
    if sum(map(len, skipped.values())) > SKIPPED_SHARE * expected:
        errors += [
            f"{what}: {len(names):,} of {expected:,} images {why}: {quote_first(names)}; up to "
            f"{SKIPPED_SHARE:.0%} would be skipped"
            for why, names in skipped.items()
        ]
    vanished = [name for name in listing.labels if not images["train", name]]
    if vanished:
        files = Counter(name for part, name in zip(listing.part, listing.class_name, strict=True) if part == "train")
        named = [f"{name!r} ({counted(files[name], 'file')})" for name in vanished]
        errors.append(
            f"{what}: a class has no image that can be read: {list_first(named)}; if it is no class, move its folder "
            "elsewhere"
        )
    for part in dict.fromkeys(listing.part):
        if part != "train" and not sum(count for (of, _), count in images.items() if of == part):
            errors.append(f"{what}: {part} has no image that can be read")
    if errors:
        raise DataError(errors)


def refuse_same(what: str, decoded: DecodedImages) -> None:
    """Refuse images that are all the same at the size at which they are read.

    Raises:
        DataError: they are.
    """
    found = [facts for facts in decoded.found if isinstance(facts, ImageFacts)]
    if len(found) > 1 and len({facts.digest for facts in found}) == 1:
        size = decoded.pixels.shape[2]
        under = "; --background names the colour under transparent images"
        remedy = under if any(facts.transparent for facts in found) else ""
        raise DataError(f"{what}: all {len(found):,} images are the same, pixel by pixel, at {size} x {size}{remedy}")


def refuse_unfit(
    what: str, listing: ImageListing, part: NDArray[np.str_], y: NDArray[np.int64], first: NDArray[np.int64]
) -> None:
    """Refuse images of which too few are left.

    Args:
        what: begins each line.
        listing: what there was.
        part: [N] of which part each image is; empty where it is left out.
        y: [N] class numbers.
        first: [N] the first image with the same picture.

    Raises:
        DataError: a class has too few images, or a part has none.
    """
    left = Counter(part.tolist())
    for name in PARTS:
        if name in listing.part and not left[name]:
            raise DataError(f"{what}: every image of {name} is a copy of one of another part")
    leads = first == np.arange(len(first))
    advice = "" if leads.all() else " (an image and its copies count once, across classes too)"
    errors = class_errors(
        y[(part == "train") & leads], listing.labels, what=what, cut=not {"val", "test"} <= left.keys(), advice=advice
    )
    if errors:
        raise DataError(errors)


def skipped_images(listing: ImageListing, decoded: DecodedImages) -> dict[str, list[str]]:
    """Return the images that have to be left out, by why."""
    reasons = {
        Unread.DAMAGED: "cannot be decoded",
        Unread.CLOSED: "cannot be opened (permission denied)",
        Unread.TOO_LARGE: "are not decoded (more pixels than Pillow takes)",
    }
    found = {why: listing.names(i for i, f in enumerate(decoded.found) if f is kind) for kind, why in reasons.items()}
    return {why: names for why, names in found.items() if names}
