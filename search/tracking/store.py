"""MLflow's store, opened: a database in a file is made by one process at a time.

MLflow makes its tables in some seventy steps that are no transaction: two processes that begin them at once leave a
database that nobody can open again (mlflow#19943), as does one that is killed among them. So a lock beside the file
lets one process in, which makes them at once where it knows what they come to (``new_database.py``). The database of a
home is a projection of the ledgers there: one whose making broke is put aside and made anew, and its artifacts are
looked for where the home is now.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, chdir, closing, contextmanager, nullcontext
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from search.ledger.damage import is_damage, set_aside
from search.ledger.paths import MLFLOW_ARTIFACTS, MLFLOW_FILE
from search.tracking.login import client_uri
from search.tracking.mlflow_client import UNREACHABLE, VERSION, MlflowClient, ViewType
from search.tracking.new_database import make_database

BUSY_S = 20.0
"""How long a look into the database waits for others that write to it; MLflow itself waits as long."""

POOL = "MLFLOW_SQLALCHEMYSTORE_POOLCLASS"
"""MLflow's setting of how connections are kept. For a file none are: one that was kept would go on writing to a file
that has been put aside or removed."""

ARTIFACT_PLACES = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of MLflow's database that hold a place below its experiment's artifacts."""

_ESCAPED: list[Path] = []
"""The files that this process opened whose URI has an escape."""

Say = Callable[[str], None]


def open_store(uri: str, *, artifacts: Path | None, say: Say) -> tuple[MlflowClient, bool]:
    """Return a client of MLflow whose store exists, and whether that replaces one that could not be used.

    Args:
        uri: MLflow tracking URI.
        artifacts: the folder of a home's artifacts; the database beside it is that home's own.
        say: is told what was mended.

    Raises:
        One of ``UNREACHABLE``: the store refused or cannot be reached.
    """
    file = database_file(uri)
    if file is None:
        return _client(client_uri(uri)), False
    os.environ.setdefault(POOL, "NullPool")
    owned = artifacts is not None and file == artifacts.absolute().parent / MLFLOW_FILE
    with creation_lock(file):
        if not owned:
            return _client(uri, file), False
        anew = False
        if file.is_file() and (why := _why_unusable(file)) is not None:
            anew = _put_aside(file, why, say)
        try:
            client = _client(uri, file)
        except UNREACHABLE:
            if not _holds_no_run(file):
                raise
            anew = _put_aside(file, "it was not made to its end, and holds no run", say)
            client = _client(uri, file)
        _point_to(file.parent / MLFLOW_ARTIFACTS, file, say)
        return client, anew


def database_file(uri: str) -> Path | None:
    """Return the file of a store that is a database in a file; None for any other."""
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        return None
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:" or url.query:
        return None
    return Path(url.database).absolute()


@contextmanager
def creation_lock(database: Path) -> Iterator[None]:
    """Hold the lock beside a database; the system lets go of it when the process ends, however it ends.

    Raises:
        OSError: the lock cannot be made.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _client(uri: str, file: Path | None = None) -> MlflowClient:
    """Return a client, whose making opens the store, or makes it."""
    place: AbstractContextManager[None] = nullcontext()
    if file is not None and "%" in uri:
        place, uri = chdir(file.parent), _relative(file, uri)
    if file is not None:
        make_database(file, version=VERSION)
    with place:
        client = MlflowClient(uri)
        client.search_experiments(view_type=ViewType.ALL, max_results=1)
    return client


def _relative(file: Path, uri: str) -> str:
    """Return the URI of a file as its own folder sees it.

    MLflow makes the folder that a URI names as it is written, escapes included, beside the one that is meant; and it
    keeps what it opened by its URI, so each file has its own.
    """
    if file not in _ESCAPED:
        _ESCAPED.append(file)
    return f"sqlite:///{'./' * _ESCAPED.index(file)}{uri.rpartition('/')[2]}"


def _why_unusable(file: Path) -> str | None:
    """Return why nothing can open a home's database, in words; None if something may."""
    try:
        with _looking_at(file) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables:
                return None
            revisions = _count(database, "alembic_version") if "alembic_version" in tables else 0
            return None if revisions == 1 else "it was not made to its end"
    except sqlite3.Error as error:
        return f"it is damaged: {error}" if is_damage(error) else None


def _holds_no_run(file: Path) -> bool:
    """Say whether a database that MLflow refuses has nothing to lose."""
    try:
        with _looking_at(file) as database:
            found = database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'runs'").fetchone()
            return found is None or _count(database, "runs") == 0
    except sqlite3.Error:
        return False


def _count(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


@contextmanager
def _looking_at(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, timeout=BUSY_S)) as database:
        yield database


def _put_aside(file: Path, why: str, say: Say) -> bool:
    say(f"MLflow's database {file} could not be used ({why}): it is now {set_aside(file)}, and made anew")
    return True


def _point_to(artifacts: Path, file: Path, say: Say) -> None:
    """Have experiments and runs look for their artifacts where the home is now, if it has been moved."""
    here = artifacts.as_uri()
    with _looking_at(file) as database:
        places = database.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        before = [place for (place,) in places if place and place != here and place.endswith(f"/{MLFLOW_ARTIFACTS}")]
        if not before:
            return
        with database:
            for place in before:
                database.execute(
                    "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (here, place)
                )
                for table, column in ARTIFACT_PLACES:
                    database.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (here, len(place) + 1, len(place) + 1, f"{place}/"),
                    )
    say(f"MLflow's artifacts are looked for in {artifacts} now (before: {', '.join(sorted(before))})")
