"""A Ray Tune searcher over an Optuna study: conditions, no repeats, and pruned trials told as pruned."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import optuna
from optuna.trial import TrialState as OptunaState
from ray.tune.search import Searcher

from search.brain.optuna_samplers import build_optuna_sampler, points, suggest_params
from search.brain.scheduler import RecordingScheduler
from search.brain.shares import Share, Shares
from search.declaration.study import Objective, Study, fits
from search.ledger import TrialRow
from search.ledger.outcome import OPTUNA_STATE, StopReason, TrialState
from spaces import Point, Space, Value, hash_params
from trainables.derive import derive
from trainables.report import EPOCH, STOP

ATTEMPTS = 20
"""How often a sampler that repeats itself is asked again before an unseen point is taken instead."""

ENUMERABLE = 100_000
"""Finite spaces up to this size are searched for an unseen point when the sampler keeps repeating."""

Repeat: TypeAlias = tuple[int, float | list[float] | None]
"""An earlier trial whose configuration was proposed again, and what Optuna was told again for it: the value,
the values of several objectives, or None (told as failed)."""

Values: TypeAlias = tuple[float, ...]
"""Of every objective after one epoch."""


@dataclass
class Proposal:
    """One trial that the sampler asked for.

    Attributes:
        number: of the trial within its study.
        params: active parameters.
        repeats: what was proposed, and refused, just before this one.
        values: the objectives by epoch, where the first of them was finite.
        epochs: how many were recorded in earlier sessions; 0 for a new trial.
        resumed: whether it began in an earlier session.
    """

    number: int
    params: dict[str, Value]
    config_hash: str
    seed: int
    optuna_trial: optuna.Trial
    repeats: list[Repeat]
    values: dict[int, Values] = field(default_factory=dict)
    epochs: int = 0
    resumed: bool = False

    def best_epoch(self, objective: Objective) -> tuple[int, float] | None:
        """Return the epoch at which the trial was best so far, the first of equals, and the value."""
        if not self.values:
            return None
        pick = min if objective.mode == "min" else max
        epoch = pick(sorted(self.values), key=lambda e: self.values[e][0])
        return epoch, self.values[epoch][0]

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

    With several objectives the Optuna study has a direction for each. What a trial is told is then the best
    value of the first one, and what the others were at that epoch. Optuna takes no intermediate values in
    such a study, so a trial that was pruned at a rung is told as complete with what it had reached: that is
    what it looks like in the answer too, and the small models, which a rung prunes first, are not forgotten.
    A diverged one is told as pruned, without values.

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
        directions = {"min": optuna.study.StudyDirection.MINIMIZE, "max": optuna.study.StudyDirection.MAXIMIZE}
        self._optuna = optuna.create_study(directions=[directions[o.mode] for o in study.objectives])
        self._several = len(study.objectives) > 1
        self._numbers: dict[str, int] = {}
        self._results: dict[int, list[float] | None] = {}
        self._proposals: dict[str, Proposal] = {}
        self._unfinished: deque[Proposal] = deque()
        self._next = 0
        self._renumbered = False
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
        """Remember the objectives after an epoch."""
        values = tuple(float(result[o.metric]) for o in self._study.objectives)
        if math.isfinite(values[0]):
            self._proposals[trial_id].values[int(result[EPOCH])] = values

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna how a trial ended, with its intermediate values."""
        proposal = self._proposals[trial_id]
        state, label = TrialState.FAILED, None
        if result and not error:
            if EPOCH in result:
                self.on_trial_result(trial_id, result)
            outcome = self._scheduler.outcome(proposal.number, result.get(STOP))
            state, label = outcome.state, outcome.label
        self._tell(proposal, state, label)

    def replay(
        self,
        trials: Sequence[TrialRow],
        values: Mapping[int, Mapping[int, Values]],
        *,
        goes_on: Collection[int] | None = None,
    ) -> None:
        """Take up the history of earlier sessions; trials that go on are proposed first.

        Args:
            trials: of the ledger, all of them, by number.
            values: the objectives by trial and epoch, as recorded.
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
                self._renumbered = True
                continue  # trained before the space was changed
            for earlier, again in row.repeats:
                told = [again] if isinstance(again, float | int) else again
                kind = OptunaState.FAIL if told is None else OptunaState.COMPLETE
                self._add(by_number[earlier].params, kind, told)
            recorded = values.get(row.number, {})
            finite = {epoch: v for epoch, v in recorded.items() if math.isfinite(v[0])}
            running = row.number in goes_on
            ended = TrialState.FAILED if row.state.resumable else row.state
            state, told = (OptunaState.RUNNING, None) if running else self._told(finite, ended, row.stop_reason)
            trial = self._add(row.params, state, told, intermediate=finite, attrs=row.sampler_attrs)
            self._count(row.params, row.config_hash, row.number)
            self._results[row.number] = told
            if running:
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

    def _tell(self, proposal: Proposal, state: TrialState, label: str | None) -> None:
        trial, values = proposal.optuna_trial, proposal.values
        if not self._several:
            for epoch, (value,) in values.items():
                trial.report(value, epoch)
        told_as, told = self._told(values, state, label)
        self._results[proposal.number] = told
        self._optuna.tell(trial, told, state=told_as)

    def _told(
        self, values: Mapping[int, Values], state: TrialState, label: str | None
    ) -> tuple[OptunaState, list[float] | None]:
        """Return what Optuna is told of a trial that ended; values come with a complete one alone."""
        pruned_at_rung = state is TrialState.PRUNED and label != StopReason.DIVERGED
        if state is TrialState.COMPLETE or (self._several and pruned_at_rung):
            best = self._best(values)
            if best is not None and all(map(math.isfinite, best)):
                return OptunaState.COMPLETE, list(best)
            # the losses were finite, an objective never was
            return (OptunaState.FAIL if state is TrialState.COMPLETE else OptunaState.PRUNED), None
        return OptunaState[OPTUNA_STATE[state]], None

    def _tell_again(self, trial: optuna.Trial, earlier: int) -> float | list[float] | None:
        """Tell a repeated configuration what it came to; one without a result, or still running, as failed.

        For nsga2 every one: a configuration is one member of its population, not two.
        """
        told = self._results.get(earlier) if self._study.sampler != "nsga2" else None
        self._optuna.tell(trial, told, state=OptunaState.FAIL if told is None else OptunaState.COMPLETE)
        return told if told is None or self._several else told[0]

    def _add(
        self,
        params: Mapping[str, Any],
        state: OptunaState,
        values: list[float] | None,
        *,
        intermediate: Mapping[int, Values] | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> optuna.Trial:
        """Add a trial of an earlier session to the Optuna study; return it, to be told if it is running."""
        inside = self._space.clamp(params)
        notes = attrs or {}
        reported = {} if self._several or state is OptunaState.RUNNING else dict(intermediate or {})
        self._optuna.add_trial(
            optuna.trial.create_trial(
                state=state,
                values=values,
                params=inside,
                distributions={name: self._space[name].distribution for name in inside},
                intermediate_values={epoch: value for epoch, (value,) in reported.items()},
                system_attrs=dict(notes.get("trial", {})),
            )
        )
        storage, study_id = self._optuna._storage, self._optuna._study_id
        for name, note in notes.get("study", {}).items():
            # a generation's parents are noted by numbers of Optuna's own, which a trial left out has moved
            if not (self._renumbered and ":parent:" in name):
                storage.set_study_system_attr(study_id, name, note)
        last = storage.get_n_trials(study_id) - 1
        return optuna.Trial(self._optuna, storage.get_trial_id_from_study_id_trial_number(study_id, last))

    def _best(self, values: Mapping[int, Values]) -> Values | None:
        """Return the objectives at the epoch at which the first was best; at the first of several such."""
        if not values:
            return None
        choose = min if self._study.objective.mode == "min" else max
        return choose((values[epoch] for epoch in sorted(values)), key=lambda v: v[0])

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
