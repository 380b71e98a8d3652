"""Decodes image files into one array of bytes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainables.data.memory import allocate

if TYPE_CHECKING:
    from PIL.Image import Image

FILES_AT_ONCE = 64
"""Files that a thread takes at a time: handing over each alone would cost as much as decoding a small one."""

GREY = ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L")
"""PIL's modes without colour."""


@dataclass(frozen=True)
class DecodedImages:
    """Images of one size.

    Attributes:
        pixels: [N, channels, size, size] uint8, three channels (RGB), or one where every image is grey.
        whole: [N] bool; False for a file that cannot be decoded, whose pixels mean nothing.
    """

    pixels: NDArray[np.uint8]
    whole: NDArray[np.bool_]


def decode_images(files: Sequence[Path], size: int) -> DecodedImages:
    """Decode ``files`` on all cores.

    An image is turned as its camera noted, cut in its centre to a square, and resized to ``size`` pixels
    (bilinear, averaging where it shrinks). Transparency is left out.
    """
    pixels = allocate((len(files), 3, size, size), np.uint8)
    whole, coloured = np.zeros((2, len(files)), bool)

    def decode_from(start: int) -> None:
        for i in range(start, min(start + FILES_AT_ONCE, len(files))):
            image = _image(files[i], size)
            if image is not None:
                whole[i], coloured[i] = True, image.ndim == 3
                pixels[i] = image.transpose(2, 0, 1) if image.ndim == 3 else image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's, of damaged metadata: a line for each file
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(decode_from, range(0, len(files), FILES_AT_ONCE)))
    return DecodedImages(pixels if coloured.any() else pixels[:, :1], whole)


def _image(file: Path, size: int) -> NDArray[np.uint8] | None:
    """Return an image  # [size, size, 3], or [size, size] if it is grey; None if it cannot be decoded."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            opened.draft(None, (2 * size, 2 * size))  # JPEG: decode no more pixels than needed
            ImageOps.exif_transpose(opened, in_place=True)
            return np.asarray(ImageOps.fit(_plain(opened), (size, size), Image.Resampling.BILINEAR))
    except Exception:  # PIL's readers raise whatever damaged bytes lead them to
        return None


def _plain(image: Image) -> Image:
    """Return the image as grey bytes (L) or RGB."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits: convert would clip them
        return Image.fromarray((np.asarray(image).clip(0, 0xFFFF) >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("L" if image.mode in GREY else "RGB")
