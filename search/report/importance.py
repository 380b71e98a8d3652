"""How much each parameter decides whether a trial is among the best, and what two of them have only together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.distributions import CategoricalDistribution
from threadpoolctl import threadpool_limits

from search.report.additive import AdditiveModel
from search.report.comparable import FEWEST, Comparable, comparable
from search.report.effects import Interval, correlation, difference, interaction
from search.report.ped_anova import on_grid, ped_anova
from trainables.derive import derive

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from search.declaration.study import Study
    from spaces import Parameter

PAIRS = (("dropout", "weight_decay"), ("dropout", "batch_norm"))
"""The interactions that a study of regularization asks about; a space that has both of a pair gets its figure."""

BEST = 0.25
"""The share of the trials that are the best: 16 of 64. Optuna's default, a tenth, would be 6, which say little."""

FEW = 40
"""With fewer trials a warning is printed: fewer than 10 are then the best, and the order of the parameters is loose."""

RESAMPLES = 200
MOST_CELLS = 2_000_000
"""Resamples times trials: of more than ten thousand trials there are fewer resamples, which then vary less."""

LEVEL = 0.05

MOST_NAMED = 4
"""Conditional parameters that a warning names: the most important ones."""


@dataclass(frozen=True)
class ParameterImportance:
    """One parameter.

    Attributes:
        variance: the share of the variance of the trials' ranks that it has by itself, over all of its range.
        among_best: PED-ANOVA, as a share of all parameters' together: what decides who is among the best quarter.
        p: how often a parameter that does nothing would stand out as much by ``variance``, whichever of them it is.
        trials: how many had it.
        condition: where it is active; None if everywhere. It then counts by the share of the trials that have it.
    """

    parameter: str
    variance: Interval
    among_best: Interval
    p: float
    trials: int
    condition: str | None

    @property
    def stands_out(self) -> bool:
        """Whether it can be told from a parameter that does nothing."""
        return self.p <= LEVEL


@dataclass(frozen=True)
class Interaction:
    """What two parameters have only together: the share of the variance of the trials' ranks; about 0 if nothing."""

    parameters: tuple[str, str]
    share: Interval
    trials: int


@dataclass(frozen=True)
class GapEffect:
    """What a parameter has to do with ``val_loss - train_loss``.

    Attributes:
        choice: of a category, against all its others; None for a number.
        effect: Spearman's rank correlation for a number; the difference of the mean gaps for a choice.
    """

    parameter: str
    choice: Any
    effect: Interval
    trials: int


