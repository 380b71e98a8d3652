"""The Optuna study behind the sampler: what it is told of our trials, and the notes it keeps on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import optuna
from optuna.trial import TrialState as OptunaState

from search.brain.optuna_samplers import build_optuna_sampler
from search.brain.paused_storage import StorageWithPaused
from search.brain.trial_history import TrialHistory
from search.declaration.study import Study
from search.ledger.outcome import OPTUNA_STATE, StopReason, TrialState
from spaces import Point
from trainables.direction import Direction

Values: TypeAlias = tuple[float, ...]
"""The value of every objective after one epoch, in the order of the study's objectives."""


class OptunaStudy:
    """An Optuna study in memory, fed with trials whose states and stop reasons are ours.

    With several objectives it has a direction for each. What a trial is told is then the best value of the first
    one, and what the others were at that epoch. Optuna takes no intermediate values in such a study, so a trial
    that was pruned at a rung is told as complete with what it had reached: that is what it looks like in the
    answer too, and the small models, which a rung prunes first, are not forgotten. A diverged one is told as
    pruned, without values.

    Args:
        study: the declaration.
        shows_running: whether ``pause`` may show trials; by default where the scheduler pauses some.

    Attributes:
        study: as Optuna has it.
    """

    def __init__(self, study: Study, *, shows_running: bool = False) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._declared = study
        self._several = len(study.objectives) > 1
        self._renumbered = False
        directions = {"min": optuna.study.StudyDirection.MINIMIZE, "max": optuna.study.StudyDirection.MAXIMIZE}
        self._paused = StorageWithPaused() if shows_running or study.scheduler.pauses else None
        self.study = optuna.create_study(
            storage=self._paused, directions=[directions[o.mode] for o in study.objectives]
        )
        self._history = TrialHistory(self.study) if study.sampler == "tpe" else None

    def seed(self, seed: int) -> None:
        """Let a fresh sampler, seeded with ``seed``, make the next proposals."""
        self.study.sampler = build_optuna_sampler(self._declared, self._history, seed)

    def ask(self, given: Point | None = None, *, joins: bool = False) -> optuna.Trial:
        """Return a new trial; the parameters in ``given`` have these values, the others are proposed.

        Args:
            given: all of its parameters, or some.
            joins: have it join the generation of nsga2, which else has those alone that were proposed for it.
        """
        if given is not None:
            self.study.enqueue_trial(dict(given))
        trial = self.study.ask()
        if joins and self._declared.sampler == "nsga2":
            _ = trial.relative_params  # Optuna notes a trial's generation when it is first asked for these
        self._learn(trial._trial_id)
        return trial

    def notes(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return what Optuna has noted on a trial and on the study, for ``add`` of a later session."""
        return {
            "trial": dict(trial.storage.get_trial_system_attrs(trial._trial_id)),
            "study": dict(trial.storage.get_study_system_attrs(trial.study._study_id)),
        }

    def tell(
        self, trial: optuna.Trial, values: Mapping[int, Values], state: TrialState, reason: StopReason | None
    ) -> list[float] | None:
        """Tell how a trial ended, with its intermediate values; return the values it counts with, if any.

        Args:
            trial: that ``ask`` or ``add`` returned.
            values: the objectives by epoch, where the first of them was finite.
            state: of the trial.
            reason: why it ended.
        """
        if not self._several:
            for epoch, (value,) in values.items():
                trial.report(value, epoch)
        told_as, told = self._told(values, state, reason)
        self.study.tell(trial, told, state=told_as)
        self._learn(trial._trial_id)
        return told

    def pause(self, trial: optuna.Trial, values: Mapping[int, Values]) -> None:
        """Show the samplers a paused trial as one that was pruned where it stands; it may go on and be told later."""
        if self._paused is not None and values:
            told_as, told = self._told(values, TrialState.PRUNED, StopReason.NOT_RESUMED)
            intermediate = {} if self._several else {epoch: value for epoch, (value,) in values.items()}
            shown = self._paused.show(trial._trial_id, told_as, told, intermediate)
            if self._history is not None:
                self._history.add(trial._trial_id, shown)

    def tell_repeat(self, trial: optuna.Trial, earlier: list[float] | None) -> float | list[float] | None:
        """Tell a proposal that repeats an earlier trial what that one came to; return it as it is recorded.

        One without a result, or still running, is told as failed. For nsga2 every one: a configuration is one
        member of its population, not two.
        """
        told = earlier if self._declared.sampler != "nsga2" else None
        self.study.tell(trial, told, state=OptunaState.FAIL if told is None else OptunaState.COMPLETE)
        self._learn(trial._trial_id)
        return told if told is None or self._several else told[0]

    def add_repeat(self, params: Point, recorded: float | list[float] | None) -> None:
        """Add a proposal of an earlier session that repeated the trial with ``params``; see ``tell_repeat``."""
        told = [recorded] if isinstance(recorded, float | int) else recorded
        self._add(params, OptunaState.FAIL if told is None else OptunaState.COMPLETE, told)

    def add_ended(
        self,
        params: Point,
        values: Mapping[int, Values],
        state: TrialState,
        reason: StopReason | None,
        notes: Mapping[str, Any],
    ) -> list[float] | None:
        """Add a trial that ended in an earlier session; arguments and result are as of ``tell``."""
        told_as, told = self._told(values, state, reason)
        intermediate = {} if self._several else {epoch: value for epoch, (value,) in values.items()}
        self._add(params, told_as, told, intermediate=intermediate, notes=notes)
        return told

    def add_running(self, params: Point, notes: Mapping[str, Any]) -> optuna.Trial:
        """Add a trial of an earlier session that goes on, and return it."""
        return self._add(params, OptunaState.RUNNING, None, notes=notes)

    def leave_out(self) -> None:
        """Take note that a trial of an earlier session is not added: Optuna's own numbers move."""
        self._renumbered = True

    def _told(
        self, values: Mapping[int, Values], state: TrialState, reason: StopReason | None
    ) -> tuple[OptunaState, list[float] | None]:
        """Return what Optuna is told of a trial that ended; values come with a complete one alone."""
        pruned_at_rung = state is TrialState.PRUNED and reason is not StopReason.DIVERGED
        if state is TrialState.COMPLETE or (self._several and pruned_at_rung):
            best = self._best(values)
            if best is not None and all(map(math.isfinite, best)):
                return OptunaState.COMPLETE, list(best)
            # the losses were finite, an objective never was
            return (OptunaState.FAIL if state is TrialState.COMPLETE else OptunaState.PRUNED), None
        return OptunaState[OPTUNA_STATE[state]], None

    def _best(self, values: Mapping[int, Values]) -> Values | None:
        """Return the objectives at the epoch at which the first was best; at the first of several such."""
        epoch = best_epoch(values, self._declared.objective.direction)
        return None if epoch is None else values[epoch]

    def _add(
        self,
        params: Point,
        state: OptunaState,
        values: list[float] | None,
        *,
        intermediate: Mapping[int, float] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> optuna.Trial:
        """Add a trial of an earlier session and return it; params outside the space become the nearest inside."""
        space, notes = self._declared.space, notes or {}
        inside = space.clamp(params)
        self.study.add_trial(
            optuna.trial.create_trial(
                state=state,
                values=values,
                params=dict(inside),
                distributions={name: space[name].distribution for name in inside},
                intermediate_values=dict(intermediate or {}),
                system_attrs=dict(notes.get("trial", {})),
            )
        )
        storage, study_id = self.study._storage, self.study._study_id
        for name, note in notes.get("study", {}).items():
            # a generation's parents are noted by numbers of Optuna's own, which a trial left out has moved
            if not (self._renumbered and ":parent:" in name):
                storage.set_study_system_attr(study_id, name, note)
        last = storage.get_n_trials(study_id) - 1
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, last)
        self._learn(trial_id)
        return optuna.Trial(self.study, trial_id)

    def _learn(self, trial_id: int) -> None:
        if self._history is not None:
            self._history.add(trial_id)


def best_epoch(values: Mapping[int, Values], direction: Direction) -> int | None:
    """Return the epoch at which the first objective was best, the first of equals; None without values."""
    return direction.best(sorted(values), key=lambda epoch: values[epoch][0]) if values else None
