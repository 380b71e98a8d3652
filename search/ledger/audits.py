"""The writer of an audit: epochs and endings of pruned trials that train on, kept apart from those of the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.ledger.events import AuditEnded
from search.ledger.outcome import Outcome
from search.ledger.writer import LedgerWriter


class AuditWriter(LedgerWriter):
    """Takes what a recorder writes of trials, and leaves the rows of these trials as they are.

    Their epochs, from the first one on, go to the table ``audit_epochs``; their ends become events. What begins, or
    goes on in a later session, needs no row: a drawn trial without an end is one that is left.
    """

    def trial_started(
        self,
        number: int,
        params: Mapping[str, Any],
        *,
        config_hash: str,
        seed: int,
        sampler_attrs: Mapping[str, Any],
        repeats: Sequence[tuple[int, float | list[float] | None]],
    ) -> None:
        """Record nothing: the trial has its row."""

    def trial_resumed(self, number: int) -> None:
        """Record nothing: the trial stays pruned."""

    def epoch(self, number: int, epoch: int, *, seconds: float, metrics: Mapping[str, float]) -> None:
        """Record an epoch's metrics."""
        self._mark()
        self._pending.audit_epochs.append(self._epoch_row(number, epoch, seconds, metrics))

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        """Record how the audit of a trial ended, unless a resume goes on with it."""
        if not outcome.state.resumable:
            self.event(AuditEnded(trial=number, reason=outcome.reason, message=outcome.message))

    def lanes_chosen(self, lanes: int) -> None:
        """Record nothing: an audit has fewer lanes than the search, which a resume keeps to."""
