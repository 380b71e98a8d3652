"""Whether pruning was right, and what it saved: what a rung said of a trial's end, and what each outcome trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.ledger.outcome import DIVERGED, TrialState
from search.report.audit import Audit, Audited, audit
from search.report.leaderboard import with_objectives

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Study

LEAST_TRIALS = 8
"""With fewer, a rank correlation is not computed: its interval would be nearly everything from -1 to 1."""

NORMAL_95 = 1.959964
"""The normal quantile of a 95% interval."""


@dataclass(frozen=True)
class OutcomeCost:
    """What the trials of one outcome trained, and what they did not.

    Attributes:
        outcome: ``complete``, ``pruned``, ``diverged``, ``failed``, or the state of one that may go on.
        trials: how many there are.
        epochs, seconds: trained by them; seconds of the device, in lanes a trial's share of its stack's.
        epochs_left: up to ``max_epochs``, not trained; 0 for trials that may go on. It is the most that can have been
            saved: a trial may have ended by patience before.
        seconds_left: these epochs at each trial's own seconds an epoch; a trial without an epoch has no pace, and
            counts for nothing here.
    """

    outcome: str
    trials: int
    epochs: int
    seconds: float
    epochs_left: int
    seconds_left: float


@dataclass(frozen=True)
class RungCorrelation:
    """How well a rung says what becomes of a trial.

    Attributes:
        epoch: of the rung, or of where one would be.
        trials: that reached it, trained to their own end, and have a value at both.
        correlation: Spearman's, of the value at the rung, which a scheduler compares, with the best over all epochs,
            by which trials are ranked; None with fewer than ``LEAST_TRIALS`` or where all values are equal.
        low, high: its 95% interval, by Bonett and Wright (2000): normal on Fisher's scale with variance
            (1 + r^2 / 2) / (n - 3).
    """

    epoch: int
    trials: int
    correlation: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Pruning:
    """What pruning saved, and whether it can be trusted.

    Attributes:
        outcomes: in the order complete, pruned, diverged, failed, others; those that no trial had are left out.
        rungs: first to last. Where a scheduler pruned, the trials that it stopped are missing from them (their ends
            are not known), but for those that were audited, and a correlation over the survivors alone is lower than
            one over all trials.
        audit: what became of pruned trials that trained on; None where the study asks for none.
    """

    outcomes: tuple[OutcomeCost, ...]
    rungs: tuple[RungCorrelation, ...]
    audit: Audit | None = None


def pruning(
    study: Study, trials: pd.DataFrame, epochs: pd.DataFrame, board: pd.DataFrame, audited: Audited | None = None
) -> Pruning | None:
    """Return what pruning saved, and how rungs and ends agree; None where no trial has begun.

    Args:
        study: its budget, its objective and its scheduler's rungs count.
        trials: the frame of ``Ledger.trials_frame``.
        epochs: the frame of ``Ledger.epochs_frame``.
        board: the frame of ``leaderboard``.
        audited: the pruned trials that were drawn, where the study has some audited.
    """
    import pandas as pd

    if trials.empty:
        return None
    whole = epochs[epochs["number"].isin(trials[trials["state"] == TrialState.COMPLETE.value]["number"])]
    if audited is not None and not audited.whole.empty:
        whole = pd.concat([whole, audited.whole]) if not whole.empty else audited.whole
    return Pruning(
        outcomes=_outcomes(study, trials, epochs),
        rungs=tuple(_rung(study, whole, rung) for rung in rungs_of(study)),
        audit=None if audited is None else audit(study, trials, board, audited),
    )


def rungs_of(study: Study) -> list[int]:
    """Return the epochs at which ASHA compares trials, or would: below ``max_epochs``, first to last."""
    spec, rungs = study.scheduler, []
    rung = spec.grace
    while rung < study.budget.max_epochs:
        rungs.append(rung)
        rung *= spec.reduction_factor
    return rungs


def _outcomes(study: Study, trials: pd.DataFrame, epochs: pd.DataFrame) -> tuple[OutcomeCost, ...]:
    import pandas as pd

    trained = epochs.groupby("number")["seconds"].agg(["size", "sum"]).reindex(trials["number"], fill_value=0)
    states = [TrialState(state) for state in trials["state"]]
    frame = pd.DataFrame(
        {
            "outcome": [
                DIVERGED if reason == DIVERGED else state.value.lower()
                for state, reason in zip(states, trials["stop_reason"], strict=True)
            ],
            "epochs": trained["size"].to_numpy(int),
            "seconds": trained["sum"].to_numpy(float),
        }
    )
    ended = [not state.resumable for state in states]
    frame["left"] = (study.budget.max_epochs - frame["epochs"]).clip(lower=0) * ended
    frame["seconds_left"] = (frame["seconds"] / frame["epochs"].where(frame["epochs"] > 0) * frame["left"]).fillna(0.0)
    sums = frame.groupby("outcome")[["epochs", "seconds", "left", "seconds_left"]].sum()
    sums["trials"] = frame["outcome"].value_counts()
    words = [word.value.lower() for word in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)]
    words.insert(2, DIVERGED)
    order = [*words, *(word for word in sums.index if word not in words)]
    return tuple(
        OutcomeCost(
            outcome=word,
            trials=int(row["trials"]),
            epochs=int(row["epochs"]),
            seconds=float(row["seconds"]),
            epochs_left=int(row["left"]),
            seconds_left=float(row["seconds_left"]),
        )
        for word, row in ((word, sums.loc[word]) for word in order if word in sums.index)
    )


def _rung(study: Study, whole: pd.DataFrame, rung: int) -> RungCorrelation:
    """Return how the values at one rung and the best ones of trials that trained to their end agree."""
    import numpy as np

    if whole.empty:
        return RungCorrelation(rung, 0, None, None, None)
    values = with_objectives(whole)[["number", "epoch", study.objective.metric]].rename(
        columns={study.objective.metric: "value"}
    )
    values = values[np.isfinite(values["value"].astype(float))]
    by_trial = values.groupby("number")["value"]
    final = by_trial.min() if study.objective.direction.ascending else by_trial.max()
    at = values[values["epoch"] == rung].set_index("number")["value"]
    before, after = (column.rank().to_numpy(float) for column in (at, final[at.index]))
    size = len(at)
    if size < LEAST_TRIALS or np.ptp(before) == 0 or np.ptp(after) == 0:
        return RungCorrelation(rung, size, None, None, None)
    correlation = float(np.corrcoef(before, after)[0, 1])
    low, high = _interval(correlation, size)
    return RungCorrelation(rung, size, correlation, low, high)


def _interval(correlation: float, size: int) -> tuple[float, float]:
    """Return the 95% interval of Spearman's correlation."""
    if abs(correlation) >= 1 - 1e-12:
        return correlation, correlation  # where all ranks agree, Fisher's scale has no end
    centre, half = math.atanh(correlation), NORMAL_95 * math.sqrt((1 + correlation**2 / 2) / (size - 3))
    return math.tanh(centre - half), math.tanh(centre + half)
