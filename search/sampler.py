"""A Ray Tune searcher over an Optuna study: conditions, no repeats, and pruned trials told as pruned."""

from __future__ import annotations

import itertools
import math
import warnings
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from ray.tune.search import Searcher

from search.ledger import TrialRow
from search.outcome import OPTUNA_STATE, TrialState
from search.scheduler import RecordingScheduler
from search.shares import Share, Shares
from search.study import Objective, Study, fits
from spaces import Point, Space, Value, hash_params
from trainables.derive import derive
from trainables.report import EPOCH, STOP

ATTEMPTS = 20
"""How often a sampler that repeats itself is asked again before an unseen point is taken instead."""

ENUMERABLE = 100_000
"""Finite spaces up to this size are searched for an unseen point when the sampler keeps repeating."""

Repeat: TypeAlias = tuple[int, float | None]
"""An earlier trial whose configuration was proposed again, and the value that Optuna was told again for
it (None: told as failed)."""


@dataclass
class Proposal:
    """One trial that the sampler asked for.

    Attributes:
        number: of the trial within its study.
        params: active parameters.
        repeats: what was proposed, and refused, just before this one.
        values: the objective by epoch, finite ones only.
        epochs: how many were recorded in earlier sessions; 0 for a new trial.
        resumed: whether it began in an earlier session.
    """

    number: int
    params: dict[str, Value]
    config_hash: str
    seed: int
    optuna_trial: optuna.Trial
    repeats: list[Repeat]
    values: dict[int, float] = field(default_factory=dict)
    epochs: int = 0
    resumed: bool = False

    def best_epoch(self, objective: Objective) -> tuple[int, float] | None:
        """Return the epoch at which the trial was best so far, the first of equals, and the value."""
        if not self.values:
            return None
        pick = min if objective.mode == "min" else max
        epoch = pick(sorted(self.values), key=self.values.__getitem__)
        return epoch, self.values[epoch]

    @property
    def sampler_attrs(self) -> dict[str, Any]:
        """Optuna's own notes on the trial and on its study; some samplers continue from them."""
        trial = self.optuna_trial
        return {
            "trial": dict(trial.storage.get_trial_system_attrs(trial._trial_id)),
            "study": dict(trial.storage.get_study_system_attrs(trial.study._study_id)),
        }


