"""Folders and files for this user alone, whatever the umask: what trials said may hold what others must not read."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path

OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private_folder(folder: Path) -> None:
    """Make a folder that its owner alone can enter, and those above it as usual; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=stat.S_IRWXU)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        folder.chmod(stat.S_IRWXU)  # a umask may have taken the owner's rights, too


def make_private_file(file: Path) -> None:
    """Make an empty file that its owner alone can read; one that is there, or cannot be made, is left as it is."""
    with suppress(OSError):
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, stat.S_IRUSR | stat.S_IWUSR)
        os.fchmod(descriptor, stat.S_IRUSR | stat.S_IWUSR)
        os.close(descriptor)


def openness(folder: Path) -> str | None:
    """Return in a sentence that others can enter or read a folder; None where they cannot, or it is not there."""
    try:
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError:
        return None
    if not mode & OF_OTHERS:
        return None
    close = f"chmod 700 {shlex.quote(str(folder))}"
    return f"other users of this machine may look into {folder} (mode {mode:o}); to close it: {close}"
