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
        auto: whether pairs are, or ever were, added until the verdict is settled: what was looked at stays so.
        fits: of the finalists and the baseline.
        test_opened: how many confirmations opened the test part; one that looks again after more pairs is one.
    """

    trials: Sequence[int]
    planned: int
    auto: bool
    fits: Sequence[FitRow]
    test_opened: int = 0


def read_confirmed(ledger: Ledger, study_id: int) -> Confirmed | None:
    """Return what a ledger has of a study's confirmation; None where none was begun."""
    begun: list[ConfirmBegun] = []
    opened: set[int] = set()
    for row in ledger.events(study_id, EventKind.CONFIRM_BEGUN, EventKind.TEST_OPENED):
        if isinstance(row.event, ConfirmBegun):
            begun.append(row.event)
        else:
            opened.add(len(begun))
    if not begun:
        return None
    fits = ledger.fits(study_id, FitRole.CONFIRM, FitRole.ABLATION)
    last, auto = begun[-1], any(event.auto for event in begun)
    return Confirmed(last.finalists, last.pairs, auto, fits, len(opened))
