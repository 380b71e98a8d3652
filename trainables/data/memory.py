"""Room for large arrays: in memory, or in a file mapped into it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from trainables.errors import DataError

MAPPED_FROM_BYTES = 1 << 30
"""Size from which an array lies in a file."""


def allocate(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array to be filled: in memory below ``MAPPED_FROM_BYTES``, else in a file.

    The file has no name any more: it goes when the last array in it does.

    Raises:
        DataError: the disk has no room for it.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size < MAPPED_FROM_BYTES or not size:
        return np.empty(shape, dtype)
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # On a full disk this raises; writing to a map would end the process.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))
    except OSError as error:
        raise DataError(
            f"{size / 2**30:.1f} GiB of decoded examples do not fit in {folder} ({error.strerror}); "
            "XDG_CACHE_HOME names another folder"
        ) from None


def is_mapped(array: NDArray[Any]) -> bool:
    """Say whether ``array`` lies in a file, so that a copy would bring it into memory after all."""
    return isinstance(array, np.memmap) or isinstance(array.base, np.memmap)


def cache_folder() -> Path:
    """Return where the files lie: ``$XDG_CACHE_HOME/lanewise``, or ``~/.cache/lanewise``."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "lanewise"
