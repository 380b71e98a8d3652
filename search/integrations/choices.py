"""Distributions of other packages' spaces as parameters of one of ours: their middle, and choices that are no words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from spaces import Condition, Parameter, Value
from spaces.declare import is_value

Where: TypeAlias = Literal["low", "middle", "high"]


def label(choice: Any) -> Value:
    """Return a choice as a space can have it: itself, a class's name, else its text."""
    if is_value(choice):
        value: Value = choice
        return value
    return str(getattr(choice, "__name__", choice))


def choice_of(choices: Sequence[Any], value: Value) -> Any:
    """Return the choice whose label ``value`` is; ``value`` itself where none is."""
    return next((c for c in choices if type(label(c)) is type(value) and label(c) == value), value)


def value_at(distribution: BaseDistribution, where: Where) -> Any:
    """Return the value of a distribution that nobody chose: a category's first, a range's middle or one of its ends.

    The middle of a log range is the geometric one.
    """
    d = distribution
    if isinstance(d, CategoricalDistribution):
        return d.choices[0]
    assert isinstance(d, FloatDistribution | IntDistribution)
    middle = math.sqrt(d.low * d.high) if d.log else (d.low + d.high) / 2
    wanted = {"low": d.low, "middle": middle, "high": d.high}[where]
    return Parameter("", d, d.low).clamp(wanted if isinstance(d, FloatDistribution) else round(wanted))


def parameter(name: str, distribution: BaseDistribution, baseline: Any, when: Condition | None = None) -> Parameter:
    """Return a parameter of a space, its choices as their labels."""
    if isinstance(distribution, CategoricalDistribution):
        distribution = CategoricalDistribution([label(c) for c in distribution.choices])
        baseline = label(baseline)
    return Parameter(name, distribution, baseline, when)
