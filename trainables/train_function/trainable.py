"""A training loop of the user's own.

The loop is a function, named ``package.module:function``, that takes a ``Trial``, or a generator function of the same
kind that yields a dictionary of metrics after each epoch.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainables.errors import ConfigError
from trainables.mistake import show_value
from trainables.train_function.config import FunctionConfig, FunctionData
from trainables.train_function.turns import SIDE_BY_SIDE, trains_side_by_side
from trainables.user_function import UserFunction

if TYPE_CHECKING:
    import torch

    from trainables.data import Splits
    from trainables.train_function.run import FunctionRun

SIGNATURE = "function(trial)"


class FunctionTrainable:
    """A training function of the user's own.

    Args:
        path: ``package.module:function``; looked for in the current directory as well as among the installed
            packages, when it is first needed.

    Raises:
        ConfigError: the path is not of that form.
    """

    stacks = False
    loops = True
    metrics: tuple[str, ...] | None = None

    def __init__(self, path: str) -> None:
        self._function = UserFunction(path, kind="train", signature=SIGNATURE, example="train_mine:train")

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> FunctionConfig:
        """Return the configuration of a trial; what its parameters mean is the function's to say."""
        if "max_epochs" in params:
            raise ConfigError(
                "max_epochs is part of the budget, and trial.max_epochs; it can be no parameter or setting"
            )
        return FunctionConfig(dict(params), max_epochs)

    def import_mistakes(self) -> list[str]:
        """Import the function, at first in a process of its own, and look at it; return why it cannot be used."""
        return self._function.import_mistakes(look=_signature_mistakes)

    def prepare(self, splits: Splits, device: torch.device) -> FunctionData:
        """Return the examples as they are, where the study names any."""
        return FunctionData(splits if len(splits.train) else None, splits.extra_metrics)

    def is_thread_safe(self, config: FunctionConfig) -> bool:
        """Say whether the function says so, by its attribute ``side_by_side``, whatever the configuration."""
        return trains_side_by_side(self._function.find())

    def start(self, config: FunctionConfig, data: FunctionData, *, seed: int, device: torch.device) -> FunctionRun:
        """Return a trial at epoch 0; its function is called by the first step."""
        from trainables.train_function.run import FunctionRun

        function = self._function.find()
        return FunctionRun(self._function.path, function, config, data, seed=seed, device=device)


def _signature_mistakes(function: Any) -> str | None:
    """Return why a function cannot be called with a trial; None where it can, or where nobody can tell."""
    if inspect.isclass(function):
        return f"is a class; expected {SIGNATURE}"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return f"is an async function; expected {SIGNATURE}"
    said = getattr(function, SIDE_BY_SIDE, False)
    if not isinstance(said, bool):
        return f"has {SIDE_BY_SIDE} = {show_value(said)}; expected True or False"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built in
        return None
    try:
        signature.bind(None)
    except TypeError:
        return f"takes {signature}; expected one argument, {SIGNATURE}"
    return None
