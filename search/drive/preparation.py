"""What is made or fetched once, before any trial starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.errors import RunError
from search.signs.stopping import EXIT_CODES, Stopped, handling_signals, raising_signals
from trainables.errors import ConfigError
from trainables.protocols import PreparesOnce
from trainables.registry import find_trainable
from trainables.stage import stage

if TYPE_CHECKING:
    from trainables.data import Splits

WAY_ON = "what was learned until the last whole epoch is kept, and the same command goes on there"


class PreparationStopped(RunError):
    """A signal came before any trial started.

    Attributes:
        exit_code: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, stopped: Stopped) -> None:
        super().__init__(str(stopped))
        self.exit_code = EXIT_CODES[stopped.number]


def prepare_trainable(study: Study, splits: Splits, say: Callable[[str], None]) -> dict[str, Any]:
    """Have the trainable make or fetch what it needs before any trial starts; return the fact ``prepared``.

    Raises:
        RunError: it cannot be had, or a signal ended it: what is made here is written whole or not at all.
    """
    trainable = find_trainable(study.trainable)
    if not isinstance(trainable, PreparesOnce):
        return {}
    config = trainable.configure(study.params_of(study.space.baseline), max_epochs=study.budget.max_epochs)
    try:
        with stage(f"preparing {study.trainable}", way_on=WAY_ON), handling_signals(raising_signals()):
            return trainable.prepare_once(config, splits, say)
    except ConfigError as error:
        raise RunError(error.errors) from None
    except Stopped as stopped:
        raise PreparationStopped(stopped) from None
