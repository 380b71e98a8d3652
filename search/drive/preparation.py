"""What is made or fetched once, before any trial starts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.errors import RunError
from search.executors.control import EXIT_CODES, handling_signals
from trainables.errors import ConfigError
from trainables.protocols import PreparesOnce
from trainables.registry import find_trainable

if TYPE_CHECKING:
    from trainables.data import Splits


class PreparationStopped(RunError):
    """A signal came before any trial started.

    Attributes:
        exit_code: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, received: signal.Signals) -> None:
        super().__init__(
            "stopped before any trial started; what was learned until the last whole epoch is kept, and the same "
            "command goes on there"
        )
        self.exit_code = EXIT_CODES[received]


def prepare_trainable(study: Study, splits: Splits, say: Callable[[str], None]) -> dict[str, Any]:
    """Have the trainable make or fetch what it needs before any trial starts; return the fact ``prepared``.

    Raises:
        RunError: it cannot be had, or a signal ended it.
    """
    trainable = find_trainable(study.trainable)
    if not isinstance(trainable, PreparesOnce):
        return {}
    config = trainable.configure(study.params_of(study.space.baseline), max_epochs=study.budget.max_epochs)
    try:
        with _ended_by_signals():
            return trainable.prepare_once(config, splits, say)
    except ConfigError as error:
        raise RunError(error.errors) from None
    except _Received as received:
        raise PreparationStopped(received.number) from None


class _Received(BaseException):
    """A signal; no ``Exception``, so that nothing takes it for an error of what it interrupts."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """While inside, SIGINT and SIGTERM raise ``_Received``: what is made here is written whole or not at all."""

    def handle(number: int, _: FrameType | None) -> None:
        raise _Received(signal.Signals(number))

    with handling_signals(handle):
        yield
