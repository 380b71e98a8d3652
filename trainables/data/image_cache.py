"""Decoded images of a folder in a file, made once and shared by studies: for what is larger than memory.

An entry is a folder, ``images/KEY`` in the cache, of ``pixels`` (see ``PixelFile``) and ``facts.npz``. Its key is of
the files' paths, sizes and times, of the size and of all else that the pixels depend on: a folder that changed has
another. It is written beside, whole or not at all, and renamed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.data.image_modes import Depth, Range
from trainables.data.memory import cache_folder
from trainables.data.pixel_file import PixelFile
from trainables.data.pixels import DecodedImages, ImageFacts, Unread, coloured, decode_into, pixels_digest
from trainables.data.room import gib
from trainables.errors import DataError, first_line
from trainables.file_lock import file_lock
from trainables.stage import stage

VERSION = 1
"""Of the entries: what is decoded otherwise lies under another key."""

CHECKED_AT_ONCE = 64
"""Images of an entry that are in memory while all of them are compared with their digests."""

WAY_ON = "what was decoded is removed, and the same command decodes from the start"

PIXELS, FACTS = "pixels", "facts.npz"
DEPTHS: tuple[Depth | None, ...] = (None, "integers", "floats")


def decoded_file(
    root: Path,
    files: Sequence[Path],
    size: int,
    *,
    background: tuple[int, int, int],
    ranges: Mapping[Depth, Range] | None = None,
) -> DecodedImages:
    """Return the images of a folder, decoded as ``decode_images`` does, with their pixels in a file of the cache.

    Another process that decodes the same is waited for. An entry that is damaged is removed and made again.

    Args:
        root: the folder.
        files: its files.
        size: width and height, in pixels.
        background: a colour, red, green and blue.
        ranges: see ``plain_image``.

    Raises:
        DataError: the disk has no room for it, or cannot be written, or something else lies in its place.
    """
    folder = cache_folder() / "images"
    entry = folder / _key(root, files, size, background, ranges or {})
    _refuse_strangers(entry)
    try:
        with file_lock(entry.with_suffix(".lock"), what="decoded images"):
            found, damaged = _kept(entry, len(files), size)
            if found is None:
                _make(entry, files, size, background, ranges)
                found = _read(entry, len(files), size)
            return replace(found, damaged=damaged)
    except OSError as error:
        raise DataError(
            f"decoded images cannot be kept in {folder} ({error.strerror}); XDG_CACHE_HOME names another folder"
        ) from None


def _key(
    root: Path,
    files: Sequence[Path],
    size: int,
    background: tuple[int, int, int],
    ranges: Mapping[Depth, Range],
) -> str:
    import PIL

    digest = hashlib.sha256(repr((VERSION, PIL.__version__, size, background, sorted(ranges.items()))).encode())
    for file in (root.resolve(), *files):
        found = os.stat(file)
        times = () if file == root.resolve() else (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        digest.update(f"{os.fspath(file)!r} {times}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _kept(entry: Path, images: int, size: int) -> tuple[DecodedImages | None, str]:
    """Return what an entry holds, None where there is none, and how it is damaged: one that is, is removed."""
    if not entry.is_dir():
        return None, ""
    try:
        if _is_whole(found := _read(entry, images, size)):
            return found, ""
        why = "its pixels are not what they were"
    except Exception as error:  # NumPy's and zipfile's readers raise whatever damaged bytes lead them to
        why = first_line(error)
    shutil.rmtree(entry)
    return None, why


def _is_whole(found: DecodedImages) -> bool:
    """Say whether the pixels of each image have its digest."""
    assert isinstance(found.pixels, PixelFile)
    file, whole = found.pixels.with_channels(3), np.flatnonzero(found.whole)
    digests = (facts.digest for facts in found.found if isinstance(facts, ImageFacts))
    with stage("checking decoded images", total=len(whole)) as checking:
        for start in range(0, len(whole), CHECKED_AT_ONCE):
            pixels = file[whole[start : start + CHECKED_AT_ONCE]]
            if any(pixels_digest(one) != next(digests) for one in pixels):
                return False
            checking.advance(len(pixels))
    return True


def _refuse_strangers(entry: Path) -> None:
    """Look whether anything that is not of this cache lies where an entry is to be, or what goes with it.

    Raises:
        DataError: it does; a line for each.
    """
    lock, part = entry.with_suffix(".lock"), entry.with_suffix(".part")
    wrong = [
        path
        for path, right in ((entry, entry.is_dir()), (part, part.is_dir()), (lock, lock.is_file()))
        if os.path.lexists(path) and (path.is_symlink() or not right)
    ]
    if wrong:
        raise DataError([f"{path} is none of the decoded images that are kept there; move it away" for path in wrong])


def _make(
    entry: Path,
    files: Sequence[Path],
    size: int,
    background: tuple[int, int, int],
    ranges: Mapping[Depth, Range] | None,
) -> None:
    part = entry.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed: the lock says that none is at it
    need = len(files) * 3 * size * size
    free = shutil.disk_usage(entry.parent).free
    if need > free:
        raise DataError(
            f"{len(files):,} decoded images of {size} x {size} pixels take {gib(need)}, and the disk of {entry.parent} "
            f"has {gib(free)} free; XDG_CACHE_HOME names another folder, --image-size makes them smaller"
        )
    part.mkdir()
    try:
        with _FileStore(part / PIXELS, len(files), size) as store:
            found = decode_into(store, files, background=background, ranges=ranges, way_on=WAY_ON)
        np.savez(part / FACTS, **_columns(found))  # type: ignore[arg-type]
        part.rename(entry)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


class _FileStore:
    """Images in a file that is written with plain writes: on a full disk these raise, where a map ends the process."""

    def __init__(self, path: Path, images: int, size: int) -> None:
        self._shape = (3, size, size)
        self._file = path.open("wb")
        os.posix_fallocate(self._file.fileno(), 0, max(1, images * 3 * size * size))

    def __enter__(self) -> _FileStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.flush()
        self._file.close()

    def block(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return zeros."""
        return np.zeros((stop - start, *self._shape), np.uint8)

    def put(self, start: int, block: NDArray[np.uint8]) -> None:
        """Write the images to their place."""
        data, at = block.data.cast("B"), start * int(np.prod(self._shape))
        while len(data):
            written = os.pwrite(self._file.fileno(), data, at)
            data, at = data[written:], at + written


