"""What the tpe sampler looks at of a long history: the best trials, and of the others an even selection."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers._tpe.sampler import _split_trials, default_gamma, default_gamma_multiobjective
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

SELECTED = 250
"""Trials, beside the best, that a proposal looks at; a shorter history is looked at whole.

Decision record 0039 has what other numbers cost and found.
"""

BEST = default_gamma(SELECTED)
"""Trials that Optuna counts as good, at the most, with one objective; these are always looked at."""

FRONT = 100
"""Trials of the Pareto front, the newest, that are always looked at with several objectives."""


class TrialHistory:
    """The trials of an Optuna study that ended with something to learn from, and those that run.

    What ``split`` returns depends on the set of the trials alone, not on the order in which they were added: a
    resumed search, which adds them by number, looks at what an uninterrupted one did.

    Args:
        study: Optuna's.

    Attributes:
        rows: what a sampler keeps of a trial, by number; gone when the trial is added again.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._storage = study._storage
        self._signs = np.array([-1.0 if d is StudyDirection.MAXIMIZE else 1.0 for d in study.directions])
        self._ended: dict[int, FrozenTrial] = {}
        self._numbers: list[int] = []  # of those that ended, ascending
        self._running: dict[int, int] = {}  # Optuna's identifiers, by number
        self._best: list[tuple[float, float, float, int]] = []  # ranks, ascending
        self._front: dict[int, np.ndarray] = {}  # losses [objectives] of the nondominated trials, by number
        self._first_with: dict[frozenset[str], int] = {}  # numbers, by the names of a trial's parameters
        self.rows: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """Return how many trials ended, complete or pruned."""
        return len(self._numbers)

    def add(self, trial_id: int, shown: FrozenTrial | None = None) -> None:
        """Take up a trial that runs or that ended, by Optuna's identifier; one that failed is left out.

        Args:
            trial_id: Optuna's identifier.
            shown: a paused trial as it is shown to samplers; taken up again when it has come further.
        """
        trial = shown or self._storage.get_trial(trial_id)
        number = trial.number
        if number in self._ended:
            self._take_back(number)
        self.rows.pop(number, None)
        self._running.pop(number, None)
        if trial.state is TrialState.RUNNING:
            self._running[number] = trial_id
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return
        self._ended[number] = trial
        insort(self._numbers, number)
        names = frozenset(trial.distributions)
        self._first_with[names] = min(number, self._first_with.get(names, number))
        if len(self._signs) == 1:
            insort(self._best, self._rank(trial))
            del self._best[BEST:]
        elif trial.state is TrialState.COMPLETE:
            self._join_front(number, self._signs * trial.values)

    def _take_back(self, number: int) -> None:
        """Forget a trial that was shown as ended while it was paused."""
        del self._ended[number]
        del self._numbers[bisect_left(self._numbers, number)]
        if len(self._signs) == 1:
            self._best = sorted(map(self._rank, self._ended.values()))[:BEST]
            return
        self._front = {}
        for other, trial in sorted(self._ended.items()):
            if trial.state is TrialState.COMPLETE:
                self._join_front(other, self._signs * trial.values)

    def distributions(self) -> Iterator[Mapping[str, BaseDistribution]]:
        """Yield every set of parameters that a trial which ended had, in the order of their first trials."""
        for number in sorted(self._first_with.values()):
            yield self._ended[number].distributions

    @property
    def outgrown(self) -> bool:
        """Whether there are more trials than a proposal looks at."""
        return len(self._numbers) > SELECTED

    def split(self, *, without: int) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
        """Return the good trials and the others, by number each; running ones are among the others.

        Of an outgrown history the best are looked at, and of the others ``SELECTED`` evenly over their ages, the
        newest among them: by age Optuna weights them.

        Args:
            without: the number of the trial that is proposed.
        """
        numbers = self._select() if self.outgrown else self._numbers
        running = [self._storage.get_trial(i) for number, i in self._running.items() if number != without]
        ended = [self._ended[number] for number in numbers]
        if len(self._signs) > 1:
            ended.sort(key=_number)
            good, others = _split_trials(self._study, ended, default_gamma_multiobjective(len(ended)))
        else:
            best = {number for *_, number in self._best[: default_gamma(len(ended))]}
            good = sorted((self._ended[number] for number in best), key=_number)
            others = [trial for trial in ended if trial.number not in best]
        return good, sorted(others + running, key=_number)

    def _select(self) -> list[int]:
        best = [number for *_, number in self._best] if len(self._signs) == 1 else sorted(self._front)[-FRONT:]
        others = self._numbers.copy()
        for number in best:
            del others[bisect_left(others, number)]
        if (count := len(others)) > SELECTED:
            others = [others[count - 1 - i * count // SELECTED] for i in range(SELECTED)]
        return best + others

    def _rank(self, trial: FrozenTrial) -> tuple[float, float, float, int]:
        """Return what Optuna sorts by: complete trials by value, then pruned ones that came furthest, by value."""
        sign = float(self._signs[0])
        if trial.state is TrialState.COMPLETE:
            return (0.0, 0.0, sign * trial.values[0], trial.number)
        if not trial.intermediate_values:
            return (1.0, 1.0, 0.0, trial.number)
        step, value = max(trial.intermediate_values.items())
        return (1.0, -float(step), sign * value, trial.number)

    def _join_front(self, number: int, losses: np.ndarray) -> None:
        """Add a trial to the Pareto front in place of those that it dominates, unless one dominates it."""
        if any(_dominates(other, losses) for other in self._front.values()):
            return
        self._front = {n: other for n, other in self._front.items() if not _dominates(losses, other)}
        self._front[number] = losses


def _number(trial: FrozenTrial) -> int:
    return trial.number


def _dominates(losses: np.ndarray, others: np.ndarray) -> bool:
    return bool((losses <= others).all() and (losses < others).any())
