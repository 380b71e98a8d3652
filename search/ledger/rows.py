"""What the ledger's tables hold, as data; a row that holds something else is refused."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Any

from search.credentials import bare_address, masked, masked_data
from search.declaration.options import addresses
from search.ledger.columns import mapping, model, number, numbers, pairs, text, told_values, whole
from search.ledger.events import EVENTS, Event, EventKind, Level
from search.ledger.facts import StudyFacts, from_columns
from search.ledger.outcome import SessionEnding, StopReason, TrialState, parse_reason, reason_label
from trainables.report import with_seconds

ORIGIN = "from"
"""Under what a trial's notes name the earlier study and the trial there whose configuration it has."""

ALIVE_S = 60.0
"""A session that was seen so recently is taken to be alive, where its process cannot be asked."""

CLOCK_S = 2.0
"""How much later than its session a process may seem to have begun: the system counts its start in ticks."""


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One study as the ledger holds it.

    Attributes:
        declaration: plain data; ``stored_study.study_from_row`` makes the study of it.
        fingerprint: sha256 of the study's data.
        ledger: where that is, for messages.
    """

    id: int
    name: str
    declaration: dict[str, Any]
    fingerprint: str
    facts: StudyFacts
    created_at: float
    ledger: str


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One process that drives or drove a study.

    Attributes:
        seen_at: when it last wrote to the ledger.
        ending: None while it drives the study, and where it died without a word.
    """

    id: int
    study_id: int
    host: str
    pid: int
    started_at: float
    seen_at: float
    ended_at: float | None
    ending: SessionEnding | None

    @property
    def elsewhere(self) -> bool:
        """Whether it ran on another host."""
        return self.host != socket.gethostname()

    @property
    def may_be_alive(self) -> bool:
        """Whether its process may still write: it was seen within ``ALIVE_S``, and is there if it is of this host."""
        from psutil import pid_exists

        seen_lately = self.ended_at is None and abs(time.time() - self.seen_at) < ALIVE_S  # clocks are set back, too
        return seen_lately and (self.elsewhere or pid_exists(self.pid))

    @property
    def is_running(self) -> bool:
        """Whether its process still drives the study; of another host, whether it was seen within ``ALIVE_S``.

        A process of the same number that began later is another.
        """
        if self.ended_at is not None:
            return False
        if self.elsewhere:
            return time.time() - self.seen_at < ALIVE_S
        from psutil import Error, Process

        try:
            return bool(Process(self.pid).create_time() <= self.started_at + CLOCK_S)
        except Error:
            return False

    @property
    def driver(self) -> str:
        """The process in words: ``process 77 on a-host since 2026-11-24 18:24:49``."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started_at))
        return f"process {self.pid} on {self.host} since {since}"


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial as the ledger holds it.

    Attributes:
        params: active parameters.
        sampler_attrs: Optuna's own notes on the trial, which some samplers continue from, and whose configuration it
            is where an earlier study had it.
        repeats: earlier trials whose configuration the sampler proposed again just before, each with the
            value that Optuna was told again for it.
        reason: why it ended; None while it goes on.
        rung: the epoch at which it was pruned, for ``StopReason.RUNG``.
        message: what a failed trial's exception said, in one line.
        revision: counts the ledger's batches; the last one that changed the trial.
    """

    number: int
    params: dict[str, Any]
    config_hash: str
    seed: int
    sampler_attrs: dict[str, Any]
    repeats: list[tuple[int, float | list[float] | None]]
    state: TrialState
    reason: StopReason | None
    rung: int | None
    message: str | None
    traceback: str | None
    started_at: float
    ended_at: float | None
    revision: int

    @property
    def origin(self) -> str | None:
        """Whose configuration it is where an earlier study had it, as it is shown: ``digits-a trial 12``."""
        found = self.sampler_attrs.get(ORIGIN)
        return f"{found.get('study')} trial {found.get('trial')}" if isinstance(found, dict) else None

    @property
    def stop_reason(self) -> str | None:
        """The reason as it is shown: ``patience``, ``rung_9``."""
        return None if self.reason is None else reason_label(self.reason, self.rung)


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch of one trial as the ledger holds it.

    Attributes:
        id: orders all of a study's epochs.
        metrics: the trial's own.
        seconds: wall time of the epoch.
    """

    id: int
    number: int
    epoch: int
    seconds: float
    at: float
    metrics: dict[str, float]

    @property
    def values(self) -> dict[str, float]:
        """Everything that an objective may name: the metrics and the seconds, as ``epoch_seconds``."""
        return with_seconds(self.metrics, self.seconds)


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One decision of the scheduler on a trial as the ledger holds it; see ``search.brain.decision.Decision``."""

    number: int
    epoch: int
    action: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something else that happened.

    Attributes:
        at: seconds since 1970.
        trial: the number of the trial that it is about, if it is about one.
        message: the sentence it is shown as.
        event: the record; None where the ledger was written in schema version 1, which kept the sentence alone.
    """

    at: float
    level: Level
    kind: EventKind
    trial: int | None
    message: str
    event: Event | None


def study_row(row: Any, *, ledger: str) -> StudyRow:
    """Return a row of ``studies``; raises ValueError where it cannot be one."""
    return StudyRow(
        id=whole(row.id),
        name=text(row.name),
        declaration=bare_declaration(mapping(row.declaration)),
        fingerprint=text(row.fingerprint),
        facts=from_columns(row._mapping),
        created_at=number(row.created_at),
        ledger=ledger,
    )


def bare_declaration(declaration: dict[str, Any]) -> dict[str, Any]:
    """Return a declaration as plain data without the credentials that an older Lanewise stored in its addresses."""
    for address in addresses():
        *parts, name = address.split(".")
        inside: Any = declaration
        for part in parts:
            inside = inside.get(part) if isinstance(inside, dict) else None
        if isinstance(inside, dict) and isinstance(inside.get(name), str):
            inside[name] = bare_address(inside[name])
    return declaration


def session_row(row: Any) -> SessionRow:
    """Return a row of ``sessions``; raises ValueError where it cannot be one."""
    return SessionRow(
        id=whole(row.id),
        study_id=whole(row.study_id),
        host=text(row.host),
        pid=whole(row.pid),
        started_at=number(row.started_at),
        seen_at=number(row.seen_at),
        ended_at=None if row.ended_at is None else number(row.ended_at),
        ending=None if row.ending is None else SessionEnding(row.ending),
    )


def trial_row(row: Any) -> TrialRow:
    """Return a row of ``trials``; raises ValueError where it cannot be one."""
    reason, rung = (None, None) if row.stop_reason is None else parse_reason(text(row.stop_reason))
    return TrialRow(
        number=whole(row.number),
        params=mapping(row.params),
        config_hash=text(row.config_hash),
        seed=whole(row.seed),
        sampler_attrs=mapping(row.sampler_attrs),
        repeats=[(whole(earlier), told_values(value)) for earlier, value in pairs(row.repeats)],
        state=TrialState(row.state),
        reason=reason,
        rung=rung,
        message=None if row.message is None else masked(text(row.message)),
        traceback=None if row.traceback is None else masked(text(row.traceback)),
        started_at=number(row.started_at),
        ended_at=None if row.ended_at is None else number(row.ended_at),
        revision=whole(row.revision),
    )


def epoch_row(row: Any) -> EpochRow:
    """Return a row of ``epochs``; raises ValueError where it cannot be one."""
    seconds, at, metrics = number(row.seconds), number(row.at), numbers(row.metrics)
    return EpochRow(whole(row.id), whole(row.number), whole(row.epoch), seconds, at, metrics)


def decision_row(row: Any) -> DecisionRow:
    """Return a row of ``decisions``; raises ValueError where it cannot be one."""
    return DecisionRow(whole(row.number), whole(row.epoch), text(row.action))


def event_row(row: Any) -> EventRow:
    """Return a row of ``events``; raises ValueError where it cannot be one."""
    kind, data = EventKind(row.kind), masked_data(mapping(row.data))
    trial = None if row.number is None else whole(row.number)
    if data.keys() == {"message"}:
        return EventRow(number(row.at), Level(row.level), kind, trial, text(data["message"]), None)
    event = model(EVENTS[kind], {**data, "trial": trial})
    return EventRow(number(row.at), Level(row.level), kind, trial, event.sentence, event)
