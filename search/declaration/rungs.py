"""The first rung of a study whose trials are made shorter than it: at their end, unless somebody said where."""

from __future__ import annotations

from typing import Any

from search.declaration.parts import PAUSING, Budget, SchedulerSpec
from search.declaration.studies import registered
from search.declaration.study import Study


def lower_grace(values: dict[str, Any]) -> None:
    """Lower the scheduler's grace, in the fields of a study whose own it is, to the epochs that a trial has."""
    budget, scheduler = values.get("budget", {}), values.get("scheduler", {})
    if not isinstance(budget, dict) or not isinstance(scheduler, dict):
        return  # said when the study is checked
    longest = budget.get("max_epochs", Budget().max_epochs)
    grace = scheduler.get("grace", SchedulerSpec().grace)
    if isinstance(longest, int) and isinstance(grace, int) and 1 <= longest < grace:
        values["scheduler"] = {**scheduler, "grace": longest}


def first_rung(values: dict[str, Any]) -> None:
    """Put the first rung at epoch 1 where a scheduler pauses trials: what it judges too early is not lost."""
    scheduler = values.get("scheduler")
    if isinstance(scheduler, dict) and scheduler.get("name") in PAUSING:
        values["scheduler"] = {**scheduler, "grace": 1}


def lowered_grace(study: Study) -> str | None:
    """Return in a line that the first rung is lower than is usual for the study, because its trials are so short."""
    known = registered().get(study.kind)
    usual = (SchedulerSpec() if known is None else known.scheduler).grace
    longest, grace, name = study.budget.max_epochs, study.scheduler.grace, study.scheduler.name
    if name in ("none", *PAUSING) or grace != longest or grace >= usual:
        return None
    return f"{name}: the first rung is at epoch {grace}, not {usual}: a trial has no more than {longest} epochs"
