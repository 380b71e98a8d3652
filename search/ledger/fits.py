"""Fits: single configurations trained anew after a search, and how the table ``fits`` holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from search.ledger.columns import mapping, number, numbers, text, whole
from search.ledger.outcome import StopReason, TrialState


class FitRole(StrEnum):
    """What a fit is for."""

    REFIT = "refit"
    """The best of each choice of the balanced parameter, on the same splits."""

    CONFIRM = "confirm"
    """A finalist or the baseline, on the same pairs as the others."""

    ABLATION = "ablation"
    """The recommended configuration with one parameter set back, or the baseline with one of its own."""


@dataclass(frozen=True, slots=True)
class FitRow:
    """One configuration trained once on one split, after the search and outside of the sampler's view.

    Attributes:
        trial: the trial whose configuration it is; None where no trial had it.
        seed: the run's seed.
        split: the number of the re-split of training and validation part; all configurations share its examples.
        epochs: after which it was scored: as many as were trained, or the one that was best by what the run watched.
        state, reason, message: how it ended, as a trial's; the reason is None where it was trained to the end.
        metrics: those after the epoch that was scored; empty where the fit failed.
        seconds: training time, without the scoring where the two can be told apart; None where the fit failed.
        train_examples, scored_examples: how many the split has for each.
        started_at, ended_at: seconds since 1970; None in fits of schema version 1.
    """

    role: FitRole
    trial: int | None
    config_hash: str
    params: Mapping[str, Any]
    seed: int
    split: int
    epochs: int
    state: TrialState
    reason: StopReason | None
    message: str | None
    metrics: Mapping[str, float]
    seconds: float | None
    train_examples: int
    scored_examples: int
    started_at: float | None
    ended_at: float | None

    @property
    def share(self) -> float:
        """Scored examples / training examples; 0 where the data are a training function's own, and no re-split of ours.

        Runs on those differ by their seeds alone, which share nothing.
        """
        return self.scored_examples / self.train_examples if self.train_examples else 0.0


def fit_columns(fit: FitRow) -> dict[str, Any]:
    """Return a fit as its columns hold it."""
    return {
        "role": fit.role.value,
        "number": fit.trial,
        "config_hash": fit.config_hash,
        "params": json.dumps(dict(fit.params)),
        "seed": fit.seed,
        "split": fit.split,
        "epochs": fit.epochs,
        "state": fit.state.value,
        "stop_reason": None if fit.reason is None else fit.reason.value,
        "message": fit.message,
        "metrics": json.dumps(dict(fit.metrics)),
        "seconds": fit.seconds,
        "train_examples": fit.train_examples,
        "scored_examples": fit.scored_examples,
        "started_at": fit.started_at,
        "ended_at": fit.ended_at,
    }


def fit_row(row: Any) -> FitRow:
    """Return a row of ``fits``; raises ValueError where it cannot be one."""
    return FitRow(
        role=FitRole(row.role),
        trial=None if row.number is None else whole(row.number),
        config_hash=text(row.config_hash),
        params=mapping(row.params),
        seed=whole(row.seed),
        split=whole(row.split),
        epochs=whole(row.epochs),
        state=TrialState(row.state),
        reason=None if row.stop_reason is None else StopReason(row.stop_reason),
        message=None if row.message is None else text(row.message),
        metrics=numbers(row.metrics),
        seconds=None if row.seconds is None else number(row.seconds),
        train_examples=whole(row.train_examples),
        scored_examples=whole(row.scored_examples),
        started_at=None if row.started_at is None else number(row.started_at),
        ended_at=None if row.ended_at is None else number(row.ended_at),
    )
