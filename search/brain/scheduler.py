"""The scheduler that a study declares: a rule that stops trials, or one that pauses them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from search.brain.audit import is_drawn
from search.brain.promotion import PromotionScheduler
from search.brain.recording_scheduler import RecordingScheduler
from search.brain.replaced import replaced
from search.brain.rules import AshaRule, MedianRule, NoRule, StoppingRule
from search.declaration.study import Study
from search.ledger.events import Event


def build_scheduler(
    study: Study, *, note: Callable[[Event], None] = lambda event: None, weighed: int | None = None
) -> RecordingScheduler:
    """Return the scheduler that ``study`` declares.

    Args:
        study: the declaration.
        note: is told what happens while it chooses, for the ledger.
        weighed: for how many epochs a choice is, where an earlier session has found out.
    """
    spec, objective = study.scheduler, study.objective
    if spec.name == "promote" or replaced(study) is not None:
        return PromotionScheduler(study)
    if spec.name == "freeze_thaw":
        from search.brain.freeze_thaw import FreezeThawScheduler  # imports scipy, which other searches do without

        return FreezeThawScheduler(study, note=note, weighed=weighed)
    rule: StoppingRule
    if spec.name == "asha":
        rule = AshaRule(
            mode=objective.mode,
            grace=spec.grace,
            reduction_factor=spec.reduction_factor,
            max_epochs=study.budget.max_epochs,
        )
    elif spec.name == "median":
        rule = MedianRule(mode=objective.mode, grace=spec.grace)
    else:
        rule = NoRule()
    return RecordingScheduler(rule, objective, drawn=partial(is_drawn, study))
