"""Images as inputs: files, PIL's images or arrays of pixels, as they were read for training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trainables.data.image_formats import open_image
from trainables.data.image_modes import Depth, PlainImage, Range
from trainables.data.pixels import WHITE, fit_image
from trainables.data.preprocessing import Standardisation, warn
from trainables.errors import DataError, first_line
from trainables.stage import each

if TYPE_CHECKING:
    from PIL.Image import Image

BYTE = 255


@dataclass(frozen=True)
class ImagePreprocessing:
    """How images become what a model is given.

    Attributes:
        shape: of one image, [channels, height, width].
        largest: the largest value of a raw pixel; the smallest is 0.
        unit: raw pixels are divided by it before they are standardised.
        standardisation: of pixels in this unit; None gives bytes, for a model that brings its own.
        fit: whether images of any size are cut in their centre and resized; others are refused.
        background: what is laid under transparent images, red, green and blue.
        ranges: which values become 0 and 255, of images of more than 8 bits.
    """

    shape: tuple[int, int, int]
    largest: int = BYTE
    unit: int = 1
    standardisation: Standardisation | None = None
    fit: bool = False
    background: tuple[int, int, int] = WHITE
    ranges: Mapping[Depth, Range] = field(default_factory=dict)

    kind: ClassVar[str] = "images"

    def apply(self, given: Any) -> NDArray[Any]:
        """Return raw images as inputs  # -> float32 or uint8 [N, channels, height, width].

        Args:
            given: files or ``PIL.Image`` images, one or many; or an array of raw pixels [N, channels, height, width],
                whole numbers from 0 to ``largest``. A grey set's may lack the channels, or be flat [N, height * width].

        Raises:
            DataError: no raw pixels, or not of the right shape.
        """
        given = [given] if isinstance(given, str | os.PathLike) or _is_image(given) else given
        if isinstance(given, list | tuple) and given and all(_is_file_or_image(one) for one in given):
            return self.encode(self._read(given))
        if hasattr(given, "detach"):
            given = given.detach().cpu()
        try:
            pixels = np.asarray(given)
        except ValueError as error:  # rows of differing lengths
            raise DataError(f"images are needed: {first_line(error)}") from None
        if pixels.dtype.kind not in "biuf":
            raise DataError(f"images are needed: files, PIL images or an array of pixels, got a {type(given).__name__}")
        return self.encode(self._checked(pixels))

    def apply_each(self, files: Sequence[str | os.PathLike[str]]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return the inputs of those files that can be used, in their order, and why the others cannot, by index.

        Raises:
            DataError: the raw examples of training were no files.
        """
        found = self._decode(files)
        unread = {i: why for i, why in enumerate(found) if isinstance(why, str)}
        read = [one for one in found if not isinstance(one, str)]
        if not read:
            return np.empty((0, *self.shape), np.uint8 if self.makes_bytes else np.float32), unread
        return self.encode(self._stacked(read)), unread

    def encode(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return raw pixels as inputs  # [N, *shape]."""
        if self.standardisation is None:
            return np.rint(pixels * (BYTE / self.largest)).astype(np.uint8) if self.largest != BYTE else pixels
        x = pixels.astype(np.float32)
        if self.unit != 1:
            x /= self.unit
        self.standardisation.apply_in_place(x)
        return x

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors."""
        return {
            "shape": list(self.shape),
            "largest": self.largest,
            "unit": self.unit,
            "standardisation": None if self.standardisation is None else self.standardisation.to_dict(),
            "fit": self.fit,
            "background": list(self.background),
            "ranges": {depth: list(range_) for depth, range_ in self.ranges.items()},
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` made plain data of."""
        channels, height, width = saved["shape"]
        how = saved["standardisation"]
        standardisation = None if how is None else Standardisation.from_dict(how)
        red, green, blue = saved["background"]
        return cls(
            (channels, height, width),
            saved["largest"],
            saved["unit"],
            standardisation,
            saved["fit"],
            (red, green, blue),
            {depth: (low, high) for depth, (low, high) in saved["ranges"].items()},
        )

    @property
    def makes_bytes(self) -> bool:
        """Whether inputs are uint8, and not float32."""
        return self.standardisation is None

    @property
    def lowest(self) -> float | None:
        """The lowest number that an input can be: what a pixel of 0 becomes where the mean is highest."""
        how = self.standardisation
        return None if how is None else float((-how.mean / how.deviation).min())

    @property
    def _wanted(self) -> str:
        sizes = ", ".join(map(str, self.shape))
        return f"an array of raw pixels [N, {sizes}], whole numbers from 0 to {self.largest}, is needed"

    def _read(self, given: Sequence[Any]) -> NDArray[np.uint8]:
        """Return files and PIL's images at their size, decoded on all cores."""
        found = self._decode(given)
        errors = [f"{_name_of(given[i], i)}: {why}" for i, why in enumerate(found) if isinstance(why, str)]
        if errors:
            raise DataError(errors)
        return self._stacked([one for one in found if not isinstance(one, str)])

    def _decode(self, given: Sequence[Any]) -> list[tuple[Image, PlainImage] | str]:
        """Return each of the images as ``_read_one`` does, on all cores."""
        if self.largest != BYTE:
            raise DataError(f"{self._wanted}; files and PIL images hold values up to {BYTE}")
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return list(each(pool.map(self._read_one, given), "decoding images", total=len(given)))

    def _stacked(self, read: Sequence[tuple[Image, PlainImage]]) -> NDArray[np.uint8]:
        """Return decoded images as one array, and say what is unlike training  # [N, *shape]."""
        deep = sum(plain.depth is not None and plain.depth not in self.ranges for _, plain in read)
        if deep:
            warn(f"{deep:,} of {len(read):,} images have more than 8 bits, unlike training; scaled by their own range")
        images = [np.asarray(image) for image, _ in read]
        coloured = sum(image.ndim == 3 and self.shape[0] == 1 for image in images)
        if coloured:
            warn(f"{coloured:,} of {len(read):,} images have colours and were made grey, as all of training were")
        return np.stack([self._with_channels(image) for image in images])

    def _read_one(self, given: Any) -> tuple[Image, PlainImage] | str:
        """Return an image at its size, grey or RGB, and as it was before; why there is none, in words."""
        try:
            with open_image(str(given)) if isinstance(given, str | os.PathLike) else given.copy() as image:
                width, height = image.size
                if not self.fit and (height, width) != self.shape[1:]:
                    return f"{self.shape[2]} x {self.shape[1]} pixels are needed, got {width} x {height}"
                return fit_image(image, self.shape[1], self.background, self.ranges)
        except Exception as error:  # PIL's readers raise whatever damaged bytes lead them to
            return (error.strerror if isinstance(error, OSError) else None) or "no image, or damaged"

    def _with_channels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return one image with the channels of training  # [H, W] or [H, W, 3] -> [channels, H, W]."""
        from PIL import Image

        if image.ndim == 3 and self.shape[0] == 1:
            image = np.asarray(Image.fromarray(image).convert("L"))
        return image.transpose(2, 0, 1) if image.ndim == 3 else np.broadcast_to(image, self.shape)

    def _checked(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return an array of raw pixels  # -> [N, *shape]."""
        n, (channels, height, width) = len(pixels) if pixels.ndim else 0, self.shape
        if channels == 1 and pixels.shape[1:] in ((height, width), (height * width,)):
            pixels = pixels.reshape(n, *self.shape)
        self._check_values(pixels)
        if pixels.ndim == 4 and pixels.shape[1:] == self.shape:
            return pixels
        if pixels.ndim == 4 and pixels.shape[3] == channels and pixels.shape[1] not in (1, 3):
            hint = "x.transpose(0, 3, 1, 2) puts the channels first"
            raise DataError(f"{self._wanted}, got {list(pixels.shape)}; {hint}")
        if not self.fit or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
            raise DataError(f"{self._wanted}, got {list(pixels.shape)}")
        from PIL import Image

        if pixels.shape[2:] != self.shape[1:]:
            size = f"{pixels.shape[3]} x {pixels.shape[2]}"
            warn(f"images of {size} pixels were cut to squares and resized to {width} x {height}, as files are")
        plain = pixels.astype(np.uint8)
        return self._read([Image.fromarray(one.transpose(1, 2, 0) if len(one) > 1 else one[0]) for one in plain])

    def _check_values(self, pixels: NDArray[Any]) -> None:
        if not pixels.size:
            return
        least, most = float(pixels.min()), float(pixels.max())
        if not np.isfinite((least, most)).all():
            raise DataError(f"{self._wanted}, got some that are missing or infinite")
        floating = pixels.dtype.kind == "f"
        whole = not floating or bool((pixels == np.rint(pixels)).all())
        if least < 0 or most > self.largest or not whole or (floating and 0 < most <= 1):
            found = f"{pixels.dtype} values between {least:.4g} and {most:.4g}"
            raise DataError(f"{self._wanted}, got {found}; preprocessed=True takes inputs as they were in training")
        if 0 < most <= 1:
            warn(f"no pixel is above 1, and raw pixels go to {self.largest}")


def _is_image(one: Any) -> bool:
    return hasattr(one, "convert") and hasattr(one, "getbands")  # PIL's, without importing it


def _is_file_or_image(one: Any) -> bool:
    return isinstance(one, str | os.PathLike) or _is_image(one)


def _name_of(one: Any, number: int) -> str:
    return f"image {number}" if _is_image(one) else str(Path(one))
