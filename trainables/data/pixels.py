"""Decodes image files into one array of bytes."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainables.data.image_formats import endings, open_image
from trainables.data.image_modes import Depth, PlainImage, Range, plain_image
from trainables.data.memory import allocate
from trainables.data.pixel_file import PixelFile
from trainables.stage import stage

if TYPE_CHECKING:
    from PIL.Image import Image

FILES_AT_ONCE = 64
"""Files that a thread takes at a time: handing over each alone would cost as much as decoding a small one."""

WHITE = (255, 255, 255)


class Unread(Enum):
    """Why a file has no image."""

    FOREIGN = "no image"
    DAMAGED = "damaged"
    CLOSED = "no permission"
    TOO_LARGE = "too large"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is to know of one image that was decoded.

    Attributes:
        width, height: as it is stored, in pixels.
        grey: whether it has no colour.
        transparent: whether it was laid on the background.
        animated: whether the file has more images; the first is read.
        constant: whether all its pixels are one colour, at the size to which it was brought.
        digest: equal for equal pixels at that size.
        depth: which values it had where these were no bytes.
        values: the least and the greatest of these.
        missing: how many of these were no number.
    """

    width: int
    height: int
    grey: bool
    transparent: bool
    animated: bool
    constant: bool
    digest: int
    depth: Depth | None
    values: Range
    missing: int


@dataclass(frozen=True)
class DecodedImages:
    """Images of one size.

    Attributes:
        pixels: [N, channels, size, size] uint8, three channels (RGB), or one where every image is grey.
        found: [N] for each file the facts of its image, or why it has none; the pixels of those mean nothing.
        damaged: why a file of them that was kept had to be made anew, in words; empty where it had not.
    """

    pixels: NDArray[np.uint8] | PixelFile
    found: tuple[ImageFacts | Unread, ...]
    damaged: str = ""

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which files have an image  # [N] bool."""
        return np.array([isinstance(facts, ImageFacts) for facts in self.found], bool)


