"""What each choice of a categorical parameter came to, over all trials that had it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from optuna.distributions import CategoricalDistribution

from search.ledger.outcome import TrialState

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Study

MOST_CHOICES = 6
"""A parameter with more choices is left out of the printed table, unless its study names it."""

MOST_SHOWN = 2
"""Parameters in the printed table of a study that names none."""


@dataclass(frozen=True)
class Choice:
    """The trials with one choice.

    Attributes:
        choice: the value.
        trials: how many had it.
        completed: how many of these trained to their own end; no scheduler stopped them.
        best: the best value of the objective; None if none was finite.
        median: the median of the best values of the completed trials, or of all where none completed.
        epochs: how many a trial trained on average.
    """

    choice: Any
    trials: int
    completed: int
    best: float | None
    median: float | None
    epochs: float


def by_choice(
    study: Study, trials: pd.DataFrame, epochs: pd.DataFrame, board: pd.DataFrame
) -> dict[str, tuple[Choice, ...]]:
    """Return, for every categorical parameter that has a choice, what each of its choices came to.

    Args:
        study: its space and its objective count.
        trials: the frame of ``Ledger.trials_frame``.
        epochs: the frame of ``Ledger.epochs_frame``.
        board: the frame of ``leaderboard``.

    Returns:
        By parameter, choices as the space lists them; a value from outside the space comes last.
    """
    records = trials.to_dict("records")
    values = dict(zip(board["number"], board["value"], strict=True))
    trained = Counter(int(number) for number in epochs["number"])
    found = {}
    for name, choices in _categories(study).items():
        having = [r for r in records if name in r["params"]]
        every = _unique([*choices, *(r["params"][name] for r in having)])
        alike = [[r for r in having if _same(r["params"][name], choice)] for choice in every]
        found[name] = tuple(_choice(study, c, a, values, trained) for c, a in zip(every, alike, strict=True))
    return found


def shown_choices(study: Study, found: Mapping[str, Sequence[Choice]], board: pd.DataFrame) -> tuple[str, ...]:
    """Return the parameters that are worth a reader's look: those the study names, else the most influential.

    Influence is the share of the variance of the trials' ranks that lies between the choices (Kruskal and
    Wallis' H, divided by n - 1). A parameter with more than ``MOST_CHOICES`` is never chosen by it.
    """
    if study.shown:
        return tuple(name for name in study.shown if name in found)
    strength = {
        name: influence([p.get(name) for p in board["params"]], board["rank"].tolist())
        for name, choices in found.items()
        if len(choices) <= MOST_CHOICES and sum(c.trials > 0 for c in choices) > 1
    }
    return tuple(sorted(strength, key=lambda name: -strength[name])[:MOST_SHOWN])


def influence(groups: Sequence[object], ranks: Sequence[float]) -> float:
    """Return the share of the variance of ``ranks`` between ``groups``, 0 to 1; None is in no group."""
    pairs = [(g, r) for g, r in zip(groups, ranks, strict=True) if g is not None]
    if not pairs:
        return 0.0
    centre = fmean(r for _, r in pairs)
    total = math.fsum((r - centre) ** 2 for _, r in pairs)
    between = 0.0
    for group in _unique([g for g, _ in pairs]):
        own = [r for g, r in pairs if _same(g, group)]
        between += len(own) * (fmean(own) - centre) ** 2
    return between / total if total else 0.0


def _choice(
    study: Study,
    choice: object,
    records: Sequence[Mapping[Any, Any]],
    values: Mapping[int, float],
    trained: Mapping[int, int],
) -> Choice:
    finite = [values[r["number"]] for r in records if r["number"] in values]
    complete = [r for r in records if r["state"] == TrialState.COMPLETE.value]
    whole = [values[r["number"]] for r in complete if r["number"] in values]
    return Choice(
        choice=choice,
        trials=len(records),
        completed=len(complete),
        best=float(study.objective.direction.best(finite)) if finite else None,
        median=float(median(whole or finite)) if finite else None,
        epochs=fmean(trained[r["number"]] for r in records) if records else 0.0,
    )


def _categories(study: Study) -> dict[str, list[Any]]:
    declared = {p.name: p.distribution for p in study.space}
    return {
        name: list(d.choices)
        for name, d in declared.items()
        if isinstance(d, CategoricalDistribution) and len(d.choices) > 1
    }


def _same(a: object, b: object) -> bool:
    """Equality that tells True from 1."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _unique(values: Sequence[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if not any(_same(value, v) for v in kept):
            kept.append(value)
    return kept
