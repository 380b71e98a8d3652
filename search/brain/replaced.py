"""Where a study is none that its scheduler can do its work in: what decides in its place, and why."""

from __future__ import annotations

from search.declaration.study import Study
from search.ledger.events import SchedulerReplaced

MOST_DIMENSIONS = 50
"""More numbers than a Gaussian process can tell apart from some hundred values."""

FEWEST_TRIALS = 9
"""The eight that begin before anything is modelled, and one that the model could choose."""


def replaced(study: Study) -> SchedulerReplaced | None:
    """Return what decides in the place of a study's ``freeze_thaw``; None where that does."""
    if study.scheduler.name != "freeze_thaw":
        return None
    from search.brain.encoding import dimensions  # imports scipy

    dims, trials = dimensions(study.space), study.budget.trials
    reason = None
    if dims > MOST_DIMENSIONS:
        reason = f"the space is encoded as {dims} numbers, more than {MOST_DIMENSIONS}"
    elif study.budget.max_epochs == 1:
        reason = "trials of one epoch have no curves"
    elif trials < FEWEST_TRIALS:
        reason = f"{trials} trials are fewer than {FEWEST_TRIALS}: there is nothing to model"
    elif study.balanced is not None:
        reason = f"equal numbers of trials for each {study.balanced} are proposed by the sampler"
    if reason is None:
        return None
    return SchedulerReplaced(scheduler="freeze_thaw", by="promote", reason=reason)
