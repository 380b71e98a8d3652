"""What pruning cost: pruned trials, drawn at random, that trained to their end all the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.ledger.outcome import StopReason
from search.report.leaderboard import leaderboard
from trainables.derive import derive

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Study

RESAMPLES = 2000
"""Of the bootstrap."""

INTERVAL = (0.025, 0.975)

TRAINED = (StopReason.MAX_EPOCHS, StopReason.PATIENCE, StopReason.DIVERGED)
"""The ends of a trial that tell what it came to; one that failed does not."""


@dataclass(frozen=True)
class Audit:
    """What became of the pruned trials that were drawn, had they not been pruned.

    Attributes:
        drawn: how many of the pruned trials were drawn.
        trained: how many of these trained to their end by now.
        failed: how many failed on the way and tell nothing.
        better: how many came to a better value than the best of the search.
        share_low, share_high: the 95% interval of the share of all pruned trials that would have, by Clopper and
            Pearson, exact for a random draw; None where none trained.
        regret: by how much a pruned trial would have bettered the best of the search, 0 where it would not have, on
            average, in units of the objective; None where none trained.
        low, high: its 95% interval, percentiles of a bootstrap over the drawn trials; None where none was better,
            which says nothing of how much those would be that were not drawn.
        epochs, seconds: what the audit itself trained, the epochs up to the rung once more among them.
    """

    drawn: int
    trained: int
    failed: int
    better: int
    share_low: float | None
    share_high: float | None
    regret: float | None
    low: float | None
    high: float | None
    epochs: int
    seconds: float


@dataclass(frozen=True)
class Audited:
    """What a ledger has of the pruned trials that were drawn.

    Attributes:
        drawn: their numbers.
        epochs: the frame of ``Ledger.audit_epochs_frame``.
        ended: why the audit of each trial ended, by number.
    """

    drawn: Collection[int]
    epochs: pd.DataFrame
    ended: Mapping[int, StopReason]

    @property
    def whole(self) -> pd.DataFrame:
        """The epochs of the trials of which it is known what they came to."""
        return self.epochs[self.epochs["number"].isin([n for n, reason in self.ended.items() if reason in TRAINED])]


def audit(study: Study, trials: pd.DataFrame, board: pd.DataFrame, audited: Audited) -> Audit:
    """Return what pruning cost.

    Args:
        study: its objective and its seed count.
        trials: the frame of ``Ledger.trials_frame``.
        board: the frame of ``leaderboard``; its first row is the best of the search.
        audited: the trials that were drawn.
    """
    import numpy as np

    trained = sum(reason in TRAINED for reason in audited.ended.values())
    own = leaderboard(trials, audited.whole, study.objective)
    cost = study.objective.direction.cost
    best = np.inf if board.empty else cost(float(board["value"].iloc[0]))
    gains = np.zeros(trained)
    reached = cost(own["value"].to_numpy(float))
    gains[: len(own)] = np.maximum(0.0, best - reached)  # the others never had a finite value
    better = int((gains > 0).sum())
    share_low, share_high = _share_interval(better, trained)
    low, high = _mean_interval(gains.tolist(), seed=derive(study.seed, "regret") % 2**32) if better else (None, None)
    return Audit(
        drawn=len(audited.drawn),
        trained=trained,
        failed=len(audited.ended) - trained,
        better=better,
        share_low=share_low,
        share_high=share_high,
        regret=float(gains.mean()) if trained else None,
        low=low,
        high=high,
        epochs=len(audited.epochs),
        seconds=float(audited.epochs["seconds"].sum()),
    )


def _share_interval(successes: int, size: int) -> tuple[float | None, float | None]:
    """Return the 95% interval of a share, by the quantiles of the beta distribution."""
    from scipy.special import betaincinv

    if not size:
        return None, None
    low, high = INTERVAL
    return (
        float(betaincinv(successes, size - successes + 1, low)) if successes else 0.0,
        float(betaincinv(successes + 1, size - successes, high)) if successes < size else 1.0,
    )


def _mean_interval(values: list[float], *, seed: int) -> tuple[float, float]:
    """Return the 95% percentile interval of a bootstrap of the mean."""
    import numpy as np

    drawn = np.random.default_rng(seed).choice(values, size=(RESAMPLES, len(values)))
    low, high = np.quantile(drawn.mean(axis=1), INTERVAL)
    return float(low), float(high)
