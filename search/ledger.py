"""The ledger: every fact of a study in one small database, appended in batches, read as pandas frames.

Everything else (the Optuna study, the rungs, MLflow, the leaderboard) is rebuilt from it.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from search import schema
from search.damage import has_log, is_damage, keep_copy
from search.errors import LedgerError, RunError, StorageError
from search.outcome import Outcome, TrialState
from search.rows import EpochRow as EpochRow
from search.rows import StudyRow as StudyRow
from search.rows import TrialRow as TrialRow
from search.rows import epoch_row, session_row, study_row, text, trial_row
from trainables.disk import space_hint

T = TypeVar("T")

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy.engine import Connection, Engine

ALIVE_S = 60.0
"""A session that was seen so recently is taken to be alive, where its process cannot be asked."""

SEEN_EVERY_S = 10.0
"""How often a session that has nothing to record says that it is alive."""

VERSION_DIGITS = 9
"""More digits than any version of the schema has."""

FAULTS = (DBAPIError, sqlite3.Error, UnicodeDecodeError)
"""What a database that is damaged, full or gone raises; the second where SQLAlchemy does not wrap it, the third
where SQLite's own message quotes damaged bytes."""

FLUSH_EVERY_S = 0.25
"""Longest time that a reported epoch waits in memory for its transaction."""


def sqlite_url(path: Path) -> str:
    """Return the URL of the SQLite ledger at ``path``."""
    return f"sqlite:///{path.absolute()}"


