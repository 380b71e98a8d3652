"""What a user should know of how a folder of images was read."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from trainables.data.duplicates import Copies
from trainables.data.image_errors import skipped_images
from trainables.data.image_listing import ImageListing
from trainables.data.image_modes import Depth, Range
from trainables.data.parts import counted, list_first, printable, quote_first
from trainables.data.pixels import DecodedImages, ImageFacts, Unread
from trainables.data.split_folders import PARTS, spelled_alike
from trainables.notice import Notice, notice_of

SMALL = 32
"""Pixels up to which a size may be one that nobody chose: it is the default."""

SHRINK = 4
"""How many times smaller images may become before that is a warning."""

DEPTHS: dict[Depth, str] = {"integers": "whole numbers of more than 8 bits", "floats": "floating-point numbers"}


def describe(
    listing: ImageListing,
    decoded: DecodedImages,
    copies: Copies,
    part: NDArray[np.str_],
    *,
    ranges: Mapping[Depth, Range],
    background: str,
) -> tuple[Notice, ...]:
    """Return the notices on a folder of images that is read.

    Args:
        listing: its files.
        decoded: their images.
        copies: which are copies.
        part: [N] of which part each image is; empty where it is left out.
        ranges: by which values of more than 8 bits were scaled.
        background: the colour under transparent images.
    """
    channels, size = decoded.pixels.shape[1:3]
    count = int(np.count_nonzero(part != ""))
    text = f"images: {count:,}, {'grey' if channels == 1 else 'RGB'}, as {channels} x {size} x {size}"
    return (
        Notice("images", text, count),
        *_shrunk(decoded, size),
        *_unread(listing, decoded),
        *_copied(listing, copies),
        *_changed(listing, decoded, background),
        *_scaled(listing, decoded, ranges),
        *_classes(listing, part),
        *listing.notices,
    )


def _shrunk(decoded: DecodedImages, size: int) -> Iterator[Notice]:
    """Yield a warning where photos become so small that little of them is left, and nobody may have asked for it."""
    sizes = [(facts.width, facts.height) for facts in decoded.found if isinstance(facts, ImageFacts)]
    width, height = (int(statistics.median(side)) for side in zip(*sizes, strict=True))
    if size <= SMALL and min(width, height) >= SHRINK * size:
        text = f"images of {width} x {height} pixels (median) become {size} x {size}; --image-size sets another size"
        yield Notice("shrunk_images", text, len(sizes), warning=True)


def _unread(listing: ImageListing, decoded: DecodedImages) -> Iterator[Notice]:
    whole = sum(facts is not Unread.FOREIGN for facts in decoded.found)
    for why, names in skipped_images(listing, decoded).items():
        text = f"skipped, {len(names):,} of {whole:,} images {why}: {quote_first(names)}"
        yield notice_of("skipped_images", text, names, warning=True)
    foreign = [i for i, facts in enumerate(decoded.found) if facts is Unread.FOREIGN]
    if foreign:
        endings = Counter(printable(listing.files[i].suffix.lower()) or "no ending" for i in foreign)
        kinds = list_first([f"{ending} {count:,}" for ending, count in endings.most_common()])
        names = listing.names(foreign)
        text = f"not read, no images that Pillow decodes: {counted(len(names), 'file')} ({kinds}): {quote_first(names)}"
        yield notice_of("no_images", text, names, warning=True)


def _copied(listing: ImageListing, copies: Copies) -> Iterator[Notice]:
    together = (copies.first != np.arange(len(copies.first))) & ~copies.dropped
    for kind, chosen, words in (
        ("duplicate_images", together, "kept in one part, the same in every pixel: {} of an image"),
        ("leaked_images", copies.dropped, "left out, the same in every pixel as an image of another part: {}"),
    ):
        names, originals = listing.names(np.flatnonzero(chosen)), listing.names(copies.first[chosen])
        pairs = [f"{name!r} of {original!r}" for name, original in zip(names, originals, strict=True)]
        if pairs:
            yield notice_of(
                kind, f"{words.format(counted(len(names), 'copy'))} ({list_first(pairs)})", names, warning=True
            )
    if copies.contradictory:
        names = listing.names(copies.contradictory)
        text = f"the same picture in more than one class: {counted(len(names), 'image')} ({quote_first(names)})"
        yield notice_of("contradictory_images", text, names, warning=True)


def _changed(listing: ImageListing, decoded: DecodedImages, background: str) -> Iterator[Notice]:
    def names(wanted: Callable[[ImageFacts], object]) -> list[str]:
        found = enumerate(decoded.found)
        return listing.names(i for i, facts in found if isinstance(facts, ImageFacts) and wanted(facts))

    animated, transparent = names(lambda facts: facts.animated), names(lambda facts: facts.transparent)
    if animated:
        text = f"first of several images in a file read: {counted(len(animated), 'file')} ({quote_first(animated)})"
        yield notice_of("first_frames", text, animated)
    if transparent:
        laid = f"{counted(len(transparent), 'image')} ({quote_first(transparent)})"
        text = f"transparent, laid on {background}: {laid}; --background names another colour"
        yield notice_of("transparent_images", text, transparent)
    constant = names(lambda facts: facts.constant)
    if constant:
        text = f"one colour all over: {counted(len(constant), 'image')} ({quote_first(constant)})"
        yield notice_of("constant_images", text, constant, warning=True)


def _scaled(listing: ImageListing, decoded: DecodedImages, ranges: Mapping[Depth, Range]) -> Iterator[Notice]:
    for depth, (low, high) in ranges.items():
        of = {i: f for i, f in enumerate(decoded.found) if isinstance(f, ImageFacts) and f.depth == depth}
        names = listing.names(of)
        text = (
            f"{DEPTHS[depth]}, scaled to 8 bits by their range in the training part, {low:,.6g} to {high:,.6g}: "
            f"{counted(len(names), 'image')} ({quote_first(names)})"
        )
        yield notice_of("scaled_images", text, names)
        holed = [i for i, facts in of.items() if facts.missing]
        if holed:
            values, names = sum(of[i].missing for i in holed), listing.names(holed)
            where = f"{counted(values, 'pixel')} of {counted(len(names), 'image')} ({quote_first(names)})"
            text = f"NaN, infinite or no data, taken for the least value: {where}"
            yield notice_of("missing_pixels", text, names, warning=True)


def _classes(listing: ImageListing, part: NDArray[np.str_]) -> Iterator[Notice]:
    classes = np.array(listing.class_name)
    for name in PARTS[1:]:
        there = set(classes[part == name].tolist())
        absent = [label for label in listing.labels if label not in there]
        if there and absent:
            of = f"{len(absent):,} of the {len(listing.labels):,} classes"
            text = f"{name} has no image of {of}: {quote_first(absent)}"
            yield notice_of("absent_classes", text, absent, warning=True)
    spelled = Counter(map(spelled_alike, listing.labels))
    alike = [label for label in listing.labels if spelled[spelled_alike(label)] > 1]
    if alike:
        text = f"classes of their own, though spelled alike: {quote_first(alike)}"
        yield notice_of("alike_classes", text, alike, warning=True)
