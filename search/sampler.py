"""A Ray Tune searcher over an Optuna study: conditions, no repeats, and pruned trials told as pruned."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.samplers._lazy_random_state import LazyRandomState
from ray.tune.search import Searcher

from search.outcome import OPTUNA_STATE, TrialState
from search.scheduler import RecordingScheduler
from search.study import Study
from spaces import Point, Space, Value, hash_params
from trainables.derive import derive
from trainables.report import EPOCH, STOP

ATTEMPTS = 20
"""How often a sampler that repeats itself is asked again before an unseen point is taken instead."""

ENUMERABLE = 100_000
"""Finite spaces up to this size are searched for an unseen point when the sampler keeps repeating."""


@dataclass
class Proposal:
    """One trial that the sampler asked for.

    Attributes:
        number: of the trial within its study.
        params: active parameters.
        repeats: trial numbers whose configuration was proposed again just before this one.
        values: the objective by epoch, finite ones only.
    """

    number: int
    params: dict[str, Value]
    config_hash: str
    seed: int
    optuna_trial: optuna.Trial
    repeats: list[int]
    values: dict[int, float] = field(default_factory=dict)

    @property
    def sampler_attrs(self) -> dict[str, Any]:
        """Optuna's own notes on the trial; some samplers continue from them."""
        return dict(self.optuna_trial.storage.get_trial_system_attrs(self.optuna_trial._trial_id))


