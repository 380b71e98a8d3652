"""A search space: named Optuna distributions, the conditions between them, and a baseline point."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Value: TypeAlias = float | int | str | bool
Point: TypeAlias = Mapping[str, Value]


class SpaceError(ValueError):
    """Everything a user got wrong in one space or one override of it.

    Attributes:
        errors: one line each: what, the value, what is allowed.
    """

    def __init__(self, errors: str | Sequence[str]) -> None:
        self.errors: tuple[str, ...] = (errors,) if isinstance(errors, str) else tuple(errors)
        super().__init__("\n".join(self.errors))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the known name closest to ``name``, else an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {match[0]!r}?" if match else ""


@dataclass(frozen=True)
class Condition:
    """``parent`` must have one of ``values`` for a parameter to exist."""

    parent: str
    values: tuple[Value, ...]

    def holds(self, point: Point) -> bool:
        """Say whether ``point`` has the parent at one of the values."""
        return self.parent in point and any(_same(point[self.parent], v) for v in self.values)

    def __str__(self) -> str:
        return f"{self.parent} = {' or '.join(_show(v) for v in self.values)}"


@dataclass(frozen=True)
class Parameter:
    """One searched parameter.

    Attributes:
        name: as it appears in configs, the ledger and MLflow.
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
            return any(_same(value, c) for c in d.choices)
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

    def range_text(self) -> str:
        """Return the range as a reader writes it: ``1e-06 .. 0.1 (log)``, ``none | step``."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return " | ".join(_show(c) for c in d.choices)
        assert isinstance(d, FloatDistribution | IntDistribution)
        step = f", step {d.step:g}" if d.step and not (isinstance(d, IntDistribution) and d.step == 1) else ""
        return f"{d.low:g} .. {d.high:g}{' (log)' if d.log else ''}{step}"


@dataclass(frozen=True)
class Space:
    """Named distributions, the conditions between them, and a baseline point.

    Parents are declared before the parameters that depend on them.
    """

    parameters: tuple[Parameter, ...]
    _by_name: dict[str, Parameter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        errors: list[str] = []
        seen: dict[str, Parameter] = {}
        for p in self.parameters:
            if p.name in seen:
                errors.append(f"space: parameter {p.name!r} is declared twice")
            if p.when is not None:
                parent = seen.get(p.when.parent)
                if parent is None:
                    errors.append(f"space: {p.name!r} depends on {p.when.parent!r}, which must be declared before it")
                elif not isinstance(parent.distribution, CategoricalDistribution):
                    errors.append(f"space: {p.name!r} depends on {p.when.parent!r}, which is no category")
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
            parents = self._met(p)
            if parents is None:
                return
            point |= parents
        for values in itertools.product(*(_ends(p) for p in chosen)):
            yield self.active({**point, **{p.name: v for p, v in zip(chosen, values, strict=True)}})

    def _met(self, p: Parameter) -> dict[str, Value] | None:
        """Return values that make ``p`` active; None if no point of the space does."""
        if p.when is None:
            return {}
        parent = self[p.when.parent]
        above = self._met(parent)
        value = next((v for v in p.when.values if parent.contains(v) or _same(v, parent.baseline)), None)
        return None if above is None or value is None else {**above, parent.name: value}

    def cardinality(self) -> float:
        """Return the number of distinct points (``inf`` with any continuous parameter)."""
        return _count(self.parameters, {})

    def table(self) -> list[tuple[str, str, str, str, str]]:
        """Return one row a parameter: name, range, baseline, condition, help."""
        return [
            (p.name, p.range_text(), _show(p.baseline), str(p.when) if p.when else "", p.help) for p in self.parameters
        ]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the space as plain data, fit for JSON and YAML; ``from_dict`` reads it back."""
        from spaces.declare import parameter_to_dict  # which is built from the classes of this module

        return {p.name: parameter_to_dict(p) for p in self.parameters}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Space:
        """Build the space that ``to_dict`` wrote, or that a person wrote by hand.

        Raises:
            SpaceError: everything that is wrong with it, a line each, which begins with where: ``space.dropout.low``.
        """
        from spaces.declare import read_space

        return read_space(data)

    def replaced(self, changed: Mapping[str, Parameter]) -> Space:
        """Return a space with some parameters changed (or added, at the end)."""
        kept = [changed.get(p.name, p) for p in self.parameters]
        return Space((*kept, *(p for n, p in changed.items() if n not in self)))


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
    """Declare a float between ``low`` and ``high``, both included."""
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
    """Declare an integer between ``low`` and ``high``, both included."""
    return Parameter(name, IntDistribution(low, high, log=log), baseline, when, help)


def category(
    name: str, choices: Sequence[Value], *, baseline: Value, when: Condition | None = None, help: str = ""
) -> Parameter:
    """Declare a choice among ``choices``."""
    return Parameter(name, CategoricalDistribution(list(choices)), baseline, when, help)


def when(parent: str, *values: Value) -> Condition:
    """Condition: the parameter exists only where ``parent`` has one of ``values``."""
    return Condition(parent, values)


def hash_params(params: Point) -> str:
    """Return 16 hexadecimal digits: sha256 of the parameters as canonical JSON."""
    text = json.dumps(dict(params), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fix(parameter: Parameter, value: Value) -> Parameter:
    """Return the parameter with one possible value, which is then its baseline too."""
    return replace(parameter, distribution=CategoricalDistribution([value]), baseline=value)


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


def _same(a: object, b: object) -> bool:
    """Equality that tells True from 1."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _show(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
