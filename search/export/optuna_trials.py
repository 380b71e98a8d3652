"""A recorded study as Optuna has one: its trials, their distributions, and what is known of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from search.brain.optuna_study import Values, best_epoch
from search.declaration.study import Study
from search.ledger.outcome import OPTUNA_STATE, StopReason, TrialState
from search.ledger.rows import EpochRow, TrialRow
from spaces import Space, Value
from spaces.parameter import equal

OWN = "lanewise."
"""Begins the names of our own attributes, as those of MLflow's tags; a metric has its name alone."""


@dataclass(frozen=True)
class Converted:
    """The trials of a study for Optuna, in the order of their numbers.

    Attributes:
        trials: as ``optuna.Study.add_trials`` takes them.
        space: what Optuna is told of the parameters: the declared one, widened to hold every trial.
        widened: the parameters whose range or choices are wider than declared.
        moved: by trial, the true values of parameters that no such range can hold; Optuna has the nearest value.
    """

    trials: list[FrozenTrial]
    space: Space
    widened: tuple[str, ...]
    moved: Mapping[int, Mapping[str, Value]]


def convert(study: Study, trials: Sequence[TrialRow], epochs: Sequence[EpochRow], *, running: bool) -> Converted:
    """Return what Optuna is told of the trials.

    Args:
        study: the declaration.
        trials: as the ledger has them, in the order of their numbers.
        epochs: all of them.
        running: whether a process drives the study; without one, a trial that has not ended is told as failed.
    """
    space = widened(study.space, [row.params for row in trials])
    by_trial: dict[int, list[EpochRow]] = {row.number: [] for row in trials}
    for epoch in epochs:
        by_trial[epoch.number].append(epoch)
    moved = {row.number: out for row in trials if (out := _outside(space, row.params))}
    return Converted(
        trials=[
            _trial(study, space, row, by_trial[row.number], moved.get(row.number, {}), running=running)
            for row in trials
        ],
        space=space,
        widened=tuple(p.name for p in space if p.distribution != study.space[p.name].distribution),
        moved=moved,
    )


def widened(space: Space, points: Sequence[Mapping[str, Value]]) -> Space:
    """Return a space that holds the values of all points where its distributions can.

    A baseline may lie outside of what is searched, and ``extend`` may have narrowed that. Optuna's samplers and
    importances leave out a parameter whose distribution is not the same in all trials, so all trials get the wider one.
    """
    return Space(
        tuple(
            replace(p, distribution=_holding(p.distribution, [point[p.name] for point in points if p.name in point]))
            for p in space
        )
    )


def _holding(distribution: BaseDistribution, values: Sequence[Any]) -> BaseDistribution:
    """Return a distribution of the same kind that holds those of the values which one of its kind can."""
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if isinstance(distribution, CategoricalDistribution):
        choices = list(distribution.choices)
        if len(choices) == 1 and numeric and isinstance(choices[0], int | float) and len(set(values)) > 1:
            return _range([*values, choices[0]])  # a range that was fixed at a value later
        for value in values:
            if not any(equal(value, choice) for choice in choices):
                choices.append(value)
        return CategoricalDistribution(choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    fitting = [v for v in values if numeric and (v > 0 or not distribution.log)]
    if isinstance(distribution, IntDistribution):
        step, fitting = distribution.step, [v for v in fitting if float(v).is_integer()]
        low, high = _edges(distribution, fitting)
        return IntDistribution(
            distribution.low - step * math.ceil((distribution.low - low) / step),
            distribution.high + step * math.ceil((high - distribution.high) / step),
            log=distribution.log,
            step=step,
        )
    low, high = _edges(distribution, fitting)
    if distribution.step is None:
        return FloatDistribution(low, high, log=distribution.log)
    steps_down = math.ceil((distribution.low - low) / distribution.step)
    return FloatDistribution(distribution.low - steps_down * distribution.step, high, step=distribution.step)


def _edges(distribution: FloatDistribution | IntDistribution, values: Sequence[float]) -> tuple[float, float]:
    return min([distribution.low, *values]), max([distribution.high, *values])


def _range(values: Sequence[Any]) -> BaseDistribution:
    if all(isinstance(v, int) for v in values):
        return IntDistribution(min(values), max(values))
    return FloatDistribution(min(values), max(values))


def _outside(space: Space, params: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in params.items() if not space[name].contains(value)}


def _trial(
    study: Study,
    space: Space,
    row: TrialRow,
    epochs: Sequence[EpochRow],
    moved: Mapping[str, Value],
    *,
    running: bool,
) -> FrozenTrial:
    """Return one trial; its number is given to it by Optuna, by the order of adding."""
    names = [o.metric for o in study.objectives]
    curve = {e.epoch: tuple(e.values.get(name, math.nan) for name in names) for e in epochs}
    best = best_epoch({n: v for n, v in curve.items() if math.isfinite(v[0])}, study.objective.direction)
    state, values = _told(row, None if best is None else curve[best], several=len(names) > 1, running=running)
    ended = row.ended_at or max((e.at for e in epochs), default=row.started_at)
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=None,
        values=None if values is None else list(values),
        datetime_start=datetime.fromtimestamp(row.started_at),
        datetime_complete=datetime.fromtimestamp(ended) if state.is_finished() else None,
        params={name: space[name].clamp(value) for name, value in row.params.items()},
        distributions={name: space[name].distribution for name in row.params},
        user_attrs=_attributes(row, epochs, best, moved),
        system_attrs={},
        intermediate_values={} if len(names) > 1 else {epoch: value for epoch, (value,) in curve.items()},
    )


def _told(row: TrialRow, best: Values | None, *, several: bool, running: bool) -> tuple[OptunaState, Values | None]:
    """Return the state and the values, which are those of the trial's best epoch; a failed trial has none.

    With several objectives Optuna knows of no curves, and a Pareto front of complete trials alone: one that was pruned
    at a rung is told as complete, as it counts in our front.
    """
    state = OptunaState[OPTUNA_STATE[row.state]]
    if state is OptunaState.RUNNING:
        return (state if running else OptunaState.FAIL), None
    if best is None or not all(map(math.isfinite, best)):
        return (OptunaState.FAIL if state is OptunaState.COMPLETE else state), None
    if several and row.state is TrialState.PRUNED and row.reason is not StopReason.DIVERGED:
        return OptunaState.COMPLETE, best
    return state, None if state is OptunaState.FAIL else best


def _attributes(
    row: TrialRow, epochs: Sequence[EpochRow], best: int | None, moved: Mapping[str, Value]
) -> dict[str, Any]:
    """Return what Optuna has no place of its own for, as plain JSON."""
    found = {
        "trial": row.number,
        "state": row.state.value,
        "stop_reason": row.stop_reason,
        "seed": row.seed,
        "config_hash": row.config_hash,
        "epochs": len(epochs),
        "best_epoch": best,
        "message": row.message,
        "outside_of_the_space": dict(moved) or None,
    }
    metrics = next((e.values for e in epochs if e.epoch == best), {})
    return {
        **{f"{OWN}{name}": value for name, value in found.items() if value is not None},
        **{name: value if math.isfinite(value) else str(value) for name, value in metrics.items()},
    }