class OptunaSampler(Searcher):  # type: ignore[misc]
    """Proposes params from history.

    Trial 0 is the space's baseline. Before each proposal the sampler's generators are seeded from
    (study seed, trial number), so a proposal depends on the history and the seed alone.

    Args:
        study: the declaration.
        scheduler: knows how a trial ended that it stopped.
    """

    def __init__(self, study: Study, scheduler: RecordingScheduler) -> None:
        super().__init__(metric=study.objective.metric, mode=study.objective.mode)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = study
        self._space: Space = study.space
        self._scheduler = scheduler
        self._optuna_sampler = build_optuna_sampler(study.sampler, study.seed)
        directions = optuna.study.StudyDirection
        direction = directions.MINIMIZE if study.objective.mode == "min" else directions.MAXIMIZE
        self._optuna = optuna.create_study(direction=direction, sampler=self._optuna_sampler)
        self._numbers: dict[str, int] = {}
        self._results: dict[int, float | None] = {}
        self._proposals: dict[str, Proposal] = {}
        self._next = 0
        self.exhausted = False

    @property
    def finished(self) -> bool:
        """Whether no further trial will be proposed."""
        return self.exhausted or self._next >= self._study.budget.trials

    def proposal(self, trial_id: str) -> Proposal:
        """Return what was proposed for ``trial_id``."""
        return self._proposals[trial_id]

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the config of the next trial, or ``Searcher.FINISHED``."""
        if self.finished:
            return str(Searcher.FINISHED)
        proposal = self._propose()
        if proposal is None:
            self.exhausted = True
            return str(Searcher.FINISHED)
        self._proposals[trial_id] = proposal
        self._numbers[proposal.config_hash] = proposal.number
        self._next += 1
        return {
            "number": proposal.number,
            "trainable": self._study.trainable,
            "params": self._study.params_of(proposal.params),
            "seed": proposal.seed,
            "max_epochs": self._study.budget.max_epochs,
            "checkpoint_every_s": self._study.checkpoint_every_s,
            "resume_from": None,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Remember the objective after an epoch."""
        value = float(result[self._study.objective.metric])
        if math.isfinite(value):
            self._proposals[trial_id].values[int(result[EPOCH])] = value

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna how a trial ended, with its intermediate values."""
        proposal = self._proposals[trial_id]
        state = TrialState.FAILED
        if result and not error:
            self.on_trial_result(trial_id, result)
            state = self._scheduler.outcome(trial_id, result.get(STOP)).state
        self._tell(proposal, state)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the ledger is what a search resumes from."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: see ``save``."""

    def _propose(self) -> Proposal | None:
        """Ask Optuna until it names a configuration that was not trained; None when there is none left."""
        number, repeats = self._next, list[int]()
        if len(self._numbers) >= self._space.cardinality():
            return None
        for attempt in range(ATTEMPTS):
            reseed(self._optuna_sampler, self._study.seed, number, attempt)
            trial, params = self._ask(number)
            config_hash = self._space.config_hash(params)
            earlier = self._numbers.get(config_hash)
            if earlier is None:
                return self._proposal(number, trial, params, repeats)
            repeats.append(earlier)
            self._tell_again(trial, earlier)
        unseen = self._unseen(number)
        if unseen is None:
            return None
        self._optuna.enqueue_trial(dict(self._space.clamp(unseen)))
        trial, params = self._ask(number)
        return self._proposal(number, trial, params, repeats)

    def _proposal(self, number: int, trial: optuna.Trial, params: dict[str, Value], repeats: list[int]) -> Proposal:
        return Proposal(
            number=number,
            params=params,
            config_hash=hash_params(params),
            seed=trial_seed(self._study.seed, number),
            optuna_trial=trial,
            repeats=repeats,
        )

    def _ask(self, number: int) -> tuple[optuna.Trial, dict[str, Value]]:
        """Return an Optuna trial and its active params; number 0 is the baseline as declared.

        Optuna is told the nearest point inside the space, where the baseline lies outside of it.
        """
        if number == 0:
            self._optuna.enqueue_trial(dict(self._space.clamp(self._space.baseline)))
        trial = self._optuna.ask()
        params = suggest_params(self._space, trial)
        return trial, (self._space.baseline if number == 0 else params)

    def _tell(self, proposal: Proposal, state: TrialState) -> None:
        trial, values = proposal.optuna_trial, proposal.values
        for epoch, value in values.items():
            trial.report(value, epoch)
        best = self._best(values)
        self._results[proposal.number] = best if state is TrialState.COMPLETE else None
        optuna_state = optuna.trial.TrialState[OPTUNA_STATE[state]]
        if state is TrialState.COMPLETE and best is not None:
            self._optuna.tell(trial, best)
        else:
            self._optuna.tell(trial, state=optuna_state)

    def _tell_again(self, trial: optuna.Trial, earlier: int) -> None:
        """Tell a repeated configuration the result it had; a failed or running one as failed."""
        value = self._results.get(earlier)
        if value is None:
            self._optuna.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._optuna.tell(trial, value)

    def _best(self, values: dict[int, float]) -> float | None:
        if not values:
            return None
        return min(values.values()) if self._study.objective.mode == "min" else max(values.values())

    def _unseen(self, number: int) -> Point | None:
        """Return a point of a finite space that no trial had, drawn evenly; None if there is none."""
        if self._space.cardinality() > ENUMERABLE:
            return None
        left = [p for p in points(self._space) if hash_params(p) not in self._numbers]
        rng = np.random.default_rng([self._study.seed, number])
        return left[rng.integers(len(left))] if left else None


def trial_seed(study_seed: int, number: int) -> int:
    """Return the seed of a trial: it depends on the study's seed and the trial's number alone."""
    return derive(study_seed, "trial", number)


def build_optuna_sampler(name: str, seed: int) -> BaseSampler:
    """Return the Optuna sampler called ``name``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            # Groups: parameters that exist together are modelled together, the conditional ones apart.
            return optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed)
        if name == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed)
        if name == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        return optuna.samplers.QMCSampler(seed=seed, warn_independent_sampling=False, warn_asynchronous_seeding=False)


def reseed(sampler: BaseSampler, *entropy: int) -> None:
    """Seed every generator of ``sampler``, and of the samplers inside it, from ``entropy``."""
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    for value in vars(sampler).values():
        if isinstance(value, LazyRandomState):
            value.rng.seed(seed)
        elif isinstance(value, BaseSampler):
            reseed(value, *entropy, 1)


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