class Ledger:
    """The database behind one URL. Reads are methods here; a search writes through ``LedgerWriter``.

    Any read raises LedgerError where the database is damaged; a copy of it is kept first. Any write raises
    StorageError where the database cannot be written.

    Args:
        url: of SQLAlchemy; SQLite runs in WAL, so that readers never wait for the writer.
        create: make the tables where they are absent.

    Raises:
        RunError: no database there, not a database, or one of another schema version.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        self.url = url
        try:
            shown = sa.make_url(url)
        except ArgumentError:
            raise RunError(f"ledger {url!r} is no database URL, such as postgresql+psycopg://USER@HOST/NAME") from None
        self._where = shown.database or "" if shown.drivername.startswith("sqlite") else shown.render_as_string()
        if shown.drivername.startswith("sqlite") and not create and not Path(self._where).is_file():
            raise RunError(f"no ledger at {self._where}")
        try:
            self.engine: Engine = sa.create_engine(url)
        except ModuleNotFoundError as error:
            raise RunError(
                f"ledger {self._where} needs the package {error.name}; pip install 'lanewise[postgresql]'"
            ) from None
        self._file = Path(self._where) if shown.drivername.startswith("sqlite") else None
        if self._file is not None and has_log(self._file) and not (self._file.exists() and self._file.stat().st_size):
            raise LedgerError(
                f"ledger {self._where} is damaged (it is empty, but the log beside it is not: SQLite would remove "
                "that); nothing was started or changed"
            )
        if self._file is not None:
            event.listen(self.engine, "connect", _configure_sqlite)
        try:
            if create:
                with self.engine.connect() as connection:
                    self._switch_to_wal(connection)
                self._make_tables()
            found = self._version()
        except FAULTS as error:
            kept = self._kept_if(is_damage(error))
            self.engine.dispose()
            raise LedgerError(f"ledger {self._where} cannot be opened: {_cause(error)}{self._hint()}{kept}") from None
        if found is None:
            kept = self._kept_if(True)
            self.engine.dispose()
            raise LedgerError(f"{self._where} is a database, but no Lanewise ledger{kept}")
        if found != schema.VERSION:
            self.engine.dispose()
            age = "newer" if found > schema.VERSION else "older"
            raise RunError(
                f"ledger {self._where} has schema version {found}, {age} than the {schema.VERSION} of this "
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
        with self._reading() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            page = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
            if found == "ok" and self._file.stat().st_size % page:
                found = "its last page is cut off"  # SQLite reads zeros there and does not notice
            if found != "ok":
                raise self._damaged(str(found))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
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
    def _writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction; what the database raises becomes a ``StorageError``."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise  # not the disk's fault
        except FAULTS as error:
            raise StorageError(
                f"the ledger {self._where} cannot be written: {_cause(error)}; everything recorded before stays"
                f"{self._hint()}"
            ) from None

    def _read(self, query: sa.Select[Any], build: Callable[[Any], T]) -> list[T]:
        """Return what ``build`` makes of each row; a row that it refuses is damage."""
        with self._reading() as connection:
            rows = connection.execute(query)
            try:
                return [build(row) for row in rows]
            except ValueError as error:
                tables = " and ".join(table.name for table in query.get_final_froms() if isinstance(table, sa.Table))
                raise self._damaged(f"a row of {tables} cannot be read: {error}") from None

    def _unreadable(self, error: BaseException) -> LedgerError:
        if self._file is None or not is_damage(error):
            return LedgerError(f"ledger {self._where} cannot be read: {_cause(error)}{self._hint()}")
        return self._damaged(_cause(error))

    def _damaged(self, what: str) -> LedgerError:
        """Keep a copy of the database file and return what to raise."""
        line = f"ledger {self._where} is damaged ({what.splitlines()[0]}); nothing was started or changed"
        if self._file is None:
            return LedgerError(line)
        return LedgerError(f"{line}, {keep_copy(self._file)}")

    def _hint(self) -> str:
        return "" if self._file is None else space_hint(self._file)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create_study(
        self, name: str, declaration: Mapping[str, Any], *, fingerprint: str, facts: Mapping[str, Any]
    ) -> int:
        """Record a new study and return its id."""
        row = {
            "name": name,
            "declaration": json.dumps(declaration),
            "fingerprint": fingerprint,
            "facts": json.dumps(facts),
            "created_at": time.time(),
        }
        try:
            with self._writing() as connection:
                return _inserted_id(connection.execute(sa.insert(schema.studies).values(row)))
        except IntegrityError:
            raise RunError(f"study {name!r} exists in ledger {self._where}; choose another --name") from None

    def add_fact(self, study_id: int, name: str, value: Any) -> None:
        """Keep a fact about a study for later sessions."""
        table = schema.studies
        (row,) = (row for row in self.studies() if row.id == study_id)
        changed = json.dumps({**row.facts, name: value})
        with self._writing() as connection:
            connection.execute(sa.update(table).where(table.c.id == study_id).values(facts=changed))

    def redeclare(self, study_id: int, declaration: Mapping[str, Any]) -> None:
        """Replace the declaration of a study that is being extended."""
        table = schema.studies
        change = sa.update(table).where(table.c.id == study_id).values(declaration=json.dumps(declaration))
        with self._writing() as connection:
            connection.execute(change)

    def studies(self) -> list[StudyRow]:
        """Return every study, oldest first."""
        query = sa.select(schema.studies).order_by(schema.studies.c.id)
        return self._read(query, partial(study_row, ledger=self._where))

    def study(self, name: str) -> StudyRow:
        """Return the study called ``name``.

        Raises:
            RunError: there is none.
        """
        for row in self.studies():
            if row.name == name:
                return row
        raise RunError(f"no study {name!r} in ledger {self._where}")

    def start_session(self, study_id: int) -> int:
        """Record that this process drives the study from now on, and return the session's id."""
        now = time.time()
        row = {
            "study_id": study_id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": now,
            "seen_at": now,
        }
        with self._reading() as connection:
            self._switch_to_wal(connection)  # a file that was saved by sqlite3's .recover is not
        with self._writing() as connection:
            return _inserted_id(connection.execute(sa.insert(schema.sessions).values(row)))

    def end_session(self, session_id: int, ending: str) -> None:
        """Record how the session ended: ``done``, ``interrupted``, ``failed``."""
        table = schema.sessions
        with self._writing() as connection:
            connection.execute(
                sa.update(table)
                .where(table.c.id == session_id)
                .values(ended_at=time.time(), seen_at=time.time(), ending=ending)
            )

    def refuse_while_driven_elsewhere(self, study_id: int) -> None:
        """Refuse a study that a process on another host drives: no file lock tells of that one.

        Raises:
            RunError: it was seen alive less than a minute ago.
        """
        for s in self.sessions(study_id):
            if s["ended_at"] is None and s["host"] != socket.gethostname() and time.time() - s["seen_at"] < ALIVE_S:
                since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(s["started_at"]))
                raise RunError(f"the study is being searched by process {s['pid']} on {s['host']} since {since}")

    def end_lost_sessions(self, study_id: int) -> int:
        """Record that sessions without an ending died when they were last seen; return how many."""
        table = schema.sessions
        lost = sa.update(table).where(table.c.study_id == study_id, table.c.ended_at.is_(None))
        with self._writing() as connection:
            return connection.execute(lost.values(ended_at=table.c.seen_at, ending="died")).rowcount

    def seconds_used(self, study_id: int) -> float:
        """Return the wall seconds of all sessions; one without an ending counts until it was last seen."""
        return float(sum((s["ended_at"] or s["seen_at"]) - s["started_at"] for s in self.sessions(study_id)))

    def sessions(self, study_id: int) -> list[dict[str, Any]]:
        """Return the sessions of a study, oldest first."""
        table = schema.sessions
        return self._read(sa.select(table).where(table.c.study_id == study_id).order_by(table.c.id), session_row)

    def trials(self, study_id: int, *, after_revision: int = -1) -> list[TrialRow]:
        """Return the trials by number; with ``after_revision`` only those changed since."""
        table = schema.trials
        query = sa.select(table).where(table.c.study_id == study_id, table.c.revision > after_revision)
        return self._read(query.order_by(table.c.number), trial_row)

    def epochs(self, study_id: int, *, after_id: int = 0) -> list[EpochRow]:
        """Return the epochs of all trials in the order they were reported."""
        table = schema.epochs
        query = sa.select(table).where(table.c.study_id == study_id, table.c.id > after_id)
        return self._read(query.order_by(table.c.id), epoch_row)

    def trials_frame(self, study_id: int) -> pd.DataFrame:
        """Return one row a trial: number, state, reason, seed, hash, times, params.

        ``params`` is a dict of the active ones; ``params_<name>`` holds one each, NaN where inactive.
        """
        import pandas as pd

        rows = [
            {
                "number": t.number,
                "state": t.state.value,
                "stop_reason": t.stop_reason,
                "seed": t.seed,
                "config_hash": t.config_hash,
                "started_at": t.started_at,
                "ended_at": t.ended_at,
                "message": t.message,
                "params": t.params,
                **{f"params_{n}": v for n, v in t.params.items()},
            }
            for t in self.trials(study_id)
        ]
        return pd.DataFrame(rows, columns=None if rows else ["number", "state", "stop_reason", "message"])

    def epochs_frame(self, study_id: int) -> pd.DataFrame:
        """Return one row an epoch: number, epoch, seconds, at, and a column for each metric."""
        import pandas as pd

        rows = [
            {"number": e.number, "epoch": e.epoch, "seconds": e.seconds, "at": e.at, **e.metrics}
            for e in self.epochs(study_id)
        ]
        return pd.DataFrame(rows, columns=None if rows else ["number", "epoch", "seconds", "at"])

    def decisions_frame(self, study_id: int) -> pd.DataFrame:
        """Return one row a decision of the scheduler: number, epoch, action, value, cutoff, reason."""
        return self._frame(schema.decisions, study_id)

    def events_frame(self, study_id: int) -> pd.DataFrame:
        """Return one row an event: at, level, kind, message."""
        return self._frame(schema.events, study_id)

    def messages(self, study_id: int, kind: str) -> list[str]:
        """Return what the events of one kind say, oldest first."""
        table = schema.events
        query = sa.select(table.c.message).where(table.c.study_id == study_id, table.c.kind == kind)
        return self._read(query.order_by(table.c.id), lambda row: text(row.message))

    def _frame(self, table: sa.Table, study_id: int) -> pd.DataFrame:
        import pandas as pd

        query = sa.select(table).where(table.c.study_id == study_id).order_by(table.c.id)
        rows = self._read(query, lambda row: row._asdict())
        columns = [c.name for c in table.columns if c.name not in ("id", "study_id")]
        return pd.DataFrame(rows, columns=columns)

    def _make_tables(self) -> None:
        """Make the tables that are absent, and write their version, at once: nobody reads tables without it."""
        with self.engine.begin() as connection:
            if self._file is not None:
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # Python's sqlite3 would commit each table alone
            schema.metadata.create_all(connection)
            if connection.execute(sa.select(schema.meta)).first() is None:
                row = {"key": "schema_version", "value": str(schema.VERSION)}
                connection.execute(sa.insert(schema.meta).values(row))

    def _switch_to_wal(self, connection: Connection) -> None:
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


