"""What a ledger has of a study's confirmation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.ledger.events import ConfirmBegun, EventKind
from search.ledger.fits import FitRole, FitRow
from search.ledger.ledger import Ledger


@dataclass(frozen=True)
class Confirmed:
    """What a ledger has of a confirmation.

    Attributes:
        trials: the finalists that it was begun with.
        planned: how many pairs were asked for.
        auto: whether pairs are added until the verdict is settled.
        fits: of the finalists and the baseline.
        test_opened: how often the test part was opened.
    """

    trials: Sequence[int]
    planned: int
    auto: bool
    fits: Sequence[FitRow]
    test_opened: int = 0


def read_confirmed(ledger: Ledger, study_id: int) -> Confirmed | None:
    """Return what a ledger has of a study's confirmation; None where none was begun."""
    begun = [row.event for row in ledger.events(study_id, EventKind.CONFIRM_BEGUN)]
    last = begun[-1] if begun else None
    if not isinstance(last, ConfirmBegun):
        return None
    fits = [*ledger.fits(study_id, FitRole.CONFIRM), *ledger.fits(study_id, FitRole.ABLATION)]
    opened = len(ledger.events(study_id, EventKind.TEST_OPENED))
    return Confirmed(last.finalists, last.pairs, last.auto, fits, opened)
