"""What the ledger's tables hold, as data; a row that holds something else is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from search.ledger.outcome import TrialState


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial as the ledger holds it.

    Attributes:
        params: active parameters.
        sampler_attrs: Optuna's own notes on the trial, which some samplers continue from.
        repeats: earlier trials whose configuration the sampler proposed again just before, each with the
            value that Optuna was told again for it.
    """

    number: int
    params: dict[str, Any]
    config_hash: str
    seed: int
    sampler_attrs: dict[str, Any]
    repeats: list[tuple[int, float | list[float] | None]]
    state: TrialState
    stop_reason: str | None
    message: str | None
    traceback: str | None
    started_at: float
    ended_at: float | None
    revision: int


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch of one trial as the ledger holds it; ``id`` orders all of a study's epochs."""

    id: int
    number: int
    epoch: int
    seconds: float
    at: float
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One study as the ledger holds it: its declaration and facts are plain data.

    Attributes:
        ledger: where that is, for messages.
    """

    id: int
    name: str
    declaration: dict[str, Any]
    fingerprint: str
    facts: dict[str, Any]
    created_at: float
    ledger: str


def study_row(row: Any, *, ledger: str) -> StudyRow:
    """Return a row of ``studies``; raises ValueError where it cannot be one."""
    return StudyRow(
        id=whole(row.id),
        name=text(row.name),
        declaration=mapping(row.declaration),
        fingerprint=text(row.fingerprint),
        facts=mapping(row.facts),
        created_at=number(row.created_at),
        ledger=ledger,
    )


def session_row(row: Any) -> dict[str, Any]:
    """Return a row of ``sessions``; raises ValueError where it cannot be one."""
    return {
        "id": whole(row.id),
        "study_id": whole(row.study_id),
        "host": text(row.host),
        "pid": whole(row.pid),
        "started_at": number(row.started_at),
        "seen_at": number(row.seen_at),
        "ended_at": None if row.ended_at is None else number(row.ended_at),
        "ending": None if row.ending is None else text(row.ending),
    }


def trial_row(row: Any) -> TrialRow:
    """Return a row of ``trials``; raises ValueError where it cannot be one."""
    return TrialRow(
        number=whole(row.number),
        params=mapping(row.params),
        config_hash=text(row.config_hash),
        seed=whole(row.seed),
        sampler_attrs=mapping(row.sampler_attrs),
        repeats=[(whole(earlier), told(value)) for earlier, value in pairs(row.repeats)],
        state=TrialState(row.state),
        stop_reason=None if row.stop_reason is None else text(row.stop_reason),
        message=None if row.message is None else text(row.message),
        traceback=None if row.traceback is None else text(row.traceback),
        started_at=number(row.started_at),
        ended_at=None if row.ended_at is None else number(row.ended_at),
        revision=whole(row.revision),
    )


def epoch_row(row: Any) -> EpochRow:
    """Return a row of ``epochs``; raises ValueError where it cannot be one."""
    metrics = mapping(row.metrics)
    for value in metrics.values():
        number(value)
    return EpochRow(whole(row.id), whole(row.number), whole(row.epoch), number(row.seconds), number(row.at), metrics)


def whole(value: object) -> int:
    """Return a whole number as it is."""
    if type(value) is not int:
        raise ValueError(f"expected a whole number, found {value!r:.40}")
    return value


def number(value: object) -> float:
    """Return a number as it is."""
    if type(value) is not float and type(value) is not int:
        raise ValueError(f"expected a number, found {value!r:.40}")
    return value


def told(value: object) -> float | list[float] | None:
    """Return what Optuna was told of a trial as it is: a value, one for each objective, or none."""
    if value is None:
        return None
    return [number(v) for v in value] if isinstance(value, list) else number(value)


def text(value: object) -> str:
    """Return a text as it is."""
    if type(value) is not str:
        raise ValueError(f"expected text, found {value!r:.40}")
    return value


def mapping(value: object) -> dict[str, Any]:
    """Read a JSON object."""
    found = _json(value)
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, found {value!r:.40}")
    return found


def pairs(value: object) -> list[tuple[Any, Any]]:
    """Read a JSON list of pairs."""
    found = _json(value)
    if not isinstance(found, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in found):
        raise ValueError(f"expected a JSON list of pairs, found {value!r:.40}")
    return [(first, second) for first, second in found]


def _json(value: object) -> Any:
    try:
        return json.loads(text(value))
    except RecursionError:
        raise ValueError("expected JSON, found brackets without end") from None
