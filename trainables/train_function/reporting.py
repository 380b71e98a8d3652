"""What a training function reports: checked, counted, and handed over."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from trainables.errors import ConfigError
from trainables.mistake import nearest, show_value
from trainables.report import EPOCH, METRICS, SECONDS, STOP, EpochReport, all_finite, stop_reason

NAME = re.compile(r"[A-Za-z_]\w*")

RESERVED = frozenset(
    (EPOCH, METRICS, SECONDS, STOP, "number", "seconds", "at", "params", "config", "done", "notes", "message")
    + ("traceback", "timestamp", "trial_id", "training_iteration", "time_total_s", "should_checkpoint", "pid", "date")
)
"""Names that the ledger's tables and Ray Tune's results have for other things."""

LOSSES = ("train_loss", "val_loss")
"""What makes a trial diverge where it is not finite, beside the objectives."""


class Reporting:
    """The epochs of one trial of a training function.

    Args:
        who: the function, as messages call it.
        max_epochs: of the trial.
        required: the metrics that each report must hold: the study's objectives.

    Attributes:
        deliver: is given each report, within the function; may raise ``TrialEnded`` there.
        refuse_after_end: called before a report is looked at; raises ``TrialEnded`` where the trial has ended.
        epoch: how many epochs were reported.
        looped: whether the function loops over ``epochs``.
        names: the metrics of the first report; empty before it.
    """

    deliver: Callable[[EpochReport], None]

    def __init__(self, who: str, *, max_epochs: int, required: Sequence[str]) -> None:
        self._who = who
        self._max_epochs = max_epochs
        self._required = tuple(required)
        self._given = 0
        self._began = time.perf_counter()
        self.refuse_after_end: Callable[[], None] = lambda: None
        self.epoch = 0
        self.looped = False
        self.names: tuple[str, ...] = ()

    def go_on(self, epoch: int, names: Sequence[str]) -> None:
        """Begin after ``epoch``, whose reports held ``names``."""
        self.epoch, self.names = epoch, tuple(names)

    def restart_clock(self) -> None:
        """Count the seconds of the next epoch from now on."""
        self._began = time.perf_counter()

    def epochs(self, begin: Callable[[], None]) -> Iterator[int]:
        """Yield the numbers of the epochs that are left; ``begin`` is called before the first of them.

        Raises:
            ConfigError: an epoch passed without a report.
        """
        self.looped = True
        begin()
        while self.epoch < self._max_epochs:
            self._given = self.epoch + 1
            yield self._given
            if self.epoch < self._given:
                raise ConfigError(
                    f"{self._who}: epoch {self._given} passed without trial.report(...), which each epoch ends with"
                )

    def report(self, metrics: Mapping[str, Any]) -> None:
        """Check what an epoch came to and hand it over.

        Raises:
            ConfigError: what is wrong with it.
            TrialEnded: the trial is to end.
        """
        self.refuse_after_end()
        if self.looped and self.epoch >= self._given:
            raise ConfigError(f"{self._who}: epoch {self.epoch} was reported twice; call trial.report once an epoch")
        if self.epoch >= self._max_epochs:
            raise ConfigError(
                f"{self._who}: it reported an epoch beyond max_epochs, {self._max_epochs}; loop over trial.epochs()"
            )
        values = self._checked(metrics)
        self.epoch += 1
        finite = all_finite(*(values[name] for name in (*self._required, *LOSSES) if name in values))
        stop = stop_reason(epoch=self.epoch, max_epochs=self._max_epochs, finite=finite, out_of_patience=False)
        seconds = time.perf_counter() - self._began
        self.deliver(EpochReport(self.epoch, values, seconds, stop))

    def _checked(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """Return the metrics as numbers."""
        wrong = [line for name, value in metrics.items() if (line := _wrong(name, value)) is not None]
        for name in self._required:
            if name not in metrics:
                known = ", ".join(map(str, metrics)) or "nothing"
                wrong.append(
                    f"{name}, the objective, is not reported, but {known}.{nearest(name, map(str, metrics))} "
                    "Report it, or name another with --objective METRIC:min or METRIC:max"
                )
        if self.names and not wrong and set(metrics) != set(self.names):
            new = [f"{name} is new" for name in metrics if name not in self.names]
            gone = [f"{name} is missing" for name in self.names if name not in metrics]
            wrong.append(f"each epoch reports the same metrics: {', '.join(new + gone)} in epoch {self.epoch + 1}")
        if wrong:
            raise ConfigError([f"{self._who}: {line}" for line in wrong])
        self.names = self.names or tuple(metrics)
        return {name: _number(value) for name, value in metrics.items()}


def _wrong(name: Any, value: Any) -> str | None:
    """Return why a metric cannot be reported; None where it can."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return f"metric {name!r}: a name has letters, digits and _ alone, and does not begin with a digit"
    if name in RESERVED:
        return f"metric {name!r}: this name means something else here; choose another"
    try:
        _number(value)
    except OverflowError:
        return f"metric {name} is too large for a number, above {sys.float_info.max:.2g}; report float('inf') instead"
    except (TypeError, ValueError, RuntimeError):
        shape = getattr(value, "shape", None)
        found = f"a {type(value).__name__} of shape {tuple(shape)}" if shape else show_value(value)
        return f"metric {name} must be a number, got {found}"
    return None


def _number(value: Any) -> float:
    """Return a number, or an array or a tensor of one, as a float; a tensor's gradient is left behind.

    Raises:
        TypeError, ValueError, RuntimeError: it is none.
        OverflowError: it is a whole number beyond the largest float.
    """
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, int | float):
        raise TypeError(f"a {type(value).__name__} is no number")
    return float(value)
