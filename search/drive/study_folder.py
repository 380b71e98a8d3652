"""The folder of a study as a whole: how much it takes, set aside, deleted, moved to another place or disk."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import tempfile
from pathlib import Path

from search.errors import RunError
from trainables.disk import space_hint
from trainables.stage import Stage, stage

BIN = ".deleted-"
"""What a folder's name in a home begins with that holds what is being deleted; a study's begins with no dot."""
ARRIVING = ".arriving-"
"""What a folder's name in a home begins with into which a study is being copied."""
BLOCK = 512
"""Bytes of a block, as the system counts them."""


def bytes_on_disk(folder: Path) -> int:
    """Return how many bytes a folder and all in it take; what cannot be looked at counts for none."""
    total = 0
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * BLOCK
            except OSError:
                continue
    return total


def set_aside(folder: Path) -> Path:
    """Move a study's folder out of sight, in a moment, and return where it is: in a folder of its own of the home.

    Raises:
        RunError: it cannot be moved.
    """
    try:
        place = Path(tempfile.mkdtemp(prefix=BIN, dir=folder.parent))
        try:
            return folder.rename(place / folder.name)
        except OSError:
            place.rmdir()
            raise
    except OSError as error:
        raise RunError(f"{folder} cannot be deleted: {error.strerror}") from None


def put_back(aside: Path, folder: Path) -> None:
    """Undo ``set_aside``."""
    aside.rename(folder)
    aside.parent.rmdir()


def erase(aside: Path) -> str | None:
    """Delete what was set aside; return in a line what could not be deleted, or None.

    Args:
        aside: what ``set_aside`` returned.
    """
    failed: list[str] = []

    def note(_: object, path: str, error: tuple[object, BaseException, object]) -> None:
        failed.append(f"{path}: {getattr(error[1], 'strerror', None) or error[1]}")

    left = f"rm -r {shlex.quote(str(aside.parent))}"
    with stage(f"deleting the files of {aside.name}", way_on=f"what is left of them: {left}"):
        shutil.rmtree(aside.parent, onerror=note)
    return f"{aside.name} is deleted, but for {failed[0]}; what is left: {left}" if failed else None


def left_of_deletions(home: Path) -> list[Path]:
    """Return what deletions that were cut off have left in a home."""
    return sorted(home.glob(f"{BIN}*")) if home.is_dir() else []


def move_folder(folder: Path, target: Path) -> str | None:
    """Move a study's folder, also to another disk: there it appears when all of it has arrived, and only then.

    Returns:
        In a line what is left where it was, though all of it has arrived; None where nothing is.

    Raises:
        RunError: it cannot be moved; it is where it was.
    """
    try:
        os.rename(folder, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise RunError(f"{folder} cannot be moved to {target}: {error.strerror}") from None
    else:
        return None
    _copy(folder, target)
    try:
        return erase(set_aside(folder))
    except RunError as error:
        return f"all of {folder} is in {target} now, but it {error.errors[0].partition(' cannot ')[2]} where it was"


def _copy(folder: Path, target: Path) -> None:
    """Copy a folder to another disk, all of it or nothing."""
    arriving = Path(tempfile.mkdtemp(prefix=ARRIVING, dir=target.parent))
    total = bytes_on_disk(folder)
    try:
        with stage(f"copying {folder} to another disk", way_on="nothing was moved") as copying:
            shutil.copytree(
                folder, arriving / target.name, symlinks=True, copy_function=_Copier(copying, max(total, 1))
            )
        os.rename(arriving / target.name, target)
    except (OSError, shutil.Error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise RunError(f"{folder} cannot be copied to {target}: {why}{space_hint(target.parent)}") from None
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


class _Copier:
    """Copies a file, and says how much of all is copied."""

    def __init__(self, copying: Stage, total: int) -> None:
        self._copying, self._total, self._done = copying, total, 0

    def __call__(self, source: str, target: str) -> None:
        shutil.copy2(source, target, follow_symlinks=False)
        self._done += os.lstat(target).st_blocks * BLOCK
        self._copying.update(min(1.0, self._done / self._total))
