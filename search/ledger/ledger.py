"""The ledger: every fact of a study in one small database, appended in batches, read as pandas frames.

Everything else (the Optuna study, the rungs, MLflow, the leaderboard) is rebuilt from it.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from search.errors import RunError
from search.ledger import schema
from search.ledger.database import Database, inserted_id
from search.ledger.rows import EpochRow, StudyRow, TrialRow, epoch_row, session_row, study_row, text, trial_row

if TYPE_CHECKING:
    import pandas as pd

ALIVE_S = 60.0
"""A session that was seen so recently is taken to be alive, where its process cannot be asked."""


def sqlite_url(path: Path) -> str:
    """Return the URL of the SQLite ledger at ``path``."""
    return f"sqlite:///{path.absolute()}"


class Ledger(Database):
    """Studies, sessions, trials, epochs, decisions and events; a search writes the last four by ``LedgerWriter``.

    Args and what is raised are those of ``Database``.
    """

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
            with self.writing() as connection:
                return inserted_id(connection.execute(sa.insert(schema.studies).values(row)))
        except IntegrityError:
            raise RunError(f"study {name!r} exists in ledger {self.where}; choose another --name") from None

    def add_fact(self, study_id: int, name: str, value: Any) -> None:
        """Keep a fact about a study for later sessions."""
        table = schema.studies
        (row,) = (row for row in self.studies() if row.id == study_id)
        changed = json.dumps({**row.facts, name: value})
        with self.writing() as connection:
            connection.execute(sa.update(table).where(table.c.id == study_id).values(facts=changed))

    def redeclare(self, study_id: int, declaration: Mapping[str, Any]) -> None:
        """Replace the declaration of a study that is being extended."""
        table = schema.studies
        change = sa.update(table).where(table.c.id == study_id).values(declaration=json.dumps(declaration))
        with self.writing() as connection:
            connection.execute(change)

    def studies(self) -> list[StudyRow]:
        """Return every study, oldest first."""
        query = sa.select(schema.studies).order_by(schema.studies.c.id)
        return self.read(query, partial(study_row, ledger=self.where))

    def study(self, name: str) -> StudyRow:
        """Return the study called ``name``.

        Raises:
            RunError: there is none.
        """
        for row in self.studies():
            if row.name == name:
                return row
        raise RunError(f"no study {name!r} in ledger {self.where}")

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
        with self.reading() as connection:
            self.switch_to_wal(connection)  # a file that was saved by sqlite3's .recover is not
        with self.writing() as connection:
            return inserted_id(connection.execute(sa.insert(schema.sessions).values(row)))

    def end_session(self, session_id: int, ending: str) -> None:
        """Record how the session ended: ``done``, ``interrupted``, ``failed``."""
        table = schema.sessions
        with self.writing() as connection:
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
        with self.writing() as connection:
            return connection.execute(lost.values(ended_at=table.c.seen_at, ending="died")).rowcount

    def seconds_used(self, study_id: int) -> float:
        """Return the wall seconds of all sessions; one without an ending counts until it was last seen."""
        return float(sum((s["ended_at"] or s["seen_at"]) - s["started_at"] for s in self.sessions(study_id)))

    def sessions(self, study_id: int) -> list[dict[str, Any]]:
        """Return the sessions of a study, oldest first."""
        table = schema.sessions
        return self.read(sa.select(table).where(table.c.study_id == study_id).order_by(table.c.id), session_row)

    def trials(self, study_id: int, *, after_revision: int = -1) -> list[TrialRow]:
        """Return the trials by number; with ``after_revision`` only those changed since."""
        table = schema.trials
        query = sa.select(table).where(table.c.study_id == study_id, table.c.revision > after_revision)
        return self.read(query.order_by(table.c.number), trial_row)

    def epochs(self, study_id: int, *, after_id: int = 0) -> list[EpochRow]:
        """Return the epochs of all trials in the order they were reported."""
        table = schema.epochs
        query = sa.select(table).where(table.c.study_id == study_id, table.c.id > after_id)
        return self.read(query.order_by(table.c.id), epoch_row)

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
        return self.read(query.order_by(table.c.id), lambda row: text(row.message))

    def _frame(self, table: sa.Table, study_id: int) -> pd.DataFrame:
        import pandas as pd

        query = sa.select(table).where(table.c.study_id == study_id).order_by(table.c.id)
        rows = self.read(query, lambda row: row._asdict())
        columns = [c.name for c in table.columns if c.name not in ("id", "study_id")]
        return pd.DataFrame(rows, columns=columns)
