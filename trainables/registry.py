"""The trainables by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from trainables.baselines import EstimatorTrainable
from trainables.errors import ConfigError
from trainables.network_trainables import MlpTrainable, NetTrainable
from trainables.protocols import Trainable
from trainables.transfer.trainable import TransferTrainable
from trainables.user_model import ModelTrainable

TRAINABLES: dict[str, Callable[[], Trainable]] = {
    "mlp": MlpTrainable,
    "net": NetTrainable,
    "estimator": EstimatorTrainable,
    "transfer": TransferTrainable,
}
"""The trainables that a study may name; ``package.module:attribute`` names any other."""

USER_MODEL_PREFIX = "model:"
"""Begins the name of a trainable that is a model of the user's own: ``model:package.module:function``."""


def find_trainable(name: str) -> Trainable:
    """Return the trainable called ``name``, or the one that ``package.module:attribute`` names.

    ``model:package.module:function`` is the plain loop around a model of the user's own; that function is
    imported when it is first needed.

    Raises:
        ConfigError: no such name, module or attribute.
    """
    if name in TRAINABLES:
        return TRAINABLES[name]()
    if name.startswith(USER_MODEL_PREFIX):
        return ModelTrainable(name.removeprefix(USER_MODEL_PREFIX))
    module_name, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(f"unknown trainable {name!r}; known: {', '.join(TRAINABLES)}, or package.module:attribute")
    try:
        found: Callable[[], Trainable] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"trainable {name!r} cannot be imported: {error}") from None
    return found()
