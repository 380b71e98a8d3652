"""What a model of the curves held of each trial when the last session ended."""

from __future__ import annotations

from search.ledger.events import CurvesSmoothed, EventKind
from search.ledger.ledger import Ledger


def read_smoothed(ledger: Ledger, study_id: int, *, epochs: int) -> dict[int, float]:
    """Return each trial's best value without the noise, by number; empty where no model has seen these epochs.

    Args:
        ledger: holds the study.
        study_id: of the study.
        epochs: how many the study has, all trials together.
    """
    found = [row.event for row in ledger.events(study_id, EventKind.CURVES_SMOOTHED)]
    last = found[-1] if found else None
    return dict(last.means) if isinstance(last, CurvesSmoothed) and last.epochs == epochs else {}
