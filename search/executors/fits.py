"""Configurations trained after a search, each on the same pairs: what is to be done, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from search.ledger import FitRole, FitRow
from search.ledger.outcome import Outcome, StopReason, TrialState
from spaces import Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainables.data.datasets import Pair
    from trainables.pair_run import BestEpoch
    from trainables.protocols import Trainable


@dataclass(frozen=True)
class Job:
    """A configuration to be trained on a pair.

    Attributes:
        role: what it is for.
        config_hash: of ``params``.
        params: its active parameters; the study's settings come on top.
        trial: the number of the trial that had the configuration; None where none had.
        test: whether it is scored on the test part too.
    """

    role: FitRole
    config_hash: str
    params: Mapping[str, Value]
    trial: int | None
    test: bool = False


@dataclass(frozen=True)
class NumberedPair:
    """A pair with its number, and the seed of every run on it."""

    number: int
    seed: int
    data: Pair


@dataclass(frozen=True)
class FitDone:
    """What came of a job.

    Attributes:
        row: for the ledger.
        predictions: see ``Scored``.
    """

    row: FitRow
    predictions: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class FitRunner(Protocol):
    """Trains jobs."""

    def run(self, pair: NumberedPair, jobs: Sequence[Job]) -> Iterator[FitDone]:
        """Yield what comes of each job, in any order; fewer where the search was told to stop meanwhile."""


def finished(
    trainable: Trainable, config: Any, best: BestEpoch, pair: NumberedPair, job: Job, started_at: float
) -> FitDone:
    """Score what trained to its end, and return what came of it; what the scoring raises is raised."""
    from trainables.pair_run import score

    if not best.epoch:
        return FitDone(failed_row(pair, job, Outcome(StopReason.DIVERGED), started_at))
    scored = score(trainable, config, best, pair.data, test=job.test)
    row = _row(pair, job, best.epoch, TrialState.COMPLETE, None, None, scored.metrics, best.seconds, started_at)
    return FitDone(row, scored.predictions)


def failed_row(pair: NumberedPair, job: Job, outcome: Outcome, started_at: float) -> FitRow:
    """Return the row of a job that raised, diverged, or whose process died."""
    message = outcome.message or "no epoch had a finite value"
    return _row(pair, job, 0, outcome.state, outcome.reason, message, {}, None, started_at)


def _row(
    pair: NumberedPair,
    job: Job,
    epochs: int,
    state: TrialState,
    reason: StopReason | None,
    message: str | None,
    metrics: Mapping[str, float],
    seconds: float | None,
    started_at: float,
) -> FitRow:
    return FitRow(
        role=job.role,
        trial=job.trial,
        config_hash=job.config_hash,
        params=job.params,
        seed=pair.seed,
        split=pair.number,
        epochs=epochs,
        state=state,
        reason=reason,
        message=message,
        metrics=metrics,
        seconds=seconds,
        train_examples=len(pair.data.splits.train),
        scored_examples=len(pair.data.scored),
        started_at=started_at,
        ended_at=time.time(),
    )