class OptunaSampler(Searcher):  # type: ignore[misc]
    """Proposes params from history.

    Trial 0 is the space's baseline. Each proposal is made by an Optuna sampler of its own, seeded from
    (study seed, trial number): it depends on the history and the seed alone, so that a resumed search
    proposes what an uninterrupted one would have.

    Args:
        study: the declaration.
        scheduler: knows how a trial ended that it stopped.
    """

    def __init__(self, study: Study, scheduler: RecordingScheduler) -> None:
        super().__init__(metric=study.objective.metric, mode=study.objective.mode)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = study
        self._space: Space = study.space
        self._shares = None if study.balanced is None else Shares(study.space, study.balanced)
        # 1 where the baseline is a point more than the space has
        self._outside = int(study.space.clamp(study.space.baseline) != study.space.baseline)
        self._scheduler = scheduler
        directions = optuna.study.StudyDirection
        direction = directions.MINIMIZE if study.objective.mode == "min" else directions.MAXIMIZE
        self._optuna = optuna.create_study(direction=direction)
        self._numbers: dict[str, int] = {}
        self._results: dict[int, float | None] = {}
        self._proposals: dict[str, Proposal] = {}
        self._unfinished: deque[Proposal] = deque()
        self._next = 0
        self.exhausted = False
        self.closed = False

    @property
    def finished(self) -> bool:
        """Whether no further trial will be proposed: none is left, or the search is being stopped."""
        return self.closed or not self._unfinished and (self.exhausted or self._next >= self._study.budget.trials)

    @property
    def handed_on(self) -> dict[Value, int]:
        """The choices of the balanced parameter that ran out of points before others did, with their trials."""
        return {} if self._shares is None else self._shares.handed_on

    @property
    def next_number(self) -> int:
        """The number of the next trial to be proposed."""
        return self._unfinished[0].number if self._unfinished else self._next

    def proposal(self, trial_id: str) -> Proposal:
        """Return what was proposed for ``trial_id``."""
        return self._proposals[trial_id]

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the config of the next trial, or ``Searcher.FINISHED``."""
        if self.finished:
            return str(Searcher.FINISHED)
        proposal = self._unfinished.popleft() if self._unfinished else self._propose()
        if proposal is None:
            self.exhausted = True
            return str(Searcher.FINISHED)
        self._proposals[trial_id] = proposal
        return {
            "number": proposal.number,
            "trainable": self._study.trainable,
            "params": self._study.params_of(proposal.params),
            "seed": proposal.seed,
            "max_epochs": self._study.budget.max_epochs,
            "checkpoint_every_s": self._study.checkpoint_every_s,
            "epochs_before": proposal.epochs,
            "best": proposal.best_epoch(self._study.objective),
            "resumed": proposal.resumed,
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
            if EPOCH in result:
                self.on_trial_result(trial_id, result)
            state = self._scheduler.outcome(proposal.number, result.get(STOP)).state
        self._tell(proposal, state)

    def replay(
        self,
        trials: Sequence[TrialRow],
        values: Mapping[int, Mapping[int, float]],
        *,
        goes_on: Collection[int] | None = None,
    ) -> None:
        """Take up the history of earlier sessions; trials that go on are proposed first.

        Args:
            trials: of the ledger, all of them, by number.
            values: the objective by trial and epoch, as recorded.
            goes_on: the numbers of the trials that do, by default of those that did not end. Any other
                that did not end counts as failed for now.
        """
        if goes_on is None:
            goes_on = {row.number for row in trials if row.state.resumable}
        self._next = trials[-1].number + 1 if trials else 0
        if self.finished and not goes_on:
            return  # nothing will be proposed, so Optuna need not hear of thousands of trials
        by_number = {row.number: row for row in trials}
        for row in trials:
            if not fits(self._space, row.params, row.number):
                continue  # trained before the space was changed
            for earlier, value in row.repeats:
                state = TrialState.FAILED if value is None else TrialState.COMPLETE
                self._add(by_number[earlier].params, state, value=value)
            recorded = values.get(row.number, {})
            finite = {epoch: value for epoch, value in recorded.items() if math.isfinite(value)}
            state = TrialState.FAILED if row.state.resumable else row.state
            if row.number in goes_on:
                state = TrialState.RUNNING
            best = self._best(finite)
            trial = self._add(row.params, state, value=best, intermediate=finite, attrs=row.sampler_attrs)
            self._count(row.params, row.config_hash, row.number)
            self._results[row.number] = best if state is TrialState.COMPLETE else None
            if state is TrialState.RUNNING:
                proposal = Proposal(row.number, row.params, row.config_hash, row.seed, trial, row.repeats, finite)
                proposal.epochs, proposal.resumed = max(recorded, default=0), True
                self._unfinished.append(proposal)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the ledger is what a search resumes from."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: see ``save``."""

    def _propose(self) -> Proposal | None:
        """Ask Optuna until it names a configuration that was not trained; None when there is none left."""
        if len(self._numbers) - self._outside >= self._space.cardinality():
            return None
        number, share = self._next, None
        if self._shares is not None and number > 0:
            share = self._shares.due()
            if share is None:
                return None
        repeats: list[Repeat] = []
        for attempt in range(ATTEMPTS):
            seed = derive(self._study.seed, "sampler", number, attempt) % 2**32
            self._optuna.sampler = build_optuna_sampler(self._study.sampler, seed, study_seed=self._study.seed)
            trial, params = self._ask(number, share)
            earlier = self._numbers.get(self._space.config_hash(params))
            if earlier is None:
                return self._accept(trial, params, repeats)
            repeats.append((earlier, self._tell_again(trial, earlier)))
        unseen = self._unseen(number, self._space if share is None else share.space)
        if unseen is None:
            return None
        self._optuna.enqueue_trial(dict(self._space.clamp(unseen)))
        trial, params = self._ask(number)
        return self._accept(trial, params, repeats)

    def _accept(self, trial: optuna.Trial, params: dict[str, Value], repeats: list[Repeat]) -> Proposal:
        number, config_hash = self._next, hash_params(params)
        self._count(params, config_hash, number)
        self._next += 1
        return Proposal(number, params, config_hash, trial_seed(self._study.seed, number), trial, repeats)

    def _count(self, params: Point, config_hash: str, number: int) -> None:
        self._numbers[config_hash] = number
        if self._shares is not None:
            self._shares.count(params)

    def _ask(self, number: int, share: Share | None = None) -> tuple[optuna.Trial, dict[str, Value]]:
        """Return an Optuna trial and its active params; number 0 is the baseline as declared.

        Optuna is told the nearest point inside the space, where the baseline lies outside of it. With a
        ``share`` its choice is given, and only the other parameters are Optuna's to propose.
        """
        if number == 0:
            self._optuna.enqueue_trial(dict(self._space.clamp(self._space.baseline)))
        elif share is not None:
            self._optuna.enqueue_trial({share.name: share.choice})
        trial = self._optuna.ask()
        params = suggest_params(self._space, trial)
        return trial, (self._space.baseline if number == 0 else params)

    def _tell(self, proposal: Proposal, state: TrialState) -> None:
        trial, values = proposal.optuna_trial, proposal.values
        for epoch, value in values.items():
            trial.report(value, epoch)
        best = self._best(values)
        self._results[proposal.number] = best if state is TrialState.COMPLETE else None
        if state is TrialState.COMPLETE and best is not None:
            self._optuna.tell(trial, best)
        elif state is TrialState.COMPLETE:  # the losses were finite, another objective never was
            self._optuna.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._optuna.tell(trial, state=optuna.trial.TrialState[OPTUNA_STATE[state]])

    def _tell_again(self, trial: optuna.Trial, earlier: int) -> float | None:
        """Tell a repeated configuration the result it had; a pruned, failed or running one as failed."""
        value = self._results.get(earlier)
        if value is None:
            self._optuna.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._optuna.tell(trial, value)
        return value

    def _add(
        self,
        params: Mapping[str, Any],
        state: TrialState,
        *,
        value: float | None,
        intermediate: Mapping[int, float] | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> optuna.Trial:
        """Add a trial of an earlier session to the Optuna study; return it, to be told if it is running."""
        inside = self._space.clamp(params)
        notes = attrs or {}
        self._optuna.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[OPTUNA_STATE[state]],
                value=value if state is TrialState.COMPLETE else None,
                params=inside,
                distributions={name: self._space[name].distribution for name in inside},
                intermediate_values={} if state is TrialState.RUNNING else dict(intermediate or {}),
                system_attrs=dict(notes.get("trial", {})),
            )
        )
        storage, study_id = self._optuna._storage, self._optuna._study_id
        for name, note in notes.get("study", {}).items():
            storage.set_study_system_attr(study_id, name, note)
        last = storage.get_n_trials(study_id) - 1
        return optuna.Trial(self._optuna, storage.get_trial_id_from_study_id_trial_number(study_id, last))

    def _best(self, values: Mapping[int, float]) -> float | None:
        if not values:
            return None
        return min(values.values()) if self._study.objective.mode == "min" else max(values.values())

    def _unseen(self, number: int, space: Space) -> Point | None:
        """Return a point of a finite space that no trial had, drawn evenly; None if there is none."""
        if space.cardinality() > ENUMERABLE:
            return None
        left = [p for p in points(space) if hash_params(p) not in self._numbers]
        rng = np.random.default_rng([self._study.seed, number])
        return left[rng.integers(len(left))] if left else None


def trial_seed(study_seed: int, number: int) -> int:
    """Return the seed of a trial: it depends on the study's seed and the trial's number alone."""
    return derive(study_seed, "trial", number)


def build_optuna_sampler(name: str, seed: int, *, study_seed: int) -> BaseSampler:
    """Return the Optuna sampler called ``name``.

    Args:
        name: ``tpe``, ``random``, ``gp``, ``cmaes`` or ``qmc``.
        seed: of one proposal.
        study_seed: of the one sequence that qmc walks through.
    """
    samplers = optuna.samplers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            # Groups: parameters that exist together are modelled together, the conditional ones apart.
            return samplers.TPESampler(multivariate=True, group=True, seed=seed)
        if name == "random":
            return samplers.RandomSampler(seed=seed)
        if name == "gp":
            return samplers.GPSampler(seed=seed)
        if name == "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        return samplers.QMCSampler(
            scramble=True,  # else the seed has no say in the sequence
            seed=study_seed,
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
