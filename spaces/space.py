"""A search space: named Optuna distributions, the conditions between them, and a baseline point."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from spaces.declare import parameter_to_dict, read_parameter
from spaces.errors import SpaceError
from spaces.parameter import Parameter, Point, Value, equal, format_value
from trainables.mistake import Mistake, about, nearest, show_value

BASELINE_TRIAL = 0
"""The number of the trial that has the baseline point."""


@dataclass(frozen=True)
class Space:
    """Named distributions, the conditions between them, and a baseline point.

    Parents are declared before the parameters that depend on them.

    Examples:
        >>> from spaces import Space, category, float_, when
        >>> rate = float_("learning_rate", 1e-4, 1e-1, log=True, baseline=1e-3)
        >>> optimizer = category("optimizer", ("adam", "sgd"), baseline="adam")
        >>> space = Space((rate, optimizer, float_("momentum", 0, 0.99, baseline=0.9, when=when("optimizer", "sgd"))))
        >>> space.names
        ('learning_rate', 'optimizer', 'momentum')
        >>> space.baseline
        {'learning_rate': 0.001, 'optimizer': 'adam'}
    """

    parameters: tuple[Parameter, ...]
    _by_name: dict[str, Parameter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        errors: list[Mistake] = []
        seen: dict[str, Parameter] = {}
        for p in self.parameters:
            if p.name in seen:
                errors.append(about(f"space: parameter {p.name!r} is declared twice", "space", p.name))
            if p.when is not None:
                parent = seen.get(p.when.parent)
                if parent is None:
                    order = "which must be declared before it"
                    errors.append(about(f"space: {p.name!r} depends on {p.when.parent!r}, {order}", "space", p.name))
                elif not isinstance(parent.distribution, CategoricalDistribution):
                    what = f"depends on {p.when.parent!r}, which is no category"
                    errors.append(about(f"space: {p.name!r} {what}", "space", p.name))
            seen[p.name] = p
        if errors:
            raise SpaceError(errors)
        object.__setattr__(self, "_by_name", seen)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Parameter:
        return self._by_name[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameter names, in declaration order."""
        return tuple(p.name for p in self.parameters)

    @property
    def baseline(self) -> dict[str, Value]:
        """The baseline point: the active parameters of trial 0."""
        return self.active({p.name: p.baseline for p in self.parameters})

    def active(self, point: Point) -> dict[str, Value]:
        """Return ``point`` without the parameters whose condition does not hold."""
        out: dict[str, Value] = {}
        for p in self.parameters:
            if p.name in point and (p.when is None or p.when.holds(out)):
                out[p.name] = point[p.name]
        return out

    def validate(self, point: Point) -> dict[str, Value]:
        """Return the active part of ``point``.

        Raises:
            SpaceError: unknown names, missing active parameters, values outside their distribution.
        """
        errors = [
            f"unknown parameter {n!r}.{nearest(n, self.names)} Known: {', '.join(self.names)}"
            for n in point
            if n not in self
        ]
        active = self.active(point)
        for p in self.parameters:
            if p.when is not None and not p.when.holds(active):
                continue
            if p.name not in active:
                errors.append(f"{p.name}: missing; allowed: {p.range_text()}")
            elif not p.contains(active[p.name]):
                errors.append(f"{p.name}={active[p.name]!r} is outside {p.range_text()}")
        if errors:
            raise SpaceError(errors)
        return active

    def clamp(self, point: Point) -> dict[str, Value]:
        """Return the active part of ``point`` with every value moved to the nearest one inside."""
        clamped = {n: self[n].clamp(v) for n, v in self.active(point).items()}
        return self.active(clamped)

    def config_hash(self, point: Point) -> str:
        """Return 16 hexadecimal digits that name the active parameters of ``point``."""
        return hash_params(self.active(point))

    def corners(self) -> Iterator[dict[str, Value]]:
        """Yield points that take each parameter to its ends, or to each of its choices.

        All else is at the baseline, but for what the parameter's own condition needs.
        """
        for p in self.parameters:
            yield from self._corners((p,))

    def pairs(self) -> Iterator[dict[str, Value]]:
        """Yield points that take each two categories or whole numbers to their ends or choices, as ``corners``."""
        discrete = [p for p in self.parameters if not isinstance(p.distribution, FloatDistribution)]
        for two in itertools.combinations(discrete, 2):
            yield from self._corners(two)

    def _corners(self, chosen: Sequence[Parameter]) -> Iterator[dict[str, Value]]:
        point = {p.name: p.baseline for p in self.parameters}
        for p in chosen:
            parents = self._values_above(p)
            if parents is None:
                return
            point |= parents
        for values in itertools.product(*(_ends(p) for p in chosen)):
            yield self.active({**point, **{p.name: v for p, v in zip(chosen, values, strict=True)}})

    def _values_above(self, p: Parameter) -> dict[str, Value] | None:
        """Return values of its parents that make ``p`` active; None if no point of the space does."""
        if p.when is None:
            return {}
        parent = self[p.when.parent]
        above = self._values_above(parent)
        value = next((v for v in p.when.values if parent.contains(v) or equal(v, parent.baseline)), None)
        return None if above is None or value is None else {**above, parent.name: value}

    def cardinality(self) -> float:
        """Return the number of distinct points (``inf`` with any continuous parameter)."""
        return _count(self.parameters, {})

    def table(self) -> list[tuple[str, str, str, str, str]]:
        """Return one row a parameter: name, range, baseline, condition, help."""
        return [
            (p.name, p.range_text(), format_value(p.baseline), "" if p.when is None else str(p.when), p.help)
            for p in self.parameters
        ]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the space as plain data, fit for JSON and YAML; ``from_dict`` reads it back."""
        return {p.name: parameter_to_dict(p) for p in self.parameters}

    @staticmethod
    def from_dict(data: object) -> Space:
        """Build the space that ``to_dict`` wrote, or that a person wrote by hand.

        Raises:
            SpaceError: everything that is wrong with it, a line each, which begins with where: ``space.dropout.low``.
        """
        if not isinstance(data, Mapping):
            raise SpaceError(f"space must be a mapping of parameters, got {show_value(data)}")
        errors: list[Mistake] = []
        parameters = [read_parameter(str(name), fields, errors, within=("space",)) for name, fields in data.items()]
        readable = tuple(p for p in parameters if p is not None)
        if not errors:
            return Space(readable)
        if len(readable) == len(parameters):  # conditions between parameters of which one is missing say nothing
            try:
                Space(readable)
            except SpaceError as error:
                errors += error.mistakes
        raise SpaceError(errors)

    def with_parameters(self, changed: Mapping[str, Parameter]) -> Space:
        """Return a space with some parameters changed (or added, at the end)."""
        kept = [changed.get(p.name, p) for p in self.parameters]
        return Space((*kept, *(p for n, p in changed.items() if n not in self)))


def hash_params(params: Point) -> str:
    """Return 16 hexadecimal digits: sha256 of the parameters as canonical JSON."""
    text = json.dumps(dict(params), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _ends(p: Parameter) -> Sequence[Any]:
    """Return every choice of a category, or both ends of a range."""
    d = p.distribution
    assert isinstance(d, CategoricalDistribution | FloatDistribution | IntDistribution)
    return d.choices if isinstance(d, CategoricalDistribution) else (d.low, d.high)


def _count(parameters: Sequence[Parameter], point: dict[str, Value]) -> float:
    """Count the distinct points below ``point``, depth first over the categories that others depend on."""
    total = 1.0
    for i, p in enumerate(parameters):
        if p.when is not None and not p.when.holds(point):
            continue
        d = p.distribution
        rest = parameters[i + 1 :]
        if isinstance(d, CategoricalDistribution):
            if any(q.when is not None and q.when.parent == p.name for q in rest):
                choices: list[Any] = list(d.choices)
                return total * math.fsum(_count(rest, {**point, p.name: c}) for c in choices)
            total *= len(d.choices)
        elif isinstance(d, IntDistribution):
            total *= (d.high - d.low) // d.step + 1
        elif isinstance(d, FloatDistribution):
            if d.low == d.high:
                continue
            total *= math.inf if d.step is None else math.floor((d.high - d.low) / d.step + 1e-9) + 1
    return total
