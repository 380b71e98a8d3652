"""Where a search stands, and what shows it."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from search.ledger.outcome import TrialState


@dataclass
class Progress:
    """Where a search stands; read by the live view, written by the recorder alone.

    Attributes:
        pauses: whether trials wait for others in the middle of their epochs, so that few end before the search does.
        total_epochs: that such a search may train; None is no limit.
        states: number of trials in each state.
        diverged: how many of the pruned trials no scheduler stopped: their loss was NaN or infinite.
        epochs: trained so far, all trials together.
        best_value: of the objective over all epochs of all trials.
        best_trial: its number.
        baseline_value: the best of trial 0; NaN until it reported.
        training_since: when the first trial started (monotonic seconds); None before.
        longest_stall_s: the longest that the executor's loop stood still at once for what is neither
            training nor waiting for it: a transaction of the ledger, a redraw of the live view.
    """

    trials: int
    max_epochs: int
    time_s: float | None
    pauses: bool = False
    total_epochs: int | None = None
    started: float = field(default_factory=time.monotonic)
    states: Counter[TrialState] = field(default_factory=Counter)
    diverged: int = 0
    epochs: int = 0
    best_value: float = math.nan
    best_trial: int | None = None
    baseline_value: float = math.nan
    training_since: float | None = None
    longest_stall_s: float = 0.0

    @property
    def ended(self) -> int:
        """Number of trials that ended."""
        return sum(n for state, n in list(self.states.items()) if state.ended)  # a view may ask beside the search

    @property
    def begun(self) -> int:
        """Number of trials that started, those that ended among them."""
        return sum(list(self.states.values()))

    @property
    def elapsed_s(self) -> float:
        """Wall seconds since the search began."""
        return time.monotonic() - self.started

    @property
    def training_s(self) -> float:
        """Wall seconds since the first trial started."""
        return 0.0 if self.training_since is None else time.monotonic() - self.training_since

    def seconds_left(self) -> float | None:
        """Return an estimate from the pace so far and the time budget; None where there is none to go by.

        Where trials wait for others their number says nothing, and the epochs do where they are limited.
        """
        left = [] if self.time_s is None else [max(0.0, self.time_s - self.elapsed_s)]
        if self.pauses and self.ended < self.trials:
            if self.total_epochs is not None and self.epochs:
                left.append(self.training_s / self.epochs * max(0, self.total_epochs - self.epochs))
        elif self.ended:
            left.append(self.training_s / self.ended * (self.trials - self.ended))
        return min(left) if left else None


class View(Protocol):
    """Shows where a search stands; called often, and free to ignore most calls."""

    def __enter__(self) -> View: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, progress: Progress) -> None:
        """Show ``progress``, if it is time to."""

    def say(self, text: str) -> None:
        """Print one line that stays."""
