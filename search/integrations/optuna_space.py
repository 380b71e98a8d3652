"""The space that an Optuna objective defines by being run.

It is called with trials that note what they are asked for and end the call at its first report, so that at most an
epoch is trained each time; an objective that never reports runs to its end.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search.errors import UsageError
from search.integrations.choices import Where, label, parameter, value_at
from search.signs.life import living
from spaces import Condition, Space
from trainables.reached_source import reached_sources
from trainables.stage import stage

MOST_CALLS = 64


class _Reported(BaseException):
    """Ends a call that was made to see what it asks for."""


class NotingTrial(optuna.trial.FixedTrial):
    """Notes what an objective asks for, and answers with given values, else with the middle or an end of the range."""

    def __init__(self, values: Mapping[str, Any], where: Where) -> None:
        super().__init__(dict(values))
        self.reports = False
        self._where = where

    def report(self, value: float, step: int) -> None:
        """End the call."""
        self.reports = True
        raise _Reported

    def should_prune(self) -> bool:
        """End the call."""
        self.report(math.nan, 0)
        return True

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        self._params.setdefault(name, value_at(distribution, self._where))
        return super()._suggest(name, distribution)


@dataclass
class _Seen:
    """What the calls asked for.

    Attributes:
        calls: by call, the values that it was given, in their order.
        distributions: by name, in the order in which they were first asked for.
        reports: whether any of them reported.
    """

    calls: list[dict[str, Any]] = field(default_factory=list)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    reports: bool = False


def space_of(objective: Callable[..., Any], baseline: Mapping[str, Any]) -> tuple[Space, bool]:
    """Return the space that an objective's ``suggest_`` calls define, and whether it reports before it returns.

    It is called once at the baseline. Where its source suggests more than that call did, or under names that are
    made, it is called with all ranges at their ends and with each choice of each category.

    Args:
        objective: Optuna's.
        baseline: values of trial 0; the middle of a range and the first choice for the others.

    Raises:
        UsageError: it suggests nothing, or too many calls would be needed.
        Exception: what the first call raised.
    """
    seen = _Seen()
    with living():
        return _seen_space(objective, baseline, seen), seen.reports


def _seen_space(objective: Callable[..., Any], baseline: Mapping[str, Any], seen: _Seen) -> Space:
    """Call the objective as often as ``space_of`` says, and return the space."""
    first = _call(objective, dict(baseline), "middle", seen)
    if not first:
        raise UsageError("the objective suggests no parameter before its first report")
    if absent := [name for name in baseline if name not in first]:
        raise UsageError([f"baseline: the objective does not suggest {name!r} there" for name in absent])
    names = _names_in_source(objective)
    if names is None or not names <= seen.distributions.keys():
        _explore(objective, dict(baseline), seen)
    found = [
        parameter(name, d, first.get(name, value_at(d, "middle")), _condition(name, seen))
        for name, d in seen.distributions.items()
    ]
    return Space(tuple(found))


def _explore(objective: Callable[..., Any], baseline: dict[str, Any], seen: _Seen) -> None:
    """Call the objective until no choice of a category is left that was not made."""
    waiting: list[tuple[dict[str, Any], Where]] = [({}, "high"), ({}, "low")]
    made = {(name, label(value)) for name, value in seen.calls[0].items()}
    waiting += list(_other_choices(baseline, "middle", seen.calls[0], seen, made))
    while waiting:
        values, where = waiting.pop(0)
        if len(seen.calls) >= MOST_CALLS:
            raise UsageError(
                f"the objective was called {MOST_CALLS} times to see what it suggests, and there are more choices; "
                "give the space: declare(objective, space=...)"
            )
        try:
            found = _call(objective, values, where, seen)
        except Exception as error:
            text = f"called to see what it suggests, the objective raised {type(error).__name__}: {error}, at {values}"
            warnings.warn(text, stacklevel=5)
            continue
        waiting += list(_other_choices(values, where, found, seen, made))


def _other_choices(
    values: dict[str, Any], where: Where, found: dict[str, Any], seen: _Seen, made: set[tuple[str, Any]]
) -> Iterator[tuple[dict[str, Any], Where]]:
    """Yield what is to be called for the choices of a call's categories that nobody made yet."""
    for name in found:
        distribution = seen.distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            above = {n: v for n, v in found.items() if isinstance(seen.distributions[n], CategoricalDistribution)}
            for choice in distribution.choices:
                if (name, label(choice)) not in made:
                    made.add((name, label(choice)))
                    yield {**values, **above, name: choice}, where


def _call(objective: Callable[..., Any], values: dict[str, Any], where: Where, seen: _Seen) -> dict[str, Any]:
    """Call the objective once, and return what it asked for and was given."""
    import torch

    from trainables.train_function.streams import RandomStreams

    trial = NotingTrial(values, where)
    doing = f"calling the objective to see what it suggests, call {len(seen.calls) + 1}"
    try:
        with stage(doing), RandomStreams(0, torch.device("cpu")).as_global():
            objective(trial)
    except (_Reported, optuna.TrialPruned):
        pass
    for name, distribution in trial.distributions.items():
        seen.distributions.setdefault(name, distribution)
    seen.reports |= trial.reports
    seen.calls.append(dict(trial.params))
    return seen.calls[-1]


def _condition(name: str, seen: _Seen) -> Condition | None:
    """Return the category that decides whether a parameter is asked for; None where it always is, or no one does."""
    if all(name in call for call in seen.calls):
        return None
    before = list(seen.distributions)[: list(seen.distributions).index(name)]
    for parent in reversed(before):
        if not isinstance(seen.distributions[parent], CategoricalDistribution):
            continue
        having = {label(call[parent]) for call in seen.calls if name in call and parent in call}
        lacking = {label(call[parent]) for call in seen.calls if name not in call and parent in call}
        if lacking and not having & lacking and all(parent in call for call in seen.calls if name in call):
            return Condition(parent, tuple(sorted(having, key=str)))
    return None


def _names_in_source(objective: Callable[..., Any]) -> set[str] | None:
    """Return the names that an objective's source suggests; None where one is made, or there is no source."""
    names: set[str] = set()
    for source in reached_sources(objective):
        try:
            nodes = list(ast.walk(ast.parse(source)))
        except SyntaxError:
            return None
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr.startswith("suggest_"):
                    given = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "name")]
                    if not given or not isinstance(given[0], ast.Constant):
                        return None
                    names.add(str(given[0].value))
    return names or None
