"""The epochs of a trial whose loop is a trainer's, and what it logged as what is reported."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from trainables.errors import ConfigError
from trainables.mistake import nearest
from trainables.train_function.handover import TrialEnded

if TYPE_CHECKING:
    from trainables.train_function.trial import Trial

Names: TypeAlias = "Mapping[str, str] | Collection[str] | None"
"""Which metrics are reported: by their names, or those of a trainer by those to report; None for all."""

NO_NAME = re.compile(r"\W")


class TrainerEpochs:
    """Steps ``trial.epochs()`` for a trainer, which has the loop and is stopped by its own means.

    Args:
        trial: what the training function was handed.
    """

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._epochs = trial.epochs()
        self._ended: TrialEnded | None = None

    def begin(self) -> int:
        """Put the random streams of a checkpoint in place; return how many epochs it has, 0 where there is none."""
        return next(self._epochs, self._trial.max_epochs + 1) - 1

    def report(self, metrics: Mapping[str, Any]) -> bool:
        """Report an epoch, and return whether the trainer is to go on.

        Raises:
            ConfigError: what is wrong with the report.
        """
        if self._ended is not None:
            return False
        try:
            self._trial.report(**metrics)
        except TrialEnded as ended:
            self._ended = ended
            return False
        return next(self._epochs, None) is not None

    def end_function(self) -> None:
        """Raise, once the trainer has stopped, what ``report`` kept from it, so that nothing behind it runs.

        Raises:
            TrialEnded: the trial was pruned or stopped.
        """
        if self._ended is not None:
            raise self._ended


def renamed(logged: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Return metrics under the names by which they are reported.

    Args:
        logged: by the trainer's names.
        names: which of them; None for all, with ``_`` where a name has other characters than letters, digits and ``_``.

    Raises:
        ConfigError: one that is named was not logged.
    """
    if names is None:
        return {NO_NAME.sub("_", name): value for name, value in logged.items()}
    wanted = dict(names) if isinstance(names, Mapping) else {NO_NAME.sub("_", name): name for name in names}
    if absent := [name for name in wanted.values() if name not in logged]:
        known = ", ".join(logged) or "nothing"
        raise ConfigError(
            [f"metrics: {name} was not logged.{nearest(name, logged)} Logged: {known}" for name in absent]
        )
    return {reported: logged[name] for reported, name in wanted.items()}
