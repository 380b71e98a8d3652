"""Features in files that are mapped into memory, so that several processes share them."""

from __future__ import annotations

import fcntl
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch

from trainables.transfer.feature_store import FeatureKey

ENDING = ".f32"


class FileFeatureStore:
    """Features in a folder, a file each; what they belong to is part of its name.

    Args:
        folder: made when it is needed.
        prefix: tells these features from those of other weights, data or preprocessing.
    """

    def __init__(self, folder: Path, *, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._mapped: dict[FeatureKey, torch.Tensor] = {}
        self._shapes: dict[FeatureKey, tuple[int, ...]] = {}

    def get(self, key: FeatureKey) -> torch.Tensor | None:
        """See ``FeatureStore``; a file that another process let go stays readable where it was mapped before."""
        file = self._file(key)
        if key not in self._mapped:
            shape = self._shape_in(file)
            if shape is None:
                return None
            self._mapped[key] = _mapped(file, shape)
        with suppress(OSError):
            os.utime(file)
        return self._mapped[key]

    def used(self) -> OrderedDict[FeatureKey, int]:
        """See ``FeatureStore``; files of other weights or data count, and go first."""
        found: list[tuple[bool, int, FeatureKey, int]] = []
        for file in self._folder.glob(f"*{ENDING}") if self._folder.is_dir() else ():
            with suppress(OSError):  # another process removed it meanwhile
                state = file.stat()
                key = self._key(file)
                found.append((key[0] != file.stem, state.st_mtime_ns, key, state.st_size))
        return OrderedDict((key, size) for _, _, key, size in sorted(found))

    def create(self, key: FeatureKey, shape: Sequence[int]) -> torch.Tensor | None:
        """See ``FeatureStore``; None where the disk has no room."""
        file = self._file(key).with_suffix(".tmp")
        size = 4 * int(np.prod(shape))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with open(file, "wb") as opened:
                os.posix_fallocate(opened.fileno(), 0, size)  # a full disk raises here; writing to a map would end us
        except OSError:
            file.unlink(missing_ok=True)
            return None
        self._shapes[key] = tuple(shape)
        return _mapped(file, tuple(shape))

    def keep(self, key: FeatureKey, filled: torch.Tensor) -> torch.Tensor:
        """See ``FeatureStore``."""
        file = self._file(key)
        shape_file(file).write_text(" ".join(map(str, self._shapes[key])))
        file.with_suffix(".tmp").replace(file)  # whole or not at all
        self._mapped[key] = filled
        return filled

    def drop(self, key: FeatureKey) -> None:
        """See ``FeatureStore``."""
        self._mapped.pop(key, None)
        for file in (self._file(key), shape_file(self._file(key))):
            file.unlink(missing_ok=True)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See ``FeatureStore``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with open(self._folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the lock goes with the file
            yield

    def _file(self, key: FeatureKey) -> Path:
        name, depth = key
        return self._folder / (f"{name}{ENDING}" if depth < 0 else f"{self._prefix}-{name}-{depth}{ENDING}")

    def _key(self, file: Path) -> FeatureKey:
        """Return the key of a file; one of another prefix has its whole name and depth -1."""
        prefix, _, rest = file.stem.partition("-")
        name, _, depth = rest.rpartition("-")
        return (name, int(depth)) if prefix == self._prefix else (file.stem, -1)

    def _shape_in(self, file: Path) -> tuple[int, ...] | None:
        try:
            shape = tuple(int(side) for side in shape_file(file).read_text().split())
            return shape if file.stat().st_size == 4 * int(np.prod(shape)) else None
        except (OSError, ValueError):
            return None


def shape_file(file: Path) -> Path:
    """Return the file that holds the shape of another's numbers."""
    return file.with_suffix(".shape")


def _mapped(file: Path, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.memmap(file, np.float32, "r+", shape=shape))
