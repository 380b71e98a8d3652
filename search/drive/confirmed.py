"""What a ledger has of a study's confirmation."""

from __future__ import annotations

from search.ledger import FitRole, Ledger
from search.ledger.events import ConfirmBegun, EventKind
from search.report.confirmation import Confirmed


def read_confirmed(ledger: Ledger, study_id: int) -> Confirmed | None:
    """Return what a ledger has of a study's confirmation; None where none was begun."""
    begun = [row.event for row in ledger.events(study_id, EventKind.CONFIRM_BEGUN)]
    last = begun[-1] if begun else None
    if not isinstance(last, ConfirmBegun):
        return None
    fits = [*ledger.fits(study_id, FitRole.CONFIRM), *ledger.fits(study_id, FitRole.ABLATION)]
    opened = len(ledger.events(study_id, EventKind.TEST_OPENED))
    return Confirmed(last.finalists, last.pairs, last.auto, fits, opened)
