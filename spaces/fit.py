"""A configuration of one space as a point of another: what is clipped, replaced and left out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from optuna.distributions import CategoricalDistribution

from spaces.parameter import Parameter, Point, Value, equal
from spaces.space import Space


class Fit(StrEnum):
    """What becomes of a value that a space does not have as it was."""

    CLIPPED = "clipped"
    NO_CHOICE = "no choice"
    MISSING = "missing"
    NOT_SEARCHED = "not searched"
    INACTIVE = "inactive"


@dataclass(frozen=True)
class Change:
    """One parameter that is not as it was.

    Attributes:
        was: its value there; None where it had none.
        becomes: its value here; None where it is left out.
    """

    parameter: str
    fit: Fit
    was: Value | None
    becomes: Value | None


def fitted(
    space: Space, params: Point, *, shared_there: Point, shared_here: Point
) -> tuple[dict[str, Value], tuple[Change, ...]]:
    """Return the nearest point of a space to a configuration of another one, and what is not as it was.

    A number outside its range becomes the nearest one inside. Whatever else the space cannot have (a choice that it
    does not offer) or the configuration does not have takes the baseline's value.

    Args:
        space: what it is to be a point of.
        params: the active parameters there.
        shared_there: what is so of every point there: the value of a parameter that was not searched.
        shared_here: what is so of every point here.
    """
    known = {**shared_there, **params}
    point: dict[str, Value] = {}
    changes: list[Change] = []
    for p in space:
        if p.when is not None and not p.when.holds(point):
            continue
        was = known.get(p.name)
        point[p.name], fit = _nearest(p, was)
        if fit is not None:
            changes.append(Change(p.name, fit, was, point[p.name]))
    for name, value in params.items():
        if name in space and name not in point:
            changes.append(Change(name, Fit.INACTIVE, value, None))
        elif name not in space and not equal(shared_here.get(name), value):
            changes.append(Change(name, Fit.NOT_SEARCHED, value, shared_here.get(name)))
    return point, tuple(changes)


def _nearest(p: Parameter, value: Value | None) -> tuple[Value, Fit | None]:
    """Return the value that a parameter takes in place of an earlier one, and why, where it is another."""
    if value is None:
        return p.clamp(p.baseline), Fit.MISSING
    if p.contains(value):
        return value, None
    if isinstance(p.distribution, CategoricalDistribution) or isinstance(value, bool | str):
        return p.clamp(p.baseline), Fit.NO_CHOICE
    return p.clamp(value), Fit.CLIPPED
