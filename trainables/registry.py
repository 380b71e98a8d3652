"""The trainables by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from trainables.baselines import EstimatorTrainable
from trainables.errors import ConfigError
from trainables.network_trainables import MlpTrainable, NetTrainable
from trainables.protocols import Trainable
from trainables.train_function.trainable import FunctionTrainable
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

TRAIN_FUNCTION_PREFIX = "train:"
"""Begins the name of a trainable that is a training function of the user's own: ``train:package.module:function``."""


def function_path(name: str) -> str:
    """Return ``package.module:function`` of a trainable that is a user's function; the name of any other as it is."""
    return name.removeprefix(USER_MODEL_PREFIX).removeprefix(TRAIN_FUNCTION_PREFIX)


def is_train_function(name: str) -> bool:
    """Say whether a trainable's name is that of a training function of the user's own."""
    return name.startswith(TRAIN_FUNCTION_PREFIX)


def is_user_model(name: str) -> bool:
    """Say whether a trainable's name is that of a model of the user's own."""
    return name.startswith(USER_MODEL_PREFIX)


def find_trainable(name: str) -> Trainable:
    """Return the trainable called ``name``, or the one that ``package.module:attribute`` names.

    ``model:package.module:function`` is the plain loop around a model of the user's own, and
    ``train:package.module:function`` a loop of the user's own; the function is imported when it is first needed.

    Raises:
        ConfigError: no such name, module or attribute.
    """
    if name in TRAINABLES:
        return TRAINABLES[name]()
    if name.startswith(USER_MODEL_PREFIX):
        return ModelTrainable(name.removeprefix(USER_MODEL_PREFIX))
    if is_train_function(name):
        return FunctionTrainable(name.removeprefix(TRAIN_FUNCTION_PREFIX))
    module_name, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(f"unknown trainable {name!r}; known: {', '.join(TRAINABLES)}, or package.module:attribute")
    try:
        found: Callable[[], Trainable] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"trainable {name!r} cannot be imported: {error}") from None
    return found()
