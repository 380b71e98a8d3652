"""What a search comes to: its answer, how its last session ended, and what is left of it on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search.drive.audit import read_audited
from search.drive.overview import Ending
from search.ledger import FitRole, Ledger, StudyRow
from search.ledger.confirmed import read_confirmed
from search.ledger.events import EventKind
from search.ledger.smoothed import read_smoothed
from search.report.answer import Answer, answer
from search.report.kept import Kept
from trainables.stage import stage

if TYPE_CHECKING:
    from search.declaration.study import Study


@dataclass(frozen=True)
class Result:
    """How a search ended.

    Attributes:
        ending: how its last session ended.
        untracked: why MLflow does not have everything, or None.
        wall_s: seconds of the search, imports left out.
        search_s: the part of them from the first trial's start until MLflow had the last of it.
        exit_code: what the process ends with: 0, that of a signal, or 1 where there is no answer.
        kept: which of its checkpoints are on disk.
        data: what the ledger holds of the examples (``Splits.facts``); empty in ledgers that hold nothing.
        longest_stall_s: see ``Progress``; None where the search was not run just now.
    """

    answer: Answer
    ending: Ending
    untracked: str | None
    wall_s: float
    search_s: float
    exit_code: int
    kept: Kept
    data: Mapping[str, Any] = field(default_factory=dict)
    longest_stall_s: float | None = None


def read_answer(ledger: Ledger, row: StudyRow, study: Study) -> Answer:
    """Return what a study found, as its ledger has it now.

    Args:
        ledger: the one that holds the study.
        row: the study as the ledger holds it.
        study: its declaration.
    """
    with stage("reading what was recorded"):
        trials, epochs = ledger.trials_frame(row.id), ledger.epochs_frame(row.id)
        refits, confirmed = ledger.fits(row.id, FitRole.REFIT), read_confirmed(ledger, row.id)
        audited = read_audited(ledger, row.id, study)
        smoothed = read_smoothed(ledger, row.id, epochs=len(epochs))
    with stage(f"working out the answer from {len(trials):,} trials"):
        return answer(study, trials, epochs, row.facts, refits, confirmed, audited, smoothed)


def checkpoint_notes(ledger: Ledger, study_id: int) -> dict[int, str]:
    """Return, by trial, what was recorded last of its checkpoints: damaged, lost, or not written."""
    events = ledger.events(study_id, EventKind.CHECKPOINT)
    return {event.trial: event.message for event in events if event.trial is not None}
