"""What counts as an image: whatever Pillow decodes, told by its content."""

from __future__ import annotations

from functools import cache
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

NOT_DECODED = frozenset(("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"))
"""Formats that Pillow recognises and does not decode itself; for EPS it would start another program, on a file that may
hold any."""

FIRST = ("JPEG", "PNG")
"""Formats that are tried before the others: most files are one of these."""


@cache
def formats() -> tuple[str, ...]:
    """Return the formats that are decoded; those that are told by more than their first bytes come last."""
    from PIL import Image

    Image.init()
    known = [name for name in Image.ID if name in Image.OPEN and name not in NOT_DECODED]
    return tuple(sorted(known, key=lambda name: (name not in FIRST, Image.OPEN[name][1] is None)))


@cache
def endings() -> frozenset[str]:
    """Return the endings, in small letters, that files of these formats usually have."""
    from PIL import Image

    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in formats())


def open_image(file: str | IO[bytes]) -> Image:
    """Return the image in ``file``, not decoded yet.

    Raises:
        UnidentifiedImageError: it is none.
        OSError: it cannot be read.
    """
    from PIL import Image

    return Image.open(file, formats=formats())


def is_image(path: str) -> bool:
    """Say whether the file begins as an image does; what cannot be read is none."""
    try:
        with open_image(path):
            return True
    except Exception:  # Pillow's readers raise whatever damaged bytes lead them to
        return False
