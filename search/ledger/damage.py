"""Copies of a ledger in SQLite that are kept before anything else touches it; how damage is told."""

from __future__ import annotations

import filecmp
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from search.ledger.private_files import make_private_file

LOG = "-wal"
"""Ends the name of SQLite's log beside a database; it may hold the latest transactions."""

PASSING = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_AUTH,
}
"""What SQLite says of files that it cannot reach or that others use; anything else it says of what is in them."""


def is_damage(error: BaseException) -> bool:
    """Say whether an error of SQLite, or of SQLAlchemy around one, tells of damage inside the file."""
    code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", None)
    return code is None or code & 0xFF not in PASSING  # the rest of the code is a detail


def has_log(file: Path) -> bool:
    """Say whether transactions may lie in the log beside the database at ``file``."""
    log = _log_of(file)
    return log.exists() and log.stat().st_size > 0


def _log_of(file: Path) -> Path:
    return Path(f"{file}{LOG}")


def keep_copy(file: Path) -> str:
    """Copy a damaged database and its log, unless such a copy is there, and return in words where it is."""
    for copy in file.parent.glob(f"{file.name}.damaged-*"):
        if not copy.name.endswith(LOG) and filecmp.cmp(file, copy, shallow=False):
            return f"a copy is in {copy}"
    copy = _fresh(Path(f"{file}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"))
    try:
        for part in (copy, _log_of(copy)) if has_log(file) else (copy,):
            make_private_file(part)
        if has_log(file):
            shutil.copyfile(_log_of(file), _log_of(copy))
        shutil.copyfile(file, copy)
    except OSError as error:
        return f"but no copy of it could be made ({error})"
    return f"a copy is in {copy}; sqlite3's .recover may save it"


def keep_old_version(file: Path, version: int) -> Path:
    """Copy a database, with what is in its log, to a file beside it before it is migrated, and return that.

    Raises:
        OSError: it cannot be written.
        sqlite3.Error: the database cannot be read.
    """
    copy = _fresh(Path(f"{file}.v{version}"))
    partial = copy.with_name(f"{copy.name}.tmp")
    make_private_file(partial)
    try:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(partial)) as target:
            source.backup(target)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        return partial.rename(copy)
    finally:
        partial.unlink(missing_ok=True)


def set_aside(file: Path) -> Path:
    """Rename a database that cannot be used, with SQLite's files beside it, and return its new name.

    Raises:
        OSError: it cannot be renamed.
    """
    aside = _fresh(Path(f"{file}.broken-{time.strftime('%Y%m%d-%H%M%S')}"))
    for end in (LOG, "-shm", "-journal"):  # first: left behind, they would be taken for the new database's
        if (beside := Path(f"{file}{end}")).exists():
            beside.rename(f"{aside}{end}")
    return file.rename(aside)


def _fresh(path: Path) -> Path:
    """Return ``path``, or one like it that is not there yet."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found
