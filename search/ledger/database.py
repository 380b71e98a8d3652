"""The database behind a ledger: its tables made or migrated, and what it raises put in words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError

from search.credentials import UnreadableAddress, better_way, masked_address, put_back, take_out
from search.errors import LedgerError, RunError, StorageError
from search.ledger import schema
from search.ledger.damage import has_log, is_damage, keep_copy, keep_old_version
from search.ledger.events import LedgerMigrated
from search.ledger.migrations import MIGRATIONS, migrated_copy, refuse_while_driven
from search.ledger.migrations import migrate as migrate_tables
from search.ledger.private_files import make_private_file
from trainables.disk import space_hint
from trainables.stage import stage

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

T = TypeVar("T")

VERSION_DIGITS = 9
"""More digits than any version of the schema has."""

FAULTS = (DBAPIError, sqlite3.Error, UnicodeDecodeError)
"""What a database that is damaged, full or gone raises; the second where SQLAlchemy does not wrap it, the third
where SQLite's own message quotes damaged bytes."""


class Database:
    """The tables of ``schema`` behind one URL.

    A database of an older version is left as it is while it is read, and migrated by ``migrate`` or the first write.
    Any read raises LedgerError where the database is damaged; a copy of it is kept first. Any write raises
    StorageError where the database cannot be written.

    Args:
        url: a database URL of SQLAlchemy, with its password or without one that this process was given before; SQLite
            runs in WAL, so that readers never wait for the writer.
        create: make the tables where they are absent.

    Attributes:
        url: the URL without its password.
        where: the file, or the URL without its password, as messages name it.

    Raises:
        RunError: no database there, not a database, or one of a version that this Lanewise does not know.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        self.engine: Engine
        self.engine, self.where = _engine(url, create=create)
        self.url = take_out(url)
        self._file = Path(self.where) if self.engine.dialect.name == "sqlite" else None
        self._kept_when_connected = ""
        if self._file is not None:
            if has_log(self._file) and not (self._file.exists() and self._file.stat().st_size):
                raise LedgerError(
                    f"ledger {self.where} is damaged (it is empty, but the log beside it is not: SQLite would remove "
                    "that); nothing was started or changed"
                )
            event.listen(self.engine, "connect", self._configure)
        # what an old database holds, in memory and in tables of the present version
        self._migrated: Engine | None = None
        try:
            with stage(f"opening the ledger {self.where}"):
                found = self._open(create=create)
            if found != schema.VERSION:
                self._migrated = self._migrated_copy(found)
        except RunError:
            self.engine.dispose()
            raise

    def _open(self, *, create: bool) -> int:
        """Make the tables where that is asked for and there are none; return their version, which is a known one."""
        try:
            if create:
                if self._file is not None and not self._file.exists():
                    _make_file(self._file)
                with self.engine.connect() as connection:
                    self.switch_to_wal(connection)
                make_tables(self.engine)
            with self.engine.connect() as connection:
                found = _version(connection)
        except FAULTS as error:
            kept = self._kept_when_connected or self._kept_if(is_damage(error))
            raise LedgerError(
                f"ledger {self.where} cannot be opened: {_cause(error)}{self._hint(_cause(error))}{kept}"
            ) from None
        if found is None:
            raise LedgerError(f"{self.where} is a database, but no Lanewise ledger{self._kept_if(True)}")
        if found not in (*MIGRATIONS, schema.VERSION):
            age = "newer" if found > schema.VERSION else "older"
            raise RunError(
                f"ledger {self.where} has schema version {found}, {age} than the {schema.VERSION} of this "
                "Lanewise; open it with the version that wrote it"
            )
        return found

    def _configure(self, connection: sqlite3.Connection, record: object) -> None:
        """Prepare a new connection. One that fails is closed at once, and SQLite tidies the log away with it."""
        try:
            _configure_sqlite(connection, record)
        except sqlite3.Error as error:
            self._kept_when_connected = self._kept_if(is_damage(error))
            raise

    def _kept_if(self, damaged: bool) -> str:
        """Keep a copy of a file that may be damaged and has a log: SQLite may write that into it when it closes."""
        return f"; {keep_copy(self._file)}" if self._file is not None and damaged and has_log(self._file) else ""

    def check_whole(self) -> None:
        """Ask the database to check itself.

        Raises:
            LedgerError: it is damaged; a copy is kept beside it before anything else touches it.
        """
        if self._file is None:
            return
        with stage(f"checking the ledger {self.where}"), self._reading(self.engine) as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            page = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
            if found == "ok" and self._file.stat().st_size % page:
                found = "its last page is cut off"  # SQLite reads zeros there and does not notice
            if found != "ok":
                raise self._damaged(str(found))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection to tables of the present version; what the database raises becomes a ``LedgerError``."""
        with self._reading(self._migrated or self.engine) as connection:
            yield connection

    @contextmanager
    def _reading(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.connect() as connection:
                try:
                    yield connection
                except FAULTS as error:  # while it is open: a last connection that closes tidies the files up
                    raise self._unreadable(error) from None
        except FAULTS as error:
            raise self._unreadable(error) from None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction; what the database raises becomes a ``StorageError``."""
        self.migrate()
        with self._writing() as connection:
            yield connection

    def migrate(self) -> LedgerMigrated | None:
        """Bring an old database to the present version; a copy of a file is kept beside it first.

        Returns:
            What was done; None where nothing was to do.

        Raises:
            RunError: another process drives a study of it.
        """
        if self._migrated is None:
            return None
        with self._writing() as connection:
            _begin_immediately(connection)
            found = _version(connection, locked=True)
            copy = None
            if found is not None and found in MIGRATIONS:  # else another process was faster
                refuse_while_driven(connection, self.where)
                copy = None if self._file is None else keep_old_version(self._file, found)
                migrate_tables(connection, found)
        self._migrated.dispose()
        self._migrated = None
        if found is None or found not in MIGRATIONS:
            return None
        kept = None if copy is None else str(copy)
        return LedgerMigrated(old_version=found, new_version=schema.VERSION, copy_of_old=kept)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise  # not the disk's fault
        except (*FAULTS, OSError) as error:
            raise StorageError(
                f"the ledger {self.where} cannot be written: {_cause(error)}; everything recorded before stays"
                f"{self._hint()}"
            ) from None

    def read(self, query: sa.Select[Any], build: Callable[[Any], T]) -> list[T]:
        """Return what ``build`` makes of each row; a row that it refuses is damage."""
        with self.reading() as connection:
            rows = connection.execute(query)
            try:
                return [build(row) for row in rows]
            except ValueError as error:
                tables = " and ".join(table.name for table in query.get_final_froms() if isinstance(table, sa.Table))
                raise self._damaged(f"a row of {tables} cannot be read: {error}") from None

    def _unreadable(self, error: BaseException) -> LedgerError:
        if self._file is None or not is_damage(error):
            return LedgerError(f"ledger {self.where} cannot be read: {_cause(error)}{self._hint()}")
        return self._damaged(_cause(error))

    def _damaged(self, what: str) -> LedgerError:
        """Keep a copy of the database file and return what to raise."""
        line = f"ledger {self.where} is damaged ({what.splitlines()[0]}); nothing was started or changed"
        if self._file is None:
            return LedgerError(line)
        return LedgerError(f"{line}, {keep_copy(self._file)}")

    def _hint(self, cause: str = "") -> str:
        if self._file is not None:
            return space_hint(self._file)
        return f"; passwords are not stored: {better_way(self.url)}" if "password" in cause else ""

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        if self._migrated is not None:
            self._migrated.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _migrated_copy(self, version: int) -> Engine:
        try:
            with self._reading(self.engine) as connection:
                return migrated_copy(connection, version)
        except (ValueError, LookupError, TypeError) as error:
            raise self._damaged(f"of schema version {version}: {type(error).__name__}: {error}") from None

    def switch_to_wal(self, connection: Connection) -> None:
        """Let readers never wait for the writer, where that is SQLite's to say."""
        if self._file is not None:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    def overwrite_what_is_deleted(self, connection: Connection) -> None:
        """Have SQLite write zeros over what the transaction behind ``connection`` removes, not leave it in the file."""
        if self._file is not None:
            connection.exec_driver_sql("PRAGMA secure_delete=ON")

    def empty_log(self) -> None:
        """Write SQLite's log into the database, and empty it, as far as no reader needs it."""
        if self._file is not None:
            with self._reading(self.engine) as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _engine(url: str, *, create: bool) -> tuple[Engine, str]:
    """Return what connects to the database, and how messages name it."""
    no_url = f"ledger {masked_address(url)!r} is no database URL, such as postgresql+psycopg://USER@HOST/NAME"
    try:
        whole = put_back(take_out(url))
        parts = sa.make_url(whole)
    except (UnreadableAddress, ArgumentError):
        raise RunError(no_url) from None
    sqlite = parts.drivername.startswith("sqlite")
    where = parts.database or "" if sqlite else masked_address(whole)
    if sqlite and not create and not Path(where).is_file():
        raise RunError(f"no ledger at {where}")
    try:
        # a database of SQL_ASCII, as initdb makes in the locale C, answers in bytes otherwise
        encoding = {"client_encoding": "utf8"} if parts.drivername.startswith("postgresql") else {}
        if sqlite and not create and _is_at_rest_and_unwritable(file := Path(where).absolute()):
            return sa.create_engine(parts, creator=partial(_connect_at_rest, file)), where
        return sa.create_engine(parts, connect_args=encoding), where
    except NoSuchModuleError:
        raise RunError(no_url) from None
    except ModuleNotFoundError as error:
        raise RunError(f"ledger {where} needs the package {error.name}; pip install 'lanewise[postgresql]'") from None


def _is_at_rest_and_unwritable(file: Path) -> bool:
    """Say whether this process may not write beside an SQLite file that nobody writes to, on a read-only disk, say.

    To read in WAL, SQLite makes an index beside the file where there is none.
    """
    return not os.access(file.parent, os.W_OK) and not has_log(file)


def _connect_at_rest(file: Path) -> sqlite3.Connection:
    """Open a file that does not change while it is open, without a log or a lock."""
    address = f"{file.as_uri()}?immutable=1"
    return sqlite3.connect(address, uri=True, check_same_thread=False)


def make_tables(engine: Engine) -> None:
    """Make the tables where there are none, with their version, at once: nobody reads tables without it."""
    with engine.begin() as connection:
        _begin_immediately(connection)
        if sa.inspect(connection).has_table(schema.meta.name):
            return
        schema.metadata.create_all(connection)
        row = {"key": schema.VERSION_KEY, "value": str(schema.VERSION)}
        connection.execute(sa.insert(schema.meta).values(row))


def _begin_immediately(connection: Connection) -> None:
    """Have the transaction hold others' writes off from its start, and make tables in it, not beside it."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # Python's sqlite3 begins none for a CREATE or ALTER


def _make_file(file: Path) -> None:
    """Make an SQLite file with the tables. It gets its name last: one whose making was cut off is none."""
    begun = file.with_name(f"{file.name}.{os.getpid()}.new")
    begun.unlink(missing_ok=True)
    make_private_file(begun)  # SQLite's log and index beside it will have its mode
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(begun)))
    try:
        make_tables(engine)
        engine.dispose()
        begun.rename(file)
    finally:
        engine.dispose()
        begun.unlink(missing_ok=True)


def _version(connection: Connection, *, locked: bool = False) -> int | None:
    """Return the version of the schema, None where there is none; ``locked`` keeps others from changing it."""
    query = sa.select(schema.meta.c.value).where(schema.meta.c.key == schema.VERSION_KEY)
    value = connection.execute(query.with_for_update() if locked else query).scalars().first()
    if not isinstance(value, str) or not value.isdecimal() or len(value) > VERSION_DIGITS:
        return None
    return int(value)


def inserted_id(result: sa.CursorResult[Any]) -> int:
    """Return the key that the database gave to the row that was inserted."""
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def _configure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=10000")
    # FULL: a transaction that was reported as written survives a power cut. (WAL is a property of the file.)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _cause(error: BaseException) -> str:
    return (str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__])[0]
