"""What stands in for another package's function as a training function, and is carried to the workers as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainables.train_function.trial import Trial


class CarriedFunction:
    """A training function that calls one of another package's form.

    It is named as a function of the script is, since the worker would find the other one under its own name.

    Args:
        function: the other package's.
        usual: its name where it has none.
    """

    def __init__(self, function: Callable[..., Any], usual: str) -> None:
        self.function = function
        name = getattr(function, "__name__", "").strip("<>") or usual
        self.__name__ = self.__qualname__ = name
        self.__module__ = "__main__"

    def __call__(self, trial: Trial) -> None:
        """Train one trial."""
        raise NotImplementedError
