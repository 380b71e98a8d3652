"""Copies of a picture among images: the same in every pixel, whatever the file's name or format."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Copies:
    """Which images are copies of others.

    Attributes:
        first: [N] the index of the first image with the same picture: its own where none is before.
        dropped: [N] bool; whether an image is a copy of one in another part, and so left out.
        contradictory: the indices of images whose picture is in more than one class.
    """

    first: NDArray[np.int64]
    dropped: NDArray[np.bool_]
    contradictory: tuple[int, ...]


def find_copies(
    digests: Sequence[Hashable | None],
    y: NDArray[np.int64],
    part: Sequence[str],
    *,
    file_digest: Callable[[int], Hashable],
    picture: Callable[[int], Hashable],
) -> Copies:
    """Find copies, and say which are left out, so that each picture is in one part: that of the first.

    Args:
        digests: for each image something equal for equal pictures, and for few others; None where there is no image.
        y: [N] class numbers.
        part: for each image the part that its folder says.
        file_digest: returns the same for an index whose file has the same bytes.
        picture: returns the same for an index whose picture is the same in every pixel; asked only where it must be.
    """
    first = np.arange(len(y))
    dropped = np.zeros(len(y), bool)
    contradictory: list[int] = []
    for alike in _groups(digests, range(len(y))):
        for same in _same_pictures(alike, file_digest, picture):
            first[same] = same[0]
            dropped[same] = [part[i] != part[same[0]] for i in same]
            if len(set(y[same].tolist())) > 1:
                contradictory += same
    return Copies(first, dropped, tuple(sorted(contradictory)))


def equal_rows(x: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each row of ``x`` the index of the first with the same bits: its own where none is before."""
    first: dict[bytes, int] = {}
    return np.array(
        [first.setdefault(hashlib.sha256(row).digest(), i) for i, row in enumerate(np.ascontiguousarray(x))]
    )


def with_copies(first: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of ``chosen`` firsts and of all their copies, sorted.

    Args:
        first: [N] as ``Copies`` has it.
        chosen: indices of which each is its own first.
    """
    return np.flatnonzero(np.isin(first, chosen))


def bytes_digest(path: Path) -> str:
    """Return a digest of what a file holds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same_pictures(
    alike: list[int], file_digest: Callable[[int], Hashable], picture: Callable[[int], Hashable]
) -> list[list[int]]:
    """Return those of images alike that are the same; files of the same bytes need not be decoded again."""
    files = [file_digest(i) for i in alike]
    if len(set(files)) == 1:
        return [alike]
    known: dict[Hashable, Hashable] = {}
    for i, digest in zip(alike, files, strict=True):
        if digest not in known:
            known[digest] = picture(i)
    return _groups([known[digest] for digest in files], alike)


def _groups(keys: Sequence[Hashable | None], members: Sequence[int]) -> list[list[int]]:
    """Return the members with equal keys, two or more of them, in order."""
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    for key, member in zip(keys, members, strict=True):
        if key is not None:
            found[key].append(member)
    return [same for same in found.values() if len(same) > 1]
