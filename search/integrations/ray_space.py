"""Ray Tune's ``param_space`` as a space of ours, and a trial's values as the ``config`` that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ray import tune
from ray.tune.search.optuna import OptunaSearch
from ray.tune.search.sample import Categorical, Domain

from search.errors import UsageError
from search.integrations.choices import choice_of, label, parameter, value_at
from spaces import Parameter, Space

SEPARATOR = "/"
"""Between the keys of nested dictionaries in a parameter's name, as in Ray's results."""


def space_of(param_space: Mapping[str, Any], baseline: Mapping[str, Any]) -> Space:
    """Return the space of what is sampled in a ``param_space``.

    Ray's own conversion for its ``OptunaSearch`` decides what each domain means; a grid is a choice.

    Args:
        param_space: dictionaries, nested or not, of ``tune.uniform(...)`` and the like, and of plain values.
        baseline: values of trial 0 by name; the middle of a range and the first choice for the others.

    Raises:
        UsageError: a line for each domain that no space can have.
    """
    found: list[Parameter] = []
    errors = []
    for name, domain in _domains(param_space):
        if isinstance(domain, Categorical):
            domain = tune.choice([label(choice) for choice in domain.categories])
        try:
            distribution = OptunaSearch.convert_search_space({"x": domain})["x"]
        except ValueError as error:
            errors.append(f"param_space: {name}: {error}")
            continue
        found.append(parameter(name, distribution, baseline.get(name, value_at(distribution, "middle"))))
    names = {name for name, _ in _domains(param_space)}
    errors += [f"baseline: {name} is not sampled in the param_space" for name in baseline if name not in names]
    if not names:
        errors.append("param_space: nothing in it is sampled, such as tune.uniform(0, 1)")
    if errors:
        raise UsageError(errors)
    return Space(tuple(found))


def config_of(param_space: Any, params: Mapping[str, Any], prefix: str = "") -> Any:
    """Return a ``param_space`` with a trial's values in place of its domains."""
    if isinstance(domain := _as_domain(param_space), Domain):
        value = params[prefix]
        return choice_of(domain.categories, value) if isinstance(domain, Categorical) else value
    if isinstance(param_space, Mapping):
        return {key: config_of(inner, params, _below(prefix, key)) for key, inner in param_space.items()}
    return param_space


def _domains(node: Any, prefix: str = "") -> Iterator[tuple[str, Domain]]:
    if isinstance(domain := _as_domain(node), Domain):
        yield prefix, domain
    elif isinstance(node, Mapping):
        for key, inner in node.items():
            yield from _domains(inner, _below(prefix, key))


def _as_domain(node: Any) -> Any:
    """Return a grid as a choice; anything else as it is."""
    return tune.choice(node["grid_search"]) if isinstance(node, Mapping) and node.keys() == {"grid_search"} else node


def _below(prefix: str, key: Any) -> str:
    return f"{prefix}{SEPARATOR}{key}" if prefix else str(key)
