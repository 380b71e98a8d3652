"""The ledger: every fact of a study in one small database, appended in batches, read as pandas frames.

Everything else (the Optuna study, the rungs, MLflow, the leaderboard) is rebuilt from it.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from search.errors import RunError
from search.ledger import schema
from search.ledger.database import Database, inserted_id
from search.ledger.facts import StudyFacts, to_columns
from search.ledger.fits import FitRole, FitRow, fit_columns, fit_row
from search.ledger.outcome import SessionEnding
from search.ledger.rows import (
    DecisionRow,
    EpochRow,
    EventRow,
    SessionRow,
    StudyRow,
    TrialRow,
    decision_row,
    epoch_row,
    event_row,
    session_row,
    study_row,
    trial_row,
)

if TYPE_CHECKING:
    import pandas as pd

    from search.ledger.events import EventKind

T = TypeVar("T")


class Ledger(Database):
    """Studies, sessions, trials, epochs, decisions, events and fits.

    A search writes trials, epochs, decisions and events through a ``LedgerWriter``. Args and what is raised are those
    of ``Database``.
    """

    def create_study(self, name: str, declaration: Mapping[str, Any], *, fingerprint: str, facts: StudyFacts) -> int:
        """Record a new study and return its id."""
        row = {
            "name": name,
            "declaration": json.dumps(declaration),
            "fingerprint": fingerprint,
            "created_at": time.time(),
            **to_columns(facts.model_dump()),
        }
        try:
            with self.writing() as connection:
                return inserted_id(connection.execute(sa.insert(schema.studies).values(row)))
        except IntegrityError:
            raise RunError(f"study {name!r} exists in ledger {self.where}; choose another --name") from None

    def accept_model(self, study_id: int, model: Mapping[str, str]) -> None:
        """Record that the study goes on with another model than it began with."""
        self._update_study(study_id, to_columns({"model": model}))

    def redeclare(self, study_id: int, declaration: Mapping[str, Any]) -> None:
        """Replace the declaration of a study that is being extended."""
        self._update_study(study_id, {"declaration": json.dumps(declaration)})

    def rename_study(self, row: StudyRow, name: str) -> None:
        """Give a study another name; everything else of it stays, what tells it from others in MLflow included.

        Raises:
            RunError: another study has it.
        """
        try:
            self._update_study(row.id, {"name": name, "declaration": json.dumps({**row.declaration, "name": name})})
        except IntegrityError:
            raise RunError(f"study {name!r} exists in ledger {self.where}; choose another name") from None

    def delete_studies(self, ids: Sequence[int]) -> None:
        """Delete all that is recorded of studies, in one transaction."""
        with self.writing() as connection:
            for table in reversed(schema.metadata.sorted_tables):  # what refers to a row goes before it
                if "study_id" in table.columns:
                    connection.execute(sa.delete(table).where(table.c.study_id.in_(ids)))
            connection.execute(sa.delete(schema.studies).where(schema.studies.c.id.in_(ids)))

    def _update_study(self, study_id: int, columns: Mapping[str, Any]) -> None:
        with self.writing() as connection:
            connection.execute(sa.update(schema.studies).where(schema.studies.c.id == study_id).values(columns))

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
        self.migrate()
        with self.reading() as connection:
            self.switch_to_wal(connection)  # a file that was saved by sqlite3's .recover is not
        with self.writing() as connection:
            return inserted_id(connection.execute(sa.insert(schema.sessions).values(row)))

    def end_session(self, session_id: int, ending: SessionEnding) -> None:
        """Record how the session ended."""
        table, now = schema.sessions, time.time()
        change = sa.update(table).where(table.c.id == session_id)
        with self.writing() as connection:
            connection.execute(change.values(ended_at=now, seen_at=now, ending=ending.value))

    def refuse_while_driven_elsewhere(self, study_id: int) -> None:
        """Refuse a study that a process on another host drives: no file lock tells of that one.

        Raises:
            RunError: it was seen alive less than a minute ago.
        """
        if (driver := self.driver_elsewhere(study_id)) is not None:
            raise RunError(f"the study is being searched by {driver}")

    def driver_elsewhere(self, study_id: int) -> str | None:
        """Return in words the process on another host that drives a study, seen alive less than a minute ago, or None.

        No file lock tells of that one.
        """
        sessions = self.sessions(study_id)
        return next((s.driver for s in sessions if s.elsewhere and s.may_be_alive), None)

    def end_lost_sessions(self, study_id: int) -> int:
        """Record that sessions without an ending died when they were last seen; return how many."""
        table = schema.sessions
        lost = sa.update(table).where(table.c.study_id == study_id, table.c.ended_at.is_(None))
        with self.writing() as connection:
            died = lost.values(ended_at=table.c.seen_at, ending=SessionEnding.DIED.value)
            return connection.execute(died).rowcount

    def seconds_used(self, study_id: int) -> float:
        """Return the wall seconds of all sessions; one without an ending counts until it was last seen.

        One during which the clock was set back to before its start counts for none.
        """
        return float(sum(max(0.0, (s.ended_at or s.seen_at) - s.started_at) for s in self.sessions(study_id)))

    def sessions(self, study_id: int) -> list[SessionRow]:
        """Return the sessions of a study, oldest first."""
        return self._rows(schema.sessions, study_id, session_row)

    def trials(self, study_id: int, *, after_revision: int = -1) -> list[TrialRow]:
        """Return the trials by number; with ``after_revision`` only those changed since."""
        table = schema.trials
        query = sa.select(table).where(table.c.study_id == study_id, table.c.revision > after_revision)
        return self.read(query.order_by(table.c.number), trial_row)

    def epochs(self, study_id: int, *, after_id: int = 0) -> list[EpochRow]:
        """Return the epochs of all trials in the order they were reported."""
        return self._epochs(schema.epochs, study_id, after_id)

    def audit_epochs(self, study_id: int, *, after_id: int = 0) -> list[EpochRow]:
        """Return the epochs of pruned trials that trained on after the search, from their first one on."""
        return self._epochs(schema.audit_epochs, study_id, after_id)

    def _epochs(self, table: sa.Table, study_id: int, after_id: int) -> list[EpochRow]:
        query = sa.select(table).where(table.c.study_id == study_id, table.c.id > after_id)
        return self.read(query.order_by(table.c.id), epoch_row)

    def decisions(self, study_id: int) -> list[DecisionRow]:
        """Return the decisions of the scheduler in the order in which they were taken."""
        return self._rows(schema.decisions, study_id, decision_row)

    def events(self, study_id: int, *kinds: EventKind, trial: int | None = None) -> list[EventRow]:
        """Return what else happened in the order it did; with ``kinds`` only events of these, or of one ``trial``."""
        of_trial = () if trial is None else (schema.events.c.number == trial,)
        rows = self._rows(schema.events, study_id, event_row, *of_trial)
        return [row for row in rows if row.kind in kinds] if kinds else rows

    def add_fits(self, study_id: int, fits: Sequence[FitRow]) -> None:
        """Record fits, all of them or none."""
        with self.writing() as connection:
            connection.execute(sa.insert(schema.fits), [{"study_id": study_id, **fit_columns(fit)} for fit in fits])

    def fits(self, study_id: int, *roles: FitRole) -> list[FitRow]:
        """Return the fits of these roles in the order they were recorded."""
        return [fit for fit in self._rows(schema.fits, study_id, fit_row) if fit.role in roles]

    def newest(self, study_id: int) -> tuple[int | None, ...]:
        """Return numbers of which one changes whenever something of the study is recorded; cheap to ask often."""
        counting = (schema.epochs, schema.audit_epochs, schema.events, schema.fits, schema.sessions)
        newest: list[tuple[sa.Table, sa.ColumnElement[Any]]] = [(t, sa.func.max(t.c.id)) for t in counting]
        newest.append((schema.trials, sa.func.max(schema.trials.c.revision)))
        newest.append((schema.sessions, sa.func.count(schema.sessions.c.ended_at)))
        query = sa.select(*(sa.select(n).where(t.c.study_id == study_id).scalar_subquery() for t, n in newest))
        with self.reading() as connection:
            return tuple(connection.execute(query).one())

    def trials_frame(self, study_id: int) -> pd.DataFrame:
        """Return one row a trial: number, state, reason, seed, hash, times, params.

        ``params`` is a dict of the active ones; ``params_<name>`` holds one each, NaN where inactive. ``origin`` says
        whose configuration it is, where the study was begun with some of an earlier one.
        """
        import pandas as pd

        trials = self.trials(study_id)
        warm = any(t.origin is not None for t in trials)
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
                **({"origin": t.origin} if warm else {}),
                "params": t.params,
                **{f"params_{n}": v for n, v in t.params.items()},
            }
            for t in trials
        ]
        return pd.DataFrame(rows, columns=None if rows else ["number", "state", "stop_reason", "message"])

    def epochs_frame(self, study_id: int) -> pd.DataFrame:
        """Return one row an epoch: number, epoch, seconds, at, and a column for each metric."""
        return _frame(self.epochs(study_id))

    def audit_epochs_frame(self, study_id: int) -> pd.DataFrame:
        """Return the same of the pruned trials that trained on; see ``audit_epochs``."""
        return _frame(self.audit_epochs(study_id))

    def decisions_frame(self, study_id: int) -> pd.DataFrame:
        """Return one row a decision of the scheduler: number, epoch, action, value, cutoff, reason."""
        import pandas as pd

        columns = [c.name for c in schema.decisions.columns if c.name not in ("id", "study_id")]
        return pd.DataFrame(self._rows(schema.decisions, study_id, lambda row: row._asdict()), columns=columns)

    def events_frame(self, study_id: int) -> pd.DataFrame:
        """Return one row an event: at, level, kind, trial (None where it is about several or none), message."""
        import pandas as pd

        columns = ["at", "level", "kind", "trial", "message"]
        rows = [(e.at, e.level.value, e.kind.value, e.trial, e.message) for e in self.events(study_id)]
        return pd.DataFrame(rows, columns=columns)

    def _rows(
        self, table: sa.Table, study_id: int, build: Callable[[Any], T], *also: sa.ColumnElement[bool]
    ) -> list[T]:
        """Return what ``build`` makes of each row of a study for which ``also`` is so, oldest first."""
        return self.read(sa.select(table).where(table.c.study_id == study_id, *also).order_by(table.c.id), build)


def _frame(epochs: Sequence[EpochRow]) -> pd.DataFrame:
    import pandas as pd

    rows = [{"number": e.number, "epoch": e.epoch, "seconds": e.seconds, "at": e.at, **e.metrics} for e in epochs]
    return pd.DataFrame(rows, columns=None if rows else ["number", "epoch", "seconds", "at"])
