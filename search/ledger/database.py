"""The database behind a ledger: its tables made, its version checked, and what it raises put in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from search.errors import LedgerError, RunError, StorageError
from search.ledger import schema
from search.ledger.damage import has_log, is_damage, keep_copy
from trainables.disk import space_hint

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

    Any read raises LedgerError where the database is damaged; a copy of it is kept first. Any write raises
    StorageError where the database cannot be written.

    Args:
        url: of SQLAlchemy; SQLite runs in WAL, so that readers never wait for the writer.
        create: make the tables where they are absent.

    Attributes:
        where: the file, or the URL without its password, as messages name it.

    Raises:
        RunError: no database there, not a database, or one of another schema version.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        self.url = url
        try:
            shown = sa.make_url(url)
        except ArgumentError:
            raise RunError(f"ledger {url!r} is no database URL, such as postgresql+psycopg://USER@HOST/NAME") from None
        self.where = shown.database or "" if shown.drivername.startswith("sqlite") else shown.render_as_string()
        if shown.drivername.startswith("sqlite") and not create and not Path(self.where).is_file():
            raise RunError(f"no ledger at {self.where}")
        try:
            # a database of SQL_ASCII, as initdb makes in the locale C, answers in bytes otherwise
            encoding = {"client_encoding": "utf8"} if shown.drivername.startswith("postgresql") else {}
            self.engine: Engine = sa.create_engine(url, connect_args=encoding)
        except ModuleNotFoundError as error:
            raise RunError(
                f"ledger {self.where} needs the package {error.name}; pip install 'lanewise[postgresql]'"
            ) from None
        self._file = Path(self.where) if shown.drivername.startswith("sqlite") else None
        if self._file is not None and has_log(self._file) and not (self._file.exists() and self._file.stat().st_size):
            raise LedgerError(
                f"ledger {self.where} is damaged (it is empty, but the log beside it is not: SQLite would remove "
                "that); nothing was started or changed"
            )
        if self._file is not None:
            event.listen(self.engine, "connect", _configure_sqlite)
        try:
            if create:
                with self.engine.connect() as connection:
                    self.switch_to_wal(connection)
                self._make_tables()
            found = self._version()
        except FAULTS as error:
            kept = self._kept_if(is_damage(error))
            self.engine.dispose()
            raise LedgerError(f"ledger {self.where} cannot be opened: {_cause(error)}{self._hint()}{kept}") from None
        if found is None:
            kept = self._kept_if(True)
            self.engine.dispose()
            raise LedgerError(f"{self.where} is a database, but no Lanewise ledger{kept}")
        if found != schema.VERSION:
            self.engine.dispose()
            age = "newer" if found > schema.VERSION else "older"
            raise RunError(
                f"ledger {self.where} has schema version {found}, {age} than the {schema.VERSION} of this "
                "Lanewise; open it with the version that wrote it"
            )

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
        with self.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            page = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
            if found == "ok" and self._file.stat().st_size % page:
                found = "its last page is cut off"  # SQLite reads zeros there and does not notice
            if found != "ok":
                raise self._damaged(str(found))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection; what the database raises becomes a ``LedgerError``."""
        try:
            with self.engine.connect() as connection:
                try:
                    yield connection
                except FAULTS as error:  # while it is open: a last connection that closes tidies the files up
                    raise self._unreadable(error) from None
        except FAULTS as error:
            raise self._unreadable(error) from None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction; what the database raises becomes a ``StorageError``."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise  # not the disk's fault
        except FAULTS as error:
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

    def _hint(self) -> str:
        return "" if self._file is None else space_hint(self._file)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_tables(self) -> None:
        """Make the tables that are absent, and write their version, at once: nobody reads tables without it."""
        with self.engine.begin() as connection:
            if self._file is not None:
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # Python's sqlite3 would commit each table alone
            schema.metadata.create_all(connection)
            if connection.execute(sa.select(schema.meta)).first() is None:
                row = {"key": "schema_version", "value": str(schema.VERSION)}
                connection.execute(sa.insert(schema.meta).values(row))

    def switch_to_wal(self, connection: Connection) -> None:
        """Let readers never wait for the writer, where that is SQLite's to say."""
        if self._file is not None:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    def _version(self) -> int | None:
        """Return the version of the schema; None where there is none."""
        query = sa.select(schema.meta.c.value).where(schema.meta.c.key == "schema_version")
        with self.engine.connect() as connection:
            value = connection.execute(query).scalars().first()
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
