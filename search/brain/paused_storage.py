"""Optuna's storage of running trials, of which the paused ones are shown to samplers with what they have come to."""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class StorageWithPaused(InMemoryStorage):
    """Keeps a paused trial as running, which may go on, and shows it as ended.

    A sampler learns nothing from a trial that runs. Under a scheduler that pauses trials most of them would run until
    the search is over.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[int, tuple[TrialState, list[float] | None, dict[int, float]]] = {}

    def show(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None, intermediate: Mapping[int, float]
    ) -> FrozenTrial:
        """Show a running trial as one that ended in ``state``, until it does end; return it as it is shown."""
        self._shown[trial_id] = state, None if values is None else list(values), dict(intermediate)
        return self._as_shown(self.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study; see ``optuna.storages.BaseStorage``."""
        trials = [self._as_shown(trial) for trial in super().get_all_trials(study_id, deepcopy, None)]
        return trials if states is None else [trial for trial in trials if trial.state in states]

    def _as_shown(self, trial: FrozenTrial) -> FrozenTrial:
        if trial.state.is_finished() or trial._trial_id not in self._shown:
            return trial
        shown = copy.copy(trial)
        shown.state, shown._values, shown.intermediate_values = self._shown[trial._trial_id]
        shown.datetime_complete = trial.datetime_start
        return shown
