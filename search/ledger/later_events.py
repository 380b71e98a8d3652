"""Events of what is trained after the search: refits, confirmation, audit."""

from __future__ import annotations

from search.ledger.event import Event, EventKind, Level
from search.ledger.outcome import StopReason


class AuditEnded(Event):
    """A pruned trial trained on after the search, to its end; its row and its rank are what they were.

    Attributes:
        reason: how it ended this time.
        message: what its exception said, where it failed.
    """

    kind = EventKind.AUDIT_ENDED
    trial: int
    reason: StopReason
    message: str = ""

    def _text(self) -> str:
        return f"trial {self.trial}: its audit ended ({': '.join(filter(None, (self.reason.value, self.message)))})"


class ConfirmBegun(Event):
    """A confirmation was begun, or goes on.

    Attributes:
        finalists: the trials whose configurations are trained beside the baseline's.
        pairs: how many pairs were asked for; at most so many where ``auto``.
        auto: whether pairs are added until the verdict is settled.
    """

    kind = EventKind.CONFIRM_BEGUN
    finalists: tuple[int, ...]
    pairs: int
    auto: bool = False

    def _text(self) -> str:
        most = "at most " if self.auto else ""
        return f"confirming trials {list(self.finalists)} beside the baseline on {most}{self.pairs} pairs"


class ConfirmEnded(Event):
    """A confirmation or an ablation ended before it was done.

    Attributes:
        missing: runs that were not trained.
        runs: that there should be.
        reason: what ended it, the time budget or the user.
    """

    kind = EventKind.CONFIRM_ENDED
    level = Level.WARNING
    missing: int
    runs: int
    reason: StopReason

    def _text(self) -> str:
        over = self.reason is StopReason.BUDGET
        why = "the time budget is used up" if over else "it was stopped"
        return f"the confirmation lacks {self.missing} of {self.runs} runs: {why}"


class HeldOutOpened(Event):
    """The held-out test part was opened.

    Attributes:
        finalists: the trials whose configurations are scored on it, beside the baseline's.
        pairs: the numbers of the pairs.
    """

    kind = EventKind.TEST_OPENED
    finalists: tuple[int, ...]
    pairs: tuple[int, ...]

    def _text(self) -> str:
        return f"the test part was opened for trials {list(self.finalists)} and the baseline on {len(self.pairs)} pairs"


class RefitsMissing(Event):
    """The best of each choice was not trained on all the splits that the study asks for.

    Attributes:
        parameter: whose choices they are.
        missing: splits that were not trained.
        refits: splits that the study asks for.
        reason: what ended the session, the time budget or the user.
    """

    kind = EventKind.REFITS_MISSING
    level = Level.WARNING
    parameter: str
    missing: int
    refits: int
    reason: StopReason

    def _text(self) -> str:
        over = self.reason is StopReason.BUDGET
        why = "the time budget is used up" if over else "the search was stopped"
        return f"the best of each {self.parameter} was not trained on {self.missing} of {self.refits} splits: {why}"