def _read(entry: Path, images: int, size: int) -> DecodedImages:
    with (entry / FACTS).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        found = _facts({name: file[name] for name in file.files}, images)
    pixels = PixelFile(entry / PIXELS, images=images, size=size)
    return DecodedImages(pixels if coloured(found) else pixels.with_channels(1), found)


def _columns(found: Sequence[ImageFacts | Unread]) -> dict[str, NDArray[np.generic]]:
    """Return facts as arrays without objects, by name; ``unread`` says why there are none."""
    none = ImageFacts(0, 0, False, False, False, False, 0, None, (0.0, 0.0), 0)
    facts = [one if isinstance(one, ImageFacts) else none for one in found]
    columns: dict[str, NDArray[np.generic]] = {
        "unread": np.array([one.value if isinstance(one, Unread) else "" for one in found]),
        "depth": np.array([DEPTHS.index(one.depth) for one in facts], np.int8),
        "digest": np.array([one.digest for one in facts], np.uint64),
    }
    names = [field.name for field in fields(ImageFacts) if field.name not in columns]
    return columns | {name: np.array([getattr(one, name) for one in facts]) for name in names}


def _facts(columns: Mapping[str, NDArray[np.generic]], images: int) -> tuple[ImageFacts | Unread, ...]:
    """Return what ``_columns`` made arrays of.

    Raises:
        ValueError, KeyError: these are no such arrays, of so many images.
    """
    for name, like in _columns([Unread.DAMAGED]).items():
        column = columns[name]
        if column.shape != (images, *like.shape[1:]) or column.dtype.kind != like.dtype.kind:
            raise ValueError(f"{name} of {images:,} images is of shape {column.shape}, {column.dtype}")
    depths, numbers = columns["depth"], (columns["width"], columns["height"], columns["missing"], columns["depth"])
    if min((column.min() for column in numbers), default=0) < 0 or depths.max() >= len(DEPTHS):
        raise ValueError("facts of images that no image has")
    lists = [columns[field.name].tolist() for field in fields(ImageFacts)]
    unread = columns["unread"].tolist()
    depth_at = [field.name for field in fields(ImageFacts)].index("depth")
    lists[depth_at] = [DEPTHS[number] for number in lists[depth_at]]
    values_at = [field.name for field in fields(ImageFacts)].index("values")
    lists[values_at] = [tuple(pair) for pair in lists[values_at]]
    return tuple(Unread(why) if why else ImageFacts(*values) for why, *values in zip(unread, *lists, strict=True))
