"""What a scheduler decides on a trial, with its reason."""

from __future__ import annotations

from dataclasses import dataclass

CHOSEN = ("continue", "resume")
"""The actions that let a trial train on."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of the scheduler.

    Attributes:
        epoch: at which it was taken; the rung, for ASHA.
        action: ``continue`` or ``stop``; of a scheduler that pauses trials also ``pause`` or ``resume``.
        value: of the objective at that epoch.
        cutoff: what it was compared with, in the objective's own units; None at an empty rung.
        reason: in words.
    """

    epoch: int
    action: str
    value: float
    cutoff: float | None
    reason: str

    @property
    def stops(self) -> bool:
        """Whether the trial ends here."""
        return self.action == "stop"