@dataclass
class _Pending:
    """What the next transaction will write."""

    new_trials: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.new_trials or self.changed or self.epochs or self.decisions or self.events)


class LedgerWriter:
    """Collects a study's facts and writes them a transaction a batch.

    What one batch holds becomes visible together or not at all, so a ledger never shows a decision
    without the epoch it was taken on. One writer a study; each batch also says when the session was
    last seen alive.

    Attributes:
        session: whose batches these are, where it is known.

    Raises:
        StorageError: from ``flush``, where the database cannot be written (a full disk, say).
    """

    def __init__(self, ledger: Ledger, study_id: int, *, session: int | None = None) -> None:
        self.ledger = ledger
        self.study_id = study_id
        self.session = session
        self._pending = _Pending()
        self._oldest = 0.0
        self._seen = time.monotonic()
        table = schema.trials
        query = sa.select(sa.func.max(table.c.revision)).where(table.c.study_id == study_id)
        with ledger._reading() as connection:
            self._revision: int = (connection.execute(query).scalar() or 0) + 1

    def trial_started(
        self,
        number: int,
        params: Mapping[str, Any],
        *,
        config_hash: str,
        seed: int,
        sampler_attrs: Mapping[str, Any],
        repeats: Sequence[tuple[int, float | list[float] | None]],
    ) -> None:
        """Record a new trial."""
        self._mark()
        self._pending.new_trials.append(
            {
                "study_id": self.study_id,
                "number": number,
                "params": json.dumps(dict(params)),
                "config_hash": config_hash,
                "seed": seed,
                "sampler_attrs": json.dumps(dict(sampler_attrs)),
                "repeats": json.dumps(list(repeats)),
                "state": TrialState.RUNNING.value,
                "started_at": time.time(),
                "revision": self._revision,
            }
        )

    def trial_resumed(self, number: int) -> None:
        """Record that a trial which did not end goes on."""
        self._mark()
        self._pending.changed.append(self._change(number, TrialState.RUNNING, None))

    def epoch(self, number: int, epoch: int, *, seconds: float, metrics: Mapping[str, float]) -> None:
        """Record an epoch's metrics."""
        self._mark()
        self._pending.epochs.append(
            {
                "study_id": self.study_id,
                "number": number,
                "epoch": epoch,
                "seconds": seconds,
                "at": time.time(),
                "metrics": json.dumps(dict(metrics)),
            }
        )

    def decision(
        self,
        number: int,
        epoch: int,
        *,
        action: str,
        reason: str,
        value: float | None = None,
        cutoff: float | None = None,
    ) -> None:
        """Record a decision of the scheduler."""
        self._mark()
        self._pending.decisions.append(
            {
                "study_id": self.study_id,
                "number": number,
                "epoch": epoch,
                "action": action,
                "reason": reason,
                "value": value,
                "cutoff": cutoff,
                "at": time.time(),
            }
        )

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        """Record how a trial ended."""
        self._mark()
        self._pending.changed.append(self._change(number, outcome.state, outcome))

    def _change(self, number: int, state: TrialState, outcome: Outcome | None) -> dict[str, Any]:
        return {
            "b_study": self.study_id,
            "b_number": number,
            "state": state.value,
            "stop_reason": outcome.label if outcome else None,
            "message": (outcome.message or None) if outcome else None,
            "traceback": (outcome.traceback or None) if outcome else None,
            "ended_at": time.time() if outcome else None,
            "revision": self._revision,
        }

    def event(self, kind: str, message: str, *, level: str = "info") -> None:
        """Record something worth knowing later."""
        self._mark()
        self._pending.events.append(
            {
                "study_id": self.study_id,
                "at": time.time(),
                "level": level,
                "kind": kind,
                "message": message,
            }
        )

    def flush_if_due(self) -> None:
        """Write the batch when its oldest fact has waited ``FLUSH_EVERY_S``; say now and then that we live."""
        if self._pending and time.monotonic() - self._oldest >= FLUSH_EVERY_S:
            self.flush()
        elif self.session is not None and time.monotonic() - self._seen >= SEEN_EVERY_S:
            self._write_batch()

    def flush(self) -> None:
        """Write everything collected so far in one transaction."""
        if self._pending:
            self._write_batch()

    def _write_batch(self) -> None:
        batch = self._pending
        with self.ledger._writing() as connection:
            _write(connection, batch)
            if self.session is not None:
                sessions = schema.sessions
                seen = sa.update(sessions).where(sessions.c.id == self.session).values(seen_at=time.time())
                connection.execute(seen)
        self._pending = _Pending()
        self._revision += 1
        self._seen = time.monotonic()

    def _mark(self) -> None:
        if not self._pending:
            self._oldest = time.monotonic()


def _write(connection: Connection, batch: _Pending) -> None:
    table = schema.trials
    if batch.new_trials:
        connection.execute(sa.insert(table), batch.new_trials)
    for rows, into in (
        (batch.epochs, schema.epochs),
        (batch.decisions, schema.decisions),
        (batch.events, schema.events),
    ):
        if rows:
            connection.execute(sa.insert(into), rows)
    if batch.changed:
        update = (
            sa.update(table)
            .where(table.c.study_id == sa.bindparam("b_study"), table.c.number == sa.bindparam("b_number"))
            .values(
                {
                    name: sa.bindparam(name)
                    for name in ("state", "stop_reason", "message", "traceback", "ended_at", "revision")
                }
            )
        )
        connection.execute(update, batch.changed)


def _inserted_id(result: sa.CursorResult[Any]) -> int:
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
