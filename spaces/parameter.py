"""One parameter of a search space: an Optuna distribution, the condition it depends on, and its baseline value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Value: TypeAlias = float | int | str | bool
"""What a parameter may be: a finite number, a word, true or false."""

Point: TypeAlias = Mapping[str, Value]
"""Values of parameters by name."""


@dataclass(frozen=True)
class Condition:
    """``parent`` must have one of ``values`` for a parameter to exist."""

    parent: str
    values: tuple[Value, ...]

    def holds(self, point: Point) -> bool:
        """Say whether ``point`` has the parent at one of the values."""
        return self.parent in point and any(equal(point[self.parent], v) for v in self.values)

    def __str__(self) -> str:
        return f"{self.parent} = {' or '.join(format_value(v) for v in self.values)}"


@dataclass(frozen=True)
class Parameter:
    """One searched parameter.

    Attributes:
        name: its name in configs, the ledger and MLflow.
        distribution: an Optuna distribution.
        baseline: the value in trial 0. It may lie outside the distribution ("no weight decay" in a
            log range); the sampler is then told the nearest value inside.
        when: the parameter is active only where this holds; always if None.
        help: a few words for the table.
    """

    name: str
    distribution: BaseDistribution
    baseline: Value
    when: Condition | None = None
    help: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether all its values are whole numbers: a range of them, or choices that were picked from one."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return all(isinstance(c, int) and not isinstance(c, bool) for c in d.choices)
        return isinstance(d, IntDistribution)

    def contains(self, value: Value) -> bool:
        """Say whether ``value`` could be sampled."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return any(equal(value, c) for c in d.choices)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        assert isinstance(d, FloatDistribution | IntDistribution)
        if not d.low <= value <= d.high:
            return False
        if isinstance(d, IntDistribution):
            return float(value).is_integer() and (int(value) - d.low) % d.step == 0
        return d.step is None or math.isclose((value - d.low) / d.step % 1, 0, abs_tol=1e-9)

    def clamp(self, value: Value) -> Value:
        """Return ``value``, or the nearest value of the distribution (the first choice of a category)."""
        d = self.distribution
        if self.contains(value):
            return value
        if isinstance(d, CategoricalDistribution):
            return d.choices[0]  # type: ignore[return-value]
        assert isinstance(d, FloatDistribution | IntDistribution)
        clipped = min(max(float(value), d.low), d.high)
        if d.step:
            clipped = d.low + round((clipped - d.low) / d.step) * d.step
        return int(clipped) if isinstance(d, IntDistribution) else clipped

    def fixed_at(self, value: Value) -> Parameter:
        """Return the parameter with ``value`` as its only choice and its baseline."""
        return replace(self, distribution=CategoricalDistribution([value]), baseline=value)

    def range_text(self) -> str:
        """Return the range as a reader writes it: ``1e-06 .. 0.1 (log)``, ``none | step``."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return " | ".join(format_value(c) for c in d.choices)
        assert isinstance(d, FloatDistribution | IntDistribution)
        step = f", step {d.step:g}" if d.step and not (isinstance(d, IntDistribution) and d.step == 1) else ""
        return f"{d.low:g} .. {d.high:g}{' (log)' if d.log else ''}{step}"


def float_(
    name: str,
    low: float,
    high: float,
    *,
    baseline: float,
    log: bool = False,
    when: Condition | None = None,
    help: str = "",
) -> Parameter:
    """Declare a float between ``low`` and ``high``, both included.

    Args:
        name: of the parameter.
        low: the smallest value.
        high: the largest value.
        baseline: its value in the first trial, which all others are compared with.
        log: whether the logarithm is drawn evenly; ``low`` is then above 0.
        when: where the parameter exists; None for everywhere.
        help: what it does, for the printed space.

    Examples:
        >>> from spaces import float_
        >>> float_("learning_rate", 1e-4, 1e-1, log=True, baseline=1e-3).distribution
        FloatDistribution(high=0.1, log=True, low=0.0001, step=None)
    """
    return Parameter(name, FloatDistribution(low, high, log=log), float(baseline), when, help)


def int_(
    name: str,
    low: int,
    high: int,
    *,
    baseline: int,
    log: bool = False,
    when: Condition | None = None,
    help: str = "",
) -> Parameter:
    """Declare an integer between ``low`` and ``high``, both included; arguments are as of ``float_``.

    Examples:
        >>> from spaces import int_
        >>> int_("layers", 1, 4, baseline=2).distribution
        IntDistribution(high=4, log=False, low=1, step=1)
    """
    return Parameter(name, IntDistribution(low, high, log=log), baseline, when, help)


def category(
    name: str, choices: Sequence[Value], *, baseline: Value, when: Condition | None = None, help: str = ""
) -> Parameter:
    """Declare a choice among ``choices``; the other arguments are as of ``float_``.

    Examples:
        >>> from spaces import category
        >>> category("optimizer", ("adam", "sgd"), baseline="adam").distribution.choices
        ('adam', 'sgd')
    """
    return Parameter(name, CategoricalDistribution(list(choices)), baseline, when, help)


def when(parent: str, *values: Value) -> Condition:
    """Condition: the parameter exists only where ``parent`` has one of ``values``.

    Examples:
        >>> from spaces import float_, when
        >>> float_("momentum", 0.0, 0.99, baseline=0.9, when=when("optimizer", "sgd")).when
        Condition(parent='optimizer', values=('sgd',))
    """
    return Condition(parent, values)


def equal(a: object, b: object) -> bool:
    """Say whether two values are equal; True is not 1."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def format_value(value: object) -> str:
    """Return a value as tables and ranges have it: ``on``, ``off``, ``0.001``, a word."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
