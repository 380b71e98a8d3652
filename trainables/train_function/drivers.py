"""What drives a training function from report to report: a thread of its own, or, where it yields, the generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from trainables.errors import ConfigError
from trainables.mistake import show_value
from trainables.report import EpochReport
from trainables.train_function.handover import Ended, Ending, Handover
from trainables.train_function.trial import Trial

TrainFunction: TypeAlias = "Callable[[Trial], Any]"


class Driver(Protocol):
    """Lets a function go on, a report at a time."""

    def resume(self) -> EpochReport | Ended:
        """Let it go on, and return its next report, or how it ended."""

    def end(self) -> Ending:
        """End it; done once."""


class GeneratorDriver:
    """Drives a generator function, which yields a dictionary of metrics after each epoch: no thread is needed.

    Args:
        function: returns the generator.
        trial: what it is given.
        who: the function, as messages call it.
    """

    def __init__(self, function: TrainFunction, trial: Trial, *, who: str) -> None:
        self._generator = function(trial)
        self._trial = trial
        self._who = who
        self._report: EpochReport | None = None

    def deliver(self, report: EpochReport) -> None:
        """Take a report that is checked."""
        self._report = report

    def resume(self) -> EpochReport | Ended:
        """Let it go on to its next ``yield``."""
        try:
            said = next(self._generator)
            try:
                self._report = None
                self._take(said)
            except ConfigError as error:
                self._generator.throw(error)  # the traceback then has the line that yielded it
                raise
        except StopIteration:
            return Ended()
        except BaseException as error:
            return Ended(error)
        report: EpochReport | None = self._report
        assert report is not None, "what is taken is delivered"
        return report

    def end(self) -> Ending:
        """Close it: its ``yield`` raises ``GeneratorExit``."""
        try:
            self._generator.close()
        except RuntimeError as error:
            return Ending(over=False, swallowed=1) if "GeneratorExit" in str(error) else Ending(over=True, error=error)
        except BaseException as error:
            return Ending(over=True, error=error)
        return Ending(over=True)

    def _take(self, said: Any) -> None:
        if not isinstance(said, Mapping):
            raise ConfigError(
                f"{self._who}: it yielded {show_value(said)}; yield a dictionary of metrics after each epoch"
            )
        self._trial.report(**{str(name): value for name, value in said.items()})


def thread_driver(function: TrainFunction, trial: Callable[[], Trial], *, name: str) -> Handover:
    """Return what drives a function in a thread of its own.

    Args:
        function: reports by ``trial.report``.
        trial: returns what it is given; called in that thread.
        name: of the thread.
    """
    import torch

    threads = torch.get_num_threads()

    def body() -> None:
        torch.set_num_threads(threads)  # a new thread would otherwise take what the process began with
        function(trial())

    return Handover(body, name=name)
