"""After a search: pruned trials that were drawn for it train to their end, to tell what pruning cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from search.brain.audit import is_drawn
from search.declaration.study import Study, fits
from search.ledger import Ledger, TrialRow
from search.ledger.events import AuditEnded, EventKind
from search.ledger.outcome import StopReason, TrialState
from search.report.audit import Audited


def drawn(study: Study, trials: Sequence[TrialRow]) -> list[TrialRow]:
    """Return the trials that were pruned at a rung and drawn for the audit."""
    return [trial for trial in trials if trial.reason is StopReason.RUNG and is_drawn(study, trial.number)]


def audits_ended(ledger: Ledger, study_id: int) -> dict[int, StopReason]:
    """Return why the audit of each trial ended, by number."""
    events = (row.event for row in ledger.events(study_id, EventKind.AUDIT_ENDED))
    return {event.trial: event.reason for event in events if isinstance(event, AuditEnded)}


def audits_left(study: Study, ledger: Ledger, study_id: int) -> list[TrialRow]:
    """Return the drawn trials whose audit has not ended, each as one that goes on; those outside the space are none."""
    ended = audits_ended(ledger, study_id)
    return [
        replace(trial, state=TrialState.INTERRUPTED, reason=None, rung=None, repeats=[], sampler_attrs={})
        for trial in drawn(study, ledger.trials(study_id))
        if trial.number not in ended and fits(study.space, trial.params, trial.number)
    ]


def audited_study(study: Study, trials: int) -> Study:
    """Return the study as so many of its trials are audited: nothing stops them, and no model of theirs is kept."""
    return study.model_copy(
        update={
            "budget": study.budget.model_copy(update={"trials": trials, "until_gain_below": None}),
            "scheduler": study.scheduler.model_copy(update={"name": "none", "audit_fraction": 0.0}),
            "faults": study.faults.model_copy(update={"abort_after": None}),
            "balanced": None,
            "keep_checkpoints": 0,
        }
    )


def read_audited(ledger: Ledger, study_id: int, study: Study) -> Audited | None:
    """Return what the ledger has of the drawn trials; None where the study asks for no audit."""
    if not study.scheduler.audit_fraction:
        return None
    numbers = [trial.number for trial in drawn(study, ledger.trials(study_id))]
    return Audited(numbers, ledger.audit_epochs_frame(study_id), audits_ended(ledger, study_id))
