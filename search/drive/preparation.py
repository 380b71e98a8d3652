"""What is made or fetched once, before any trial starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.errors import RunError
from trainables.errors import ConfigError
from trainables.protocols import PreparesOnce
from trainables.registry import find_trainable

if TYPE_CHECKING:
    from trainables.data import Splits


def prepare_trainable(study: Study, splits: Splits, say: Callable[[str], None]) -> dict[str, Any]:
    """Have the trainable make or fetch what it needs before any trial starts; return the fact ``prepared``.

    Raises:
        RunError: it cannot be had.
    """
    trainable = find_trainable(study.trainable)
    if not isinstance(trainable, PreparesOnce):
        return {}
    config = trainable.configure(study.params_of(study.space.baseline), max_epochs=study.budget.max_epochs)
    try:
        return trainable.prepare_once(config, splits, say)
    except ConfigError as error:
        raise RunError(error.errors) from None
