"""What a scheduler's choices take beside the epochs that they are for, and for how many epochs each is made."""

from __future__ import annotations

import math

from search.declaration.study import Study
from search.ledger.events import ChoicesWeighed

WEIGHED_AFTER = 64
"""Epochs that are chosen one by one, whatever a choice takes: the first ones say most of what is to be found."""

FEWEST = 16
"""Choices of this session that are known before their mean is taken for what one takes."""

ROOM = 2.0
"""How many times as long choices take later, when there are more values to predict from, about."""


class ChoiceCost:
    """Weighs, once a search, what a choice takes against what an epoch takes.

    Where epochs are cheaper, each choice is for several, so that choices take no longer than the training. That
    depends on the clock, so it is an event of the ledger, and a resume keeps to it.

    Args:
        study: its scheduler may say for how many epochs a choice is; then nothing is weighed.
        weighed: for how many, where an earlier session has found out.

    Attributes:
        seconds: what the choices of this session took.
        choices: how many there were, a trial each.
    """

    def __init__(self, study: Study, weighed: int | None = None) -> None:
        declared = study.scheduler.epochs_a_choice
        self._each = weighed if declared is None else declared
        self._most = max(1, study.budget.max_epochs // 3)
        self._trained_s, self._trained = 0.0, 0
        self.seconds = 0.0
        self.choices = 0

    def trained(self, seconds: float) -> None:
        """Take what an epoch took."""
        self._trained_s += seconds
        self._trained += 1

    def chose(self, choices: int, seconds: float) -> None:
        """Take what some choices took together."""
        self.choices += choices
        self.seconds += seconds

    def epochs_a_choice(self, epochs: int) -> int:
        """Return how many epochs whoever is chosen trains, once so many were trained in all."""
        return self._each if self._each is not None and epochs >= WEIGHED_AFTER else 1

    def weigh(self, epochs: int) -> ChoicesWeighed | None:
        """Find out how many epochs each choice is for, where that is due and open; return it for the ledger.

        Args:
            epochs: that were trained by now, all trials together.
        """
        if self._each is not None or epochs < WEIGHED_AFTER or self.choices < FEWEST or not self._trained:
            return None
        choice_s, epoch_s = self.seconds / self.choices, self._trained_s / self._trained
        due = 1.0 if choice_s <= epoch_s else ROOM * choice_s / max(epoch_s, 1e-9)
        self._each = min(math.ceil(due), self._most)
        return ChoicesWeighed(
            epochs=epochs, choice_ms=1000 * choice_s, epoch_ms=1000 * epoch_s, epochs_a_choice=self._each
        )

    def sentence(self, epochs: int) -> str:
        """Return what the choices of this session took; empty before there was one.

        Args:
            epochs: that were trained by now, all trials together.
        """
        if not self.choices or not self._trained:
            return ""
        choice_ms, epoch_ms = 1000 * self.seconds / self.choices, 1000 * self._trained_s / self._trained
        each = self.epochs_a_choice(epochs)
        line = f"freeze_thaw made {self.choices} choices in {self.seconds:.1f} s, {choice_ms:.3g} ms each"
        if each > 1:
            line += f", for {each} epochs each from epoch {WEIGHED_AFTER} on"
        cheap = f"; an epoch took {epoch_ms:.3g} ms: --scheduler promote chooses in no time"
        return line + (cheap if epoch_ms * each < choice_ms else "")
