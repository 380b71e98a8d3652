"""Why a search has no answer, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.ledger.outcome import DIVERGED, TrialState

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Study

RATE = "learning_rate"
"""The parameter that a loss most often becomes infinite by."""

HIGHEST_USUAL = 0.1
"""No rate above it is ever proposed."""


def problem_of(study: Study, trials: pd.DataFrame, board: pd.DataFrame) -> str | None:
    """Return why a search has no answer, in a line with what to do; None where it has one, or where trials may go on.

    Args:
        study: its space and its objective count.
        trials: the frame of ``Ledger.trials_frame``.
        board: the frame of ``leaderboard``.
    """
    if trials.empty or any(TrialState(state).resumable for state in trials["state"]):
        return None
    failed = trials["state"] == TrialState.FAILED.value
    diverged = trials["stop_reason"] == DIVERGED
    if failed.all():
        return f"all {len(trials)} trials failed; the first: {_first_message(trials, failed)}"
    if diverged.all():
        return f"all {len(trials)} trials diverged (a loss of NaN or infinity): {_advice(study)}"
    if (failed | diverged).all():
        counts = f"{diverged.sum()} of {len(trials)} trials diverged, the others failed"
        return f"{counts}, the first of these: {_first_message(trials, failed)}; {_advice(study)}"
    if board.empty:
        return f"no trial reported a finite {study.objective.metric}"
    return None


def divergence_of(study: Study, trials: pd.DataFrame) -> str | None:
    """Return how many trials diverged and what to do, in a line; None where they are less than half of all."""
    count = int((trials["stop_reason"] == DIVERGED).sum())
    if not count or count * 2 < len(trials):
        return None
    return f"{count} of {len(trials)} trials (a loss of NaN or infinity): {_advice(study)}"


def _first_message(trials: pd.DataFrame, failed: pd.Series[bool]) -> str:
    return str(trials[failed].sort_values("number")["message"].iloc[0] or "no message")


def _advice(study: Study) -> str:
    """Return what most often helps: smaller steps."""
    if RATE not in study.space:
        was = f"{RATE} is {study.settings[RATE]}; " if RATE in study.settings else ""
        return f"{was}try a lower learning rate, and look at the scale of the inputs"
    found = study.space[RATE].distribution
    if isinstance(found, CategoricalDistribution):
        tried = [float(choice) for choice in found.choices if isinstance(choice, int | float)]
        lower = min([HIGHEST_USUAL, *tried]) / 100
        return f"{RATE} was {', '.join(map(str, found.choices))}; try a lower one: --set {RATE}={lower:g}"
    assert isinstance(found, FloatDistribution | IntDistribution), "a space has no others"
    high = min(found.low, HIGHEST_USUAL)
    searched = f"{RATE} was searched from {found.low:g} to {found.high:g}"
    return f"{searched}; search lower ones: --set {RATE}.low={high / 100:g} --set {RATE}.high={high:g}"