class Store(Protocol):
    """Takes decoded images; several threads fill it, each other parts."""

    def block(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return room for the images ``start`` to ``stop``  # [stop - start, 3, size, size]."""

    def put(self, start: int, block: NDArray[np.uint8]) -> None:
        """Take such room, filled."""


class _Memory:
    """Images in an array."""

    def __init__(self, images: int, size: int) -> None:
        self.pixels = allocate((images, 3, size, size), np.uint8)

    def block(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the place of these images itself."""
        return self.pixels[start:stop]

    def put(self, start: int, block: NDArray[np.uint8]) -> None:
        """Do nothing: they are in their place."""


def decode_images(
    files: Sequence[Path],
    size: int,
    *,
    background: tuple[int, int, int] = WHITE,
    ranges: Mapping[Depth, Range] | None = None,
) -> DecodedImages:
    """Decode ``files`` on all cores, into memory.

    An image is turned as its camera noted, laid on ``background`` where it is transparent, cut in its centre to a
    square, and resized to ``size`` pixels (bilinear, averaging where it shrinks).

    Args:
        files: regular files; of those with several images the first is taken.
        size: width and height, in pixels.
        background: a colour, red, green and blue.
        ranges: see ``plain_image``.
    """
    store = _Memory(len(files), size)
    found = decode_into(store, files, background=background, ranges=ranges)
    return DecodedImages(store.pixels if coloured(found) else store.pixels[:, :1], found)


def decode_into(
    store: Store,
    files: Sequence[Path],
    *,
    background: tuple[int, int, int] = WHITE,
    ranges: Mapping[Depth, Range] | None = None,
    way_on: str | None = None,
) -> tuple[ImageFacts | Unread, ...]:
    """Decode ``files`` on all cores as ``decode_images`` does.

    Whatever is raised meanwhile, a signal's exception say, ends it after the files that are being decoded.

    Args:
        store: takes the pixels; those of a file without an image mean nothing.
        files: regular files.
        background: a colour, red, green and blue.
        ranges: see ``plain_image``.
        way_on: what a user does after it was stopped here; see ``Stage``.

    Returns:
        For each file the facts of its image, or why it has none.
    """
    found: list[ImageFacts | Unread] = [Unread.DAMAGED] * len(files)

    def decode_from(start: int) -> int:
        stop = min(start + FILES_AT_ONCE, len(files))
        block = store.block(start, stop)
        for i in range(start, stop):
            found[i] = _decode(files[i], block[i - start], background, ranges or {})
        store.put(start, block)
        return stop - start

    with warnings.catch_warnings(), stage("decoding images", total=len(files), way_on=way_on) as decoding:
        warnings.simplefilter("ignore")  # PIL's, of damaged metadata: a line for each file
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for count in pool.map(decode_from, range(0, len(files), FILES_AT_ONCE)):
                decoding.advance(count)
                decoding.detail = f"{decoding.done / max(time.monotonic() - decoding.began, 1e-9):,.0f} a second"
    return tuple(found)


def coloured(found: Sequence[ImageFacts | Unread]) -> bool:
    """Say whether an image has a colour."""
    return any(isinstance(facts, ImageFacts) and not facts.grey for facts in found)


def pixels_digest(pixels: NDArray[np.uint8]) -> int:
    """Return a number of 64 bits, equal for equal pixels."""
    return int.from_bytes(hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=8).digest(), "little")


def fit_image(
    image: Image, size: int, background: tuple[int, int, int], ranges: Mapping[Depth, Range]
) -> tuple[Image, PlainImage]:
    """Return an opened image, grey or RGB, at ``size`` x ``size`` pixels, and as it was before; it is changed itself.

    Args:
        image: turned as its camera noted, cut in its centre to a square, and resized.
        size: width and height, in pixels.
        background: see ``plain_image``.
        ranges: see ``plain_image``.
    """
    from PIL import Image, ImageOps

    image.draft(None, (2 * size, 2 * size))  # JPEG that is not decoded yet: decode no more pixels than needed
    ImageOps.exif_transpose(image, in_place=True)
    plain = plain_image(image, background, ranges)
    return ImageOps.fit(plain.image, (size, size), Image.Resampling.BILINEAR), plain


def picture_digest(file: Path, background: tuple[int, int, int]) -> tuple[object, ...]:
    """Return what is equal for two files whose images, at their own sizes, are equal in every pixel."""
    from PIL import ImageOps

    with open_image(str(file)) as opened:
        ImageOps.exif_transpose(opened, in_place=True)
        plain = plain_image(opened, background, {})
    colours = plain.image.convert("RGB")
    return colours.size, plain.depth, plain.values, hashlib.sha256(colours.tobytes()).digest()


def _decode(
    file: Path, pixels: NDArray[np.uint8], background: tuple[int, int, int], ranges: Mapping[Depth, Range]
) -> ImageFacts | Unread:
    """Fill ``pixels``  # [3, size, size], with the image in ``file``, if it has one."""
    from PIL import UnidentifiedImageError
    from PIL.Image import DecompressionBombError

    size = pixels.shape[1]
    try:
        with open_image(str(file)) as opened:
            (width, height), animated = opened.size, getattr(opened, "is_animated", False)
            fitted, plain = fit_image(opened, size, background, ranges)
    except UnidentifiedImageError:
        return Unread.DAMAGED if file.suffix.lower() in endings() else Unread.FOREIGN
    except PermissionError:
        return Unread.CLOSED
    except DecompressionBombError:
        return Unread.TOO_LARGE
    except Exception:  # PIL's readers raise whatever damaged bytes lead them to
        return Unread.DAMAGED
    grey = fitted.mode == "L"
    array = np.asarray(fitted)
    pixels[:] = array if grey else array.transpose(2, 0, 1)
    extrema: Any = [fitted.getextrema()] if grey else fitted.getextrema()
    return ImageFacts(
        width,
        height,
        grey=grey,
        transparent=plain.transparent,
        animated=animated,
        constant=all(low == high for low, high in extrema),
        digest=pixels_digest(pixels),
        depth=plain.depth,
        values=plain.values,
        missing=plain.missing,
    )
