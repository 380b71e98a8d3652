"""Optuna's TPE at a cost that does not grow with the history.

The algorithm is Optuna's, with its defaults: multivariate, parameters that exist together in groups, running trials
as liars (Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization; Watanabe 2023, arXiv 2304.11127). For each
group of parameters Optuna splits the whole history into good and other trials and reads their parameters anew. Here
that is done once a proposal, over a bounded part of the history (``TrialHistory``), and what was read is kept. Until
the history outgrows the bound, the proposals are Optuna's own bit for bit.

``tests/search/test_tpe.py`` fails where another version of Optuna is not what this builds on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.search_space.group_decomposed import _SearchSpaceGroup
from optuna.trial import FrozenTrial

from search.brain.trial_history import TrialHistory
from spaces import Space


class BoundedTPESampler(TPESampler):
    """Proposes one trial of an Optuna study by TPE; the next trial needs another sampler.

    Args:
        space: of the trials.
        history: of the study, kept up to date by whoever tells it of trials.
        seed: of the proposal.
    """

    def __init__(self, space: Space, history: TrialHistory, *, seed: int) -> None:
        super().__init__(multivariate=True, group=True, seed=seed)
        self._columns = {name: (column, space[name].distribution) for column, name in enumerate(space.names)}
        self._space = space
        self._history = history
        self._tables: tuple[np.ndarray, np.ndarray] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that were seen, in groups of those that exist together."""
        # A set of parameters that was seen before splits no group, so the first trial of each set is enough.
        self._search_space_group = _SearchSpaceGroup()
        for distributions in self._history.distributions():
            self._search_space_group.add_distributions(dict(distributions))
        groups = self._search_space_group.search_spaces
        return {name: group[name] for group in groups for name in sorted(group) if not group[name].single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return proposed values: of all parameters, as Optuna does, or once there is much history of those in use.

        Values of parameters that are not in use cost as much, and have only other trials keep away from them.
        """
        if not self._history.outgrown:
            return super().sample_relative(study, trial, search_space)
        assert self._search_space_group is not None
        groups = {name: group for group in self._search_space_group.search_spaces for name in group}
        params: dict[str, Any] = {}
        given = trial.system_attrs.get("fixed_params", {})
        for p in self._space:
            if p.name in params or p.name not in search_space:
                continue
            if p.when is None or p.when.holds({**params, **given}):
                group = groups[p.name]
                params |= self._sample(study, trial, {n: group[n] for n in sorted(group) if n in search_space})
        return params

    def _sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space or len(self._history) < self._n_startup_trials:
            return {}
        return self._sample(study, trial, search_space)

    def _sample(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Return, of candidates drawn where good trials are, the one that is likeliest beside the other trials."""
        if self._tables is None:
            good, others = self._history.split(without=trial.number)
            self._tables = self._table(good, study), self._table(others, study)
        near, far = (self._observed(table, search_space) for table in self._tables)
        parameters, several = self._parzen_estimator_parameters, len(study.directions) > 1
        weights = np.ones(len(next(iter(near.values())))) if several else None
        density = _ParzenEstimator(near, search_space, parameters, weights)
        beside = _ParzenEstimator(far, search_space, parameters)
        candidates = density.sample(self._rng.rng, self._n_ei_candidates)
        likeliest = int(np.argmax(density.log_pdf(candidates) - beside.log_pdf(candidates)))
        return {
            name: distribution.to_external_repr(candidates[name][likeliest].item())
            for name, distribution in search_space.items()
        }

    def _table(self, trials: Sequence[FrozenTrial], study: Study) -> np.ndarray:
        rows = self._history.rows
        for trial in trials:
            if trial.number not in rows:
                rows[trial.number] = self._row(trial, study)
        return np.array([rows[trial.number] for trial in trials]).reshape(len(trials), len(self._columns))

    def _row(self, trial: FrozenTrial, study: Study) -> np.ndarray:
        """Return a trial's parameters as numbers, NaN where it has none; a running one has those of every group."""
        row = np.full(len(self._columns), np.nan)
        for name, value in self._get_params(trial, study).items():
            column, distribution = self._columns[name]
            row[column] = distribution.to_internal_repr(value)
        return row

    def _observed(self, table: np.ndarray, search_space: dict[str, BaseDistribution]) -> dict[str, np.ndarray]:
        """Return the values of a group's parameters, [trials] each, over the trials that have them all."""
        of_group = table[:, [self._columns[name][0] for name in search_space]]
        observed = of_group[~np.isnan(of_group).any(axis=1)]
        return {name: observed[:, i] for i, name in enumerate(search_space)}