@dataclass(frozen=True)
class Importance:
    """What the parameters of a study were worth, at equal epochs.

    Attributes:
        epoch: the highest that enough trials reached; None with ``problem``.
        trials: how many count.
        left_out: the number of the others by why they do not.
        parameters: the most important first.
        interactions: those of ``PAIRS`` that the space has and that enough trials tell of.
        gaps: the strongest first, numbers before choices.
        warnings: what a reader must know, a sentence each.
        problem: why nothing can be said; else None.
    """

    epoch: int | None
    trials: int
    left_out: dict[str, int]
    parameters: tuple[ParameterImportance, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    gaps: tuple[GapEffect, ...] = ()
    warnings: tuple[str, ...] = ()
    problem: str | None = None


def importance(study: Study, trials: pd.DataFrame, epochs: pd.DataFrame) -> Importance | None:
    """Return what each parameter was worth; None for a study of fewer than ten trials.

    Two figures answer two questions. ``variance`` (functional ANOVA of an additive model): which parameters make the
    trials differ, a bad range among them. ``among_best`` (PED-ANOVA, arXiv 2304.10255; of conditional parameters, arXiv
    2601.20800 and optuna#6682): what the best quarter has that the others have not, for which the worst values count no
    more than middling ones (optuna#4985). Both see the ranks alone. Intervals are of bootstrap resamples of the trials.
    All is drawn from the study's seed.

    Args:
        study: its space, its objective and its seed count.
        trials: the frame of ``Ledger.trials_frame``.
        epochs: the frame of ``Ledger.epochs_frame``.
    """
    import numpy as np

    if len(trials) < FEWEST:
        return None
    at = comparable(study, trials, epochs)
    if at is None:
        return _nothing(f"of {len(trials)} trials, fewer than {FEWEST} or than half came to one epoch")
    if not np.ptp(at.ranks):
        return _nothing(f"all {len(at.params)} trials came to the same {study.objective.metric}")
    searched = [p for p in study.space if not p.distribution.single()]
    having = {p.name: sum(p.name in point for point in at.params) for p in searched}
    assessed = [p for p in searched if having[p.name] >= FEWEST]
    if not assessed:
        return _nothing(f"no parameter was searched by {FEWEST} trials")
    n = len(at.params)
    rng = np.random.default_rng(derive(study.seed, "importance"))
    counts = rng.multinomial(n, np.full(n, 1 / n), size=max(20, min(RESAMPLES, MOST_CELLS // n)))
    with threadpool_limits(1):  # small matrices: threads would wait for each other longer than they compute
        parameters = _parameters(assessed, at, counts, rng)
        return Importance(
            epoch=at.epoch,
            trials=n,
            left_out=at.left_out,
            parameters=parameters,
            interactions=_interactions(study, at, counts),
            gaps=_gaps(assessed, at, counts),
            warnings=_warnings(at, parameters, {p: k for p, k in having.items() if 0 < k < FEWEST}),
        )


def _nothing(problem: str) -> Importance:
    return Importance(epoch=None, trials=0, left_out={}, problem=problem)


def _parameters(
    assessed: Sequence[Parameter], at: Comparable, counts: NDArray[np.int64], rng: np.random.Generator
) -> tuple[ParameterImportance, ...]:
    import numpy as np

    columns = [on_grid(p, [point.get(p.name) for point in at.params]) for p in assessed]
    model = AdditiveModel(columns, at.ranks)
    every = np.vstack([np.ones((1, len(at.params)), dtype=int), counts])
    variance = model.shares(every)
    p_values = model.p_values(rng, RESAMPLES - 1)
    among_best = ped_anova(columns, at.ranks, every, quantile=BEST)
    among_best = among_best / np.maximum(among_best.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    rows = [
        ParameterImportance(
            parameter=p.name,
            variance=Interval.of(float(variance[0, i]), variance[1:, i], within=(0.0, 1.0)),
            among_best=Interval.of(float(among_best[0, i]), among_best[1:, i], within=(0.0, 1.0)),
            p=float(p_values[i]),
            trials=sum(p.name in point for point in at.params),
            condition=None if p.when is None else str(p.when),
        )
        for i, p in enumerate(assessed)
    ]
    return tuple(sorted(rows, key=lambda row: -row.variance.value))


def _interactions(study: Study, at: Comparable, counts: NDArray[np.int64]) -> tuple[Interaction, ...]:
    found = []
    for pair in PAIRS:
        if all(name in study.space and not study.space[name].distribution.single() for name in pair):
            first, second = (study.space[name] for name in pair)
            share = interaction(first, second, at.params, at.ranks, counts)
            if share is not None:
                found.append(Interaction(pair, *share))
    return tuple(found)


def _gaps(assessed: Sequence[Parameter], at: Comparable, counts: NDArray[np.int64]) -> tuple[GapEffect, ...]:
    import numpy as np

    numbers, choices = [], []
    for p in assessed:
        having = np.array([p.name in point for point in at.params]) & np.isfinite(at.gaps)
        values = [point[p.name] for point, has in zip(at.params, having, strict=True) if has]
        gaps, own = at.gaps[having], counts[:, having]
        if not isinstance(p.distribution, CategoricalDistribution):
            effect = correlation(np.array(values, dtype=float), gaps, own)
            numbers += [] if effect is None else [GapEffect(p.name, None, effect, len(values))]
            continue
        places = np.array([int(p.distribution.to_internal_repr(v)) for v in values])
        several = len(p.distribution.choices) > 2
        for i, choice in enumerate(p.distribution.choices):
            effect = difference(gaps, places == i, own) if i or several else None
            choices += [] if effect is None else [GapEffect(p.name, choice, effect, int((places == i).sum()))]
    strongest = [sorted(found, key=lambda g: -abs(g.effect.value)) for found in (numbers, choices)]
    return (*strongest[0], *strongest[1])


def _warnings(at: Comparable, parameters: Sequence[ParameterImportance], rare: Mapping[str, int]) -> tuple[str, ...]:
    said = []
    if len(at.params) < FEW:
        said.append(f"{len(at.params)} trials are few: the order of the parameters is not settled below {FEW}")
    if early := sum(count for why, count in at.left_out.items() if why.startswith("did not reach")):
        said.append(f"{early} trials did not reach epoch {at.epoch}: this holds among those that did")
    if at.diverged:
        said.append(f"{at.diverged} trials diverged and count as the worst")
    if conditional := [row for row in parameters if row.condition is not None]:
        names = ", ".join(f"{row.parameter} ({row.trials})" for row in conditional[:MOST_NAMED])
        names += f" and {len(conditional) - MOST_NAMED} more" if len(conditional) > MOST_NAMED else ""
        said.append(f"conditional, from the trials that have them alone: {names}")
    if rare:
        names = ", ".join(f"{name} ({count})" for name, count in rare.items())
        said.append(f"too few trials have {names}: left out")
    return tuple(said)
