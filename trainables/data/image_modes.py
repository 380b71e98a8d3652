"""Pillow's modes, and what becomes of them: grey bytes or RGB, laid on a background, deep values scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

GREY = ("1", "L", "LA", "La")
"""Pillow's modes of bytes without colour."""

NO_DATA = 1e30
"""Size from which a value of a float image says that there is none, as geographic data have it."""

Depth: TypeAlias = Literal["integers", "floats"]
Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class PlainImage:
    """An image as bytes.

    Attributes:
        image: grey (L) or RGB.
        transparent: whether it had an alpha channel, or a colour that stands for none.
        depth: which values it had where these were no bytes; None for bytes.
        values: the least and the greatest of these; (0, 255) for bytes.
        missing: how many values were NaN, infinite or no data.
    """

    image: Image
    transparent: bool = False
    depth: Depth | None = None
    values: Range = (0.0, 255.0)
    missing: int = 0


def background_colour(text: str) -> tuple[int, int, int]:
    """Return the colour that ``text`` names to Pillow's ``ImageColor``: ``white``, ``#ff8800``, ``rgb(10, 20, 30)``.

    Raises:
        ValueError: it names none, or one that is not opaque.
    """
    from PIL import ImageColor

    red, green, blue, *alpha = ImageColor.getrgb(text)
    if alpha and alpha[0] != 255:
        raise ValueError(f"{text} is not opaque")
    return red, green, blue


def plain_image(image: Image, background: tuple[int, int, int], ranges: Mapping[Depth, Range]) -> PlainImage:
    """Return ``image`` as bytes.

    Args:
        image: of any mode.
        background: what shows where it is transparent.
        ranges: which values become 0 and 255, of images of more than 8 bits; those that these do not name are scaled by
            their own range.

    Raises:
        ValueError: no value is a number.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return _scaled(image, background, ranges)
    grey = image.mode in GREY
    if not image.has_transparency_data:
        return PlainImage(image.convert("L" if grey else "RGB"))
    return PlainImage(_laid_on(image, background, grey=grey), transparent=True)


def _laid_on(image: Image, background: tuple[int, int, int], *, grey: bool) -> Image:
    from PIL import Image

    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 0xFF:  # 16 bits, of which 8 are decoded
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if image.mode in ("La", "PA"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    whole = Image.alpha_composite(Image.new("RGBA", image.size, background), image.convert("RGBA")).convert("RGB")
    return whole.getchannel(0) if grey and len(set(background)) == 1 else whole


def _scaled(image: Image, background: tuple[int, int, int], ranges: Mapping[Depth, Range]) -> PlainImage:
    """Return an image of 16 or more bits a value as bytes: ``low`` to 0, ``high`` to 255, what is beyond cut off."""
    from PIL import Image

    depth: Depth = "floats" if image.mode == "F" else "integers"
    values: NDArray[Any] = np.asarray(image).astype(np.float64 if image.mode == "I" else np.float32)
    known = np.isfinite(values) & (np.abs(values) < NO_DATA)
    missing = int(known.size - np.count_nonzero(known))
    if missing == known.size:
        raise ValueError("no value is a number")
    own = (float(values.min(where=known, initial=np.inf)), float(values.max(where=known, initial=-np.inf)))
    low, high = ranges.get(depth, own)
    share = (np.where(known, values, low).clip(low, high) - low) / ((high - low) or 1.0)
    grey = Image.fromarray((share * 255).round().astype(np.uint8))
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return PlainImage(grey, depth=depth, values=own, missing=missing)
    grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return PlainImage(_laid_on(grey, background, grey=True), True, depth, own, missing)
