"""What to say of a disk that cannot be written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SCARCE_BYTES = 16 << 20
"""With less free than this a disk that cannot be written is probably full."""


def space_hint(path: Path) -> str:
    """Return ``; its disk has 0.1 MiB free: make space``, or nothing where there is enough, or no disk (``/proc``)."""
    # os.path.exists: below a folder without permission, Path.exists raises
    existing = next(folder for folder in (path.absolute(), *path.absolute().parents) if os.path.exists(folder))
    disk = shutil.disk_usage(existing)
    return (
        ""
        if disk.free >= SCARCE_BYTES or not disk.total
        else f"; its disk has {disk.free / 2**20:.1f} MiB free: make space"
    )
