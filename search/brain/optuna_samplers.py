"""Optuna's samplers by name, and a space put to one of its trials."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler

from search.brain.tpe import BoundedTPESampler
from search.brain.trial_history import TrialHistory
from search.declaration.study import Study
from spaces import Point, Space, Value, hash_params

POPULATION = 16
"""Trials of a generation of nsga2. Optuna's 50 would leave a search of 64 trials one generation after a
random one; it must not follow the budget, which an extension changes in the middle of a generation."""


def build_optuna_sampler(study: Study, history: TrialHistory | None, seed: int) -> BaseSampler:
    """Return the sampler that a study names, for one proposal.

    Args:
        study: the declaration.
        history: what tpe learns from; the other samplers read Optuna's study.
        seed: of the proposal.
    """
    name = study.sampler
    samplers = optuna.samplers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if history is not None:
            return BoundedTPESampler(study.space, history, seed=seed)
        if name == "optuna_tpe":
            # Groups: parameters that exist together are modelled together, the conditional ones apart.
            return samplers.TPESampler(multivariate=True, group=True, seed=seed)
        if name == "random":
            return samplers.RandomSampler(seed=seed)
        if name == "gp":
            return samplers.GPSampler(seed=seed)
        if name == "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        if name == "nsga2":
            return samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
        return samplers.QMCSampler(
            scramble=True,  # else the seed has no say in the sequence
            seed=study.seed,  # of the one sequence that it walks through
            independent_sampler=samplers.RandomSampler(seed=seed),  # for conditional parameters
            warn_independent_sampling=False,
            warn_asynchronous_seeding=False,
        )


def suggest_params(space: Space, trial: optuna.Trial) -> dict[str, Value]:
    """Ask ``trial`` for every active parameter, in declaration order."""
    params: dict[str, Value] = {}
    for p in space:
        if p.when is not None and not p.when.holds(params):
            continue
        d = p.distribution
        if isinstance(d, CategoricalDistribution):
            params[p.name] = trial.suggest_categorical(p.name, d.choices)  # type: ignore[assignment]
        elif isinstance(d, IntDistribution):
            params[p.name] = trial.suggest_int(p.name, d.low, d.high, step=d.step, log=d.log)
        elif isinstance(d, FloatDistribution):
            params[p.name] = trial.suggest_float(p.name, d.low, d.high, step=d.step, log=d.log)
    return params


def random_points(space: Space, count: int) -> Iterator[Point]:
    """Yield points from anywhere in a space, always the same ones."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(count):
        yield suggest_params(space, study.ask())


def points(space: Space) -> Iterator[Point]:
    """Yield every distinct point of a finite space."""
    seen: set[str] = set()
    for values in itertools.product(*(_values(p.distribution) for p in space)):
        point = space.active(dict(zip(space.names, values, strict=True)))
        key = hash_params(point)
        if key not in seen:
            seen.add(key)
            yield point


def _values(distribution: Any) -> list[Value]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)  # type: ignore[arg-type]
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    low, high, step = distribution.low, distribution.high, distribution.step
    if low == high:
        return [low]
    return [low + i * step for i in range(math.floor((high - low) / step + 1e-9) + 1)]
