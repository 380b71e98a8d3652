"""Numbered migrations: each brings a ledger of one version of the schema to the next.

A ledger that is written to is migrated where it is, in one transaction. One that is only read is left as it is: what
it holds is copied into a database in memory, which is migrated in its place and read like any other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from search.errors import RunError
from search.ledger import schema
from search.ledger.columns import from_json, mapping, text
from search.ledger.events import EventKind
from search.ledger.fits import FitRole, FitRow, fit_columns
from search.ledger.outcome import StopReason, TrialState
from search.ledger.rows import session_row
from trainables.derive import derive

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine


def migrate(connection: Connection, version: int) -> None:
    """Bring the tables behind ``connection`` from ``version`` to the present one, in its transaction.

    Raises:
        ValueError, LookupError, TypeError: they hold something that cannot be.
    """
    for number in range(version, schema.VERSION):
        MIGRATIONS[number](connection)
    present = {"value": str(schema.VERSION)}
    connection.execute(sa.update(schema.meta).where(schema.meta.c.key == schema.VERSION_KEY).values(present))


def migrated_copy(connection: Connection, version: int) -> Engine:
    """Return a database in memory with all that an old one holds, brought to the present version.

    Raises:
        ValueError, LookupError, TypeError: it holds something that cannot be.
    """
    engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    present = set(sa.inspect(connection).get_table_names())
    with engine.begin() as memory:
        for name in schema.metadata.tables.keys() & present:
            rows = connection.execute(sa.text(f"SELECT * FROM {name}"))
            columns = ", ".join(rows.keys())  # SQLite needs no types to hold what it is given
            memory.exec_driver_sql(f"CREATE TABLE {name} ({columns})")
            places = ", ".join("?" * len(rows.keys()))
            if values := [tuple(row) for row in rows]:
                memory.exec_driver_sql(f"INSERT INTO {name} VALUES ({places})", values)
        migrate(memory, version)
    return engine


def refuse_while_driven(connection: Connection, where: str) -> None:
    """Refuse to migrate a ledger that another process writes: an older Lanewise would write to tables that are gone.

    Raises:
        RunError: a process drives a study of the ledger ``where``.
    """
    open_ones = sa.select(schema.sessions).where(schema.sessions.c.ended_at.is_(None))
    for session in map(session_row, connection.execute(open_ones)):
        if session.may_be_alive and session.pid != os.getpid():
            raise RunError(f"ledger {where} cannot be migrated: {session.driver} writes to it; wait for it to end")


def _to_2(connection: Connection) -> None:
    """Facts become columns of their study, refits rows of a table, and events data where they were sentences."""
    schema.fits.create(connection)
    for column, kind in _FACTS.items():
        connection.execute(sa.text(f"ALTER TABLE studies ADD COLUMN {column} {kind}"))
    for study_id, declaration, facts in connection.execute(sa.text("SELECT id, declaration, facts FROM studies")).all():
        known = mapping(facts)
        refits = known.pop("refits", None)
        _insert_facts(connection, study_id, known)
        if refits is not None:
            _insert_refits(connection, study_id, mapping(declaration), refits)
    connection.execute(sa.text("ALTER TABLE studies DROP COLUMN facts"))
    connection.execute(sa.text("ALTER TABLE events ADD COLUMN number INTEGER"))
    connection.execute(sa.text("ALTER TABLE events ADD COLUMN data TEXT NOT NULL DEFAULT '{}'"))
    for event_id, kind, message in connection.execute(sa.text("SELECT id, kind, message FROM events")).all():
        # only this kind was ever read back: from its sentence, "trial 3 ran out of memory; ..."
        alone = kind == EventKind.TRIED_ALONE
        values = {
            "id": event_id,
            "number": int(text(message).split()[1]) if alone else None,
            "data": "{}" if alone else json.dumps({"message": text(message)}),
        }
        connection.execute(sa.text("UPDATE events SET number = :number, data = :data WHERE id = :id"), values)
    connection.execute(sa.text("ALTER TABLE events DROP COLUMN message"))


_FACTS = {
    "uid": "VARCHAR(64)",
    "versions": "TEXT",
    "model": "TEXT",
    "data": "TEXT",
    "prepared": "TEXT",
    "lanes": "INTEGER",
    "lane_modes": "TEXT",
}
"""The columns of the facts in version 2."""


def _insert_facts(connection: Connection, study_id: int, facts: dict[str, Any]) -> None:
    """Move the facts of a study from the one object of version 1 to their columns; what is left was its trainable's."""
    values = {"uid": facts.pop("lanewise.study_uid", None), "lanes": facts.pop("lanes", None)}
    for name in ("versions", "model", "data", "lane_modes"):
        values[name] = json.dumps(facts.pop(name)) if name in facts else None
    values["prepared"] = json.dumps(facts)
    changes = ", ".join(f"{name} = :{name}" for name in values)
    connection.execute(sa.text(f"UPDATE studies SET {changes} WHERE id = :id"), {**values, "id": study_id})


def _insert_refits(
    connection: Connection, study_id: int, declaration: Mapping[str, Any], refits: Mapping[str, Any]
) -> None:
    """Make a row of each fit; what version 1 did not say of it is what its trial and its study say."""
    metric, seed = declaration["objective"]["metric"], declaration["seed"]
    epochs = {entry["trial"]: entry["epoch"] for entry in refits["chosen"]}
    query = sa.text("SELECT number, config_hash, params FROM trials WHERE study_id = :id")
    trials = {number: rest for number, *rest in connection.execute(query, {"id": study_id})}
    for fit in refits["fits"]:
        config_hash, params = trials[fit["trial"]]
        failed = "error" in fit
        row = FitRow(
            role=FitRole.REFIT,
            trial=fit["trial"],
            config_hash=config_hash,
            params=from_json(params),
            seed=derive(seed, "refit", fit["split"]),
            split=fit["split"],
            epochs=epochs[fit["trial"]],
            state=TrialState.FAILED if failed else TrialState.COMPLETE,
            reason=StopReason.ERROR if failed else None,
            message=fit.get("error"),
            metrics={} if failed else {metric: fit["value"]},
            seconds=fit.get("seconds"),
            train_examples=refits["train"],
            scored_examples=refits["val"],
            started_at=None,
            ended_at=None,
        )
        connection.execute(sa.insert(schema.fits).values(study_id=study_id, **fit_columns(row)))


def _to_3(connection: Connection) -> None:
    """Pruned trials may train on after the search, in a table of their own."""
    schema.audit_epochs.create(connection)


def _to_4(connection: Connection) -> None:
    """Trials may be paused: no column changes, but version 3 would take their state and their reason for damage."""


MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {1: _to_2, 2: _to_3, 3: _to_4}
"""What brings a ledger of each version to the next."""
