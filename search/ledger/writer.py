"""The writer of a ledger: what happens in a search, a transaction a batch."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from search.credentials import masked, masked_data
from search.ledger import schema
from search.ledger.facts import to_columns
from search.ledger.outcome import Outcome, TrialState

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from search.ledger.events import Event
    from search.ledger.ledger import Ledger

SEEN_EVERY_S = 10.0
"""How often a session that has nothing to record says that it is alive."""

FLUSH_EVERY_S = 0.25
"""Longest time that a reported epoch waits in memory for its transaction."""


@dataclass
class _Pending:
    """What the next transaction will write."""

    new_trials: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    audit_epochs: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(vars(self).values())


class LedgerWriter:
    """Collects a study's facts and writes them a transaction a batch.

    What one batch holds becomes visible together or not at all, so a ledger never shows a decision
    without the epoch it was taken on. One writer a study; each batch also says when the session was
    last seen alive.

    Args:
        ledger: where the study is.
        study_id: of the study.
        session: whose batches these are, where it is known.
        flush_every_s: longest time that a fact waits in memory until ``flush_if_due`` writes it.

    Attributes:
        session: whose batches these are, where it is known.

    Raises:
        StorageError: from ``flush``, where the database cannot be written (a full disk, say).
    """

    def __init__(
        self,
        ledger: Ledger,
        study_id: int,
        *,
        session: int | None = None,
        flush_every_s: float = FLUSH_EVERY_S,
    ) -> None:
        self.ledger = ledger
        self.study_id = study_id
        self.session = session
        self._flush_every_s = flush_every_s
        self._pending = _Pending()
        self._oldest = 0.0
        self._seen = time.monotonic()
        table = schema.trials
        query = sa.select(sa.func.max(table.c.revision)).where(table.c.study_id == study_id)
        with ledger.reading() as connection:
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

    def trial_paused(self, number: int) -> None:
        """Record that a trial gave up its lane, and may go on."""
        self._mark()
        self._pending.changed.append(self._change(number, TrialState.PAUSED, None))

    def epoch(self, number: int, epoch: int, *, seconds: float, metrics: Mapping[str, float]) -> None:
        """Record an epoch's metrics."""
        self._mark()
        self._pending.epochs.append(self._epoch_row(number, epoch, seconds, metrics))

    def _epoch_row(self, number: int, epoch: int, seconds: float, metrics: Mapping[str, float]) -> dict[str, Any]:
        return {
            "study_id": self.study_id,
            "number": number,
            "epoch": epoch,
            "seconds": seconds,
            "at": time.time(),
            "metrics": json.dumps(dict(metrics)),
        }

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
            "message": (masked(outcome.message) or None) if outcome else None,
            "traceback": (masked(outcome.traceback) or None) if outcome else None,
            "ended_at": time.time() if outcome else None,
            "revision": self._revision,
        }

    def event(self, event: Event) -> None:
        """Record something worth knowing later."""
        self._mark()
        self._pending.events.append(
            {
                "study_id": self.study_id,
                "at": time.time(),
                "level": event.level.value,
                "kind": event.kind.value,
                "number": event.trial,
                "data": json.dumps(masked_data(event.model_dump(mode="json", exclude={"trial"}))),
            }
        )

    def lanes_chosen(self, lanes: int) -> None:
        """Record how many lanes a worker has, which a resume keeps."""
        self._mark()
        self._pending.facts["lanes"] = lanes

    def lane_modes_measured(self, modes: Mapping[str, str]) -> None:
        """Record how groups of trials train whose mode was measured, which a resume keeps."""
        self._mark()
        self._pending.facts["lane_modes"] = dict(modes)

    def flush_if_due(self) -> None:
        """Write the batch when its oldest fact has waited ``flush_every_s``; say now and then that we live."""
        if self._pending and time.monotonic() - self._oldest >= self._flush_every_s:
            self.flush()
        elif self.session is not None and time.monotonic() - self._seen >= SEEN_EVERY_S:
            self._write_batch()

    def flush(self) -> None:
        """Write everything collected so far in one transaction."""
        if self._pending:
            self._write_batch()

    def _write_batch(self) -> None:
        batch = self._pending
        with self.ledger.writing() as connection:
            _write(connection, self.study_id, batch)
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


def _write(connection: Connection, study_id: int, batch: _Pending) -> None:
    table = schema.trials
    if batch.new_trials:
        connection.execute(sa.insert(table), batch.new_trials)
    for rows, into in (
        (batch.epochs, schema.epochs),
        (batch.audit_epochs, schema.audit_epochs),
        (batch.decisions, schema.decisions),
        (batch.events, schema.events),
    ):
        if rows:
            connection.execute(sa.insert(into), rows)
    if batch.facts:
        study = sa.update(schema.studies).where(schema.studies.c.id == study_id)
        connection.execute(study.values(to_columns(batch.facts)))
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
