"""When further trials are expected to bring too little for a search to go on."""

from __future__ import annotations

from collections.abc import Iterable

from search.declaration.study import Study
from search.ledger.events import GainBelow
from search.report.expected_best import gain_of_doubling

LEAST_ENDED = 16
"""Trials that end before the rule is asked, at the start and after an extension: with fewer, what the last doubling
brought is the luck of a trial or two."""


class GainRule:
    """Ends a search whose next doubling is expected to gain less than the study's ``budget.until_gain_below``.

    What it says depends on the values of the trials that ended and on what it said before, which the ledger has both.
    Once it has ended a search it does so in every later session, until the study is extended by more trials: then it
    is asked again after ``LEAST_ENDED`` more.

    Args:
        study: the declaration.
        earlier: what the ledger has of its decisions, oldest first.

    Attributes:
        decision: with which it ended the search; None while it goes on.
    """

    def __init__(self, study: Study, earlier: Iterable[GainBelow] = ()) -> None:
        self._objective = study.objective
        self._given = study.given_trials
        self._below = study.budget.until_gain_below
        self._planned = study.budget.trials
        self._values: dict[int, float | None] = {}
        self._asked_from = LEAST_ENDED
        self.decision: GainBelow | None = None
        for event in earlier:
            self._asked_from = event.trials + LEAST_ENDED
            self.decision = event if event.planned == self._planned else None

    def ended(self, number: int, values: Iterable[float]) -> None:
        """Take a trial that ended.

        Args:
            number: of the trial.
            values: its finite values of the objective.
        """
        finite = list(values)
        self._values[number] = self._objective.direction.best(finite) if finite else None

    def decide(self) -> GainBelow | None:
        """Decide, on what has ended by now, whether a further trial begins; return the decision where none does."""
        if self._below is None or self.decision is not None:
            return self.decision  # before what grows with the history: most searches have no such rule
        trials = {number: value for number, value in self._values.items() if number not in self._given}
        if len(trials) < self._asked_from:
            return None
        known = [value for number in self._given if (value := self._values.get(number)) is not None]
        gain = gain_of_doubling(
            list(trials.values()),
            self._objective.direction,
            known=self._objective.direction.best(known) if known else None,
            limit=self._objective.limit,
        )
        if gain is not None and gain < self._below:
            self.decision = GainBelow(
                trials=len(trials),
                planned=self._planned,
                metric=self._objective.metric,
                gain=gain,
                below=self._below,
            )
        return self.decision
