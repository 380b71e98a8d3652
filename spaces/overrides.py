"""Changes to a space from the command line (``--set``) or a YAML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from spaces.declare import is_number, is_value, read_parameter
from spaces.errors import SpaceError
from spaces.located_yaml import YamlError, load_yaml
from spaces.parameter import Parameter, Value
from spaces.space import Space
from trainables.mistake import Mistake, about, nearest, show_value

FIELDS = ("low", "high", "log", "choices")

SWITCH_WORDS = {"on": True, "off": False, "yes": True, "no": False}
"""What a person may write for true and false, where they are not words that the parameter or setting itself knows."""


def parse_assignments(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read ``NAME=VALUE`` and ``NAME.low=VALUE`` (also high, log, choices=a,b).

    Returns:
        For each name the fields to change; a fixed value is the field ``value``.

    Raises:
        SpaceError: an assignment without ``=``, or an unknown field.
    """
    changes: dict[str, dict[str, Any]] = {}
    errors: list[Mistake] = []
    for text in assignments:
        target, equals, value = text.partition("=")
        name, dot, attribute = target.strip().partition(".")
        if not equals or not name:
            errors.append(about(f"--set {text!r}: expected PARAM=VALUE or PARAM.low=VALUE"))
        elif not dot:
            changes.setdefault(name, {})["value"] = _read_value(value)
        elif attribute not in FIELDS:
            known = f"{nearest(attribute, FIELDS)} Allowed: {', '.join(FIELDS)}"
            errors.append(about(f"--set {text!r}: unknown field {attribute!r}.{known}"))
        elif attribute == "choices":
            changes.setdefault(name, {})["choices"] = [_read_value(v) for v in value.split(",") if v.strip()]
        else:
            changes.setdefault(name, {})[attribute] = _read_value(value)
    if errors:
        raise SpaceError(errors)
    return changes


def merge_changes(first: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``first`` with ``later`` on top: an end of a range joins the other end, anything else replaces."""
    merged = dict(first)
    for name, change in later.items():
        both = (merged.get(name), change)
        if all(isinstance(c, Mapping) and set(c) <= {"low", "high", "log"} for c in both):
            change = {**merged[name], **change}
        merged[name] = change
    return merged


def apply_overrides(
    space: Space, settings: Mapping[str, Value], changes: Mapping[str, Any]
) -> tuple[Space, dict[str, Value]]:
    """Return the space and the fixed settings after ``changes``.

    Args:
        space: the declared space.
        settings: values every trial shares (batch size, widths ...); ``NAME=VALUE`` changes one,
            ``NAME.choices=a,b`` moves it into the space.
        changes: for each name either a value, or a mapping of ``value``, ``low``, ``high``, ``log``, ``choices``, or a
            whole declaration with its ``type`` (see ``read_parameter``), which may also be of a new parameter.

    Raises:
        SpaceError: every wrong change, a line each.
    """
    errors: list[Mistake] = []
    changed: dict[str, Parameter] = {}
    new_settings = dict(settings)
    known = (*space.names, *settings)
    for name, change in changes.items():
        fields = dict(change) if isinstance(change, Mapping) else {"value": change}
        unknown = [f for f in fields if f not in (*FIELDS, "value")]
        if "type" in fields:
            declared = read_parameter(name, fields, errors)
            if declared is not None:
                changed[name] = declared
                new_settings.pop(name, None)
        elif name not in known:
            errors.append(about(f"unknown parameter {name!r}.{nearest(name, known)} Known: {', '.join(known)}", name))
        elif unknown:
            errors.append(
                about(
                    f"{name}: unknown field {unknown[0]!r}.{nearest(unknown[0], FIELDS)} Allowed: {', '.join(FIELDS)}",
                    name,
                )
            )
        elif "value" in fields and len(fields) > 1:
            errors.append(about(f"{name}: a fixed value and a range exclude each other", name))
        elif name in space:
            parameter = _change(space[name], fields, errors)
            if parameter is not None:
                changed[name] = parameter
        elif set(fields) == {"value"} and not is_value(fields["value"]):
            errors.append(
                about(f"{name}: expected a number, a word, true or false, got {show_value(fields['value'])}", name)
            )
        elif set(fields) == {"value"}:
            new_settings[name] = _of_settings_kind(settings[name], fields["value"])
        elif set(fields) == {"choices"} and _is_list_of_values(fields["choices"]):
            choices = [_of_settings_kind(settings[name], c) for c in fields["choices"]]
            if _distinct(name, choices, errors):
                baseline = settings[name] if settings[name] in choices else choices[0]
                changed[name] = Parameter(name, CategoricalDistribution(choices), baseline)
                del new_settings[name]
        else:
            errors.append(about(f"{name} is a fixed setting: use {name}=VALUE or {name}.choices=a,b", name))
    if errors:
        raise SpaceError(errors)
    return space.with_parameters(changed), new_settings


def read_overrides(text: str, *, source: str) -> dict[str, Any]:
    """Read a YAML mapping of parameter to value, to ``{low, high, log, choices}`` or to a whole declaration.

    Raises:
        SpaceError: not YAML, or not a mapping; each line names that of the file.
    """
    try:
        data = load_yaml(text).data
    except YamlError as error:
        raise SpaceError(
            [f"{source}{f' line {line}' if line else ''}: {what}" for line, what in error.errors]
        ) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SpaceError(f"{source}: expected a mapping of parameter names, got {type(data).__name__}")
    return data


def _change(p: Parameter, fields: Mapping[str, Any], errors: list[Mistake]) -> Parameter | None:
    if "value" in fields:
        return _fixed(p, fields["value"], errors)
    if isinstance(p.distribution, CategoricalDistribution):
        return _changed_choices(p, fields, errors)
    if "choices" in fields:
        return _range_as_choices(p, fields, errors)
    return _changed_range(p, fields, errors)


def _fixed(p: Parameter, value: Any, errors: list[Mistake]) -> Parameter | None:
    d, value = p.distribution, _matching_choice(p, value)
    if isinstance(d, CategoricalDistribution) and not p.contains(value):
        errors.append(about(f"{p.name}={value!r}: allowed: {p.range_text()}", p.name))
        return None
    if not isinstance(d, CategoricalDistribution) and not is_number(value):
        errors.append(about(f"{p.name}={value!r}: expected a number", p.name))
        return None
    if isinstance(d, IntDistribution) and not float(value).is_integer():
        errors.append(about(f"{p.name}={value!r}: expected a whole number", p.name))
        return None
    if not isinstance(d, CategoricalDistribution):
        value = int(value) if isinstance(d, IntDistribution) else float(value)
    return p.fixed_at(value)


def _changed_choices(p: Parameter, fields: Mapping[str, Any], errors: list[Mistake]) -> Parameter | None:
    assert isinstance(p.distribution, CategoricalDistribution)
    if set(fields) != {"choices"}:
        errors.append(about(f"{p.name} is a category: use {p.name}.choices=a,b or {p.name}=VALUE", p.name))
        return None
    choices = fields["choices"]
    if not isinstance(choices, list) or not choices:
        errors.append(about(f"{p.name}.choices: empty; allowed: {p.range_text()}", p.name, "choices"))
        return None
    choices = [_matching_choice(p, c) for c in choices]
    outside = [c for c in choices if not p.contains(c)]
    if outside:
        errors.append(
            about(f"{p.name}.choices: {outside[0]!r} is unknown; allowed: {p.range_text()}", p.name, "choices")
        )
        return None
    if not _distinct(p.name, choices, errors):
        return None
    return dataclasses.replace(p, distribution=CategoricalDistribution(choices))


def _range_as_choices(p: Parameter, fields: Mapping[str, Any], errors: list[Mistake]) -> Parameter | None:
    """Return the parameter with a few numbers in place of its range."""
    choices, whole = fields["choices"], isinstance(p.distribution, IntDistribution)
    if not isinstance(choices, list) or not choices:
        errors.append(Mistake((p.name, "choices"), ": empty; give at least one number"))
        return None
    wrong = [c for c in choices if not is_number(c)]
    if wrong or len(fields) > 1:
        errors.append(
            about(f"{p.name}.choices: expected numbers only, got {wrong or sorted(fields)}", p.name, "choices")
        )
        return None
    broken = [c for c in choices if whole and not float(c).is_integer()]
    if broken:
        errors.append(about(f"{p.name}.choices: expected whole numbers only, got {broken}", p.name, "choices"))
        return None
    numbers = [int(c) if whole else float(c) for c in choices]
    if not _distinct(p.name, numbers, errors):
        return None
    return dataclasses.replace(p, distribution=CategoricalDistribution(numbers))


def _changed_range(p: Parameter, fields: Mapping[str, Any], errors: list[Mistake]) -> Parameter | None:
    d = p.distribution
    assert isinstance(d, FloatDistribution | IntDistribution)
    low, high, log = fields.get("low", d.low), fields.get("high", d.high), fields.get("log", d.log)
    before = len(errors)
    for label, bound in (("low", low), ("high", high)):
        if not is_number(bound):
            errors.append(about(f"{p.name}.{label}={bound!r}: expected a number", p.name, label))
        elif isinstance(d, IntDistribution) and not float(bound).is_integer():
            errors.append(about(f"{p.name}.{label}={bound!r}: expected a whole number", p.name, label))
    if not isinstance(log, bool):
        errors.append(about(f"{p.name}.log={log!r}: expected true or false", p.name, "log"))
    if len(errors) > before:
        return None
    if low >= high:
        errors.append(
            about(f"{p.name}: low {low:g} must be below high {high:g}; to fix it use {p.name}={low:g}", p.name)
        )
        return None
    if log and low <= 0:
        errors.append(about(f"{p.name}: a log range needs low > 0, got {low:g}", p.name))
        return None
    if isinstance(d, IntDistribution):
        distribution = IntDistribution(int(low), int(high), log=log)
        return dataclasses.replace(p, distribution=distribution)
    return dataclasses.replace(p, distribution=FloatDistribution(float(low), float(high), log=log))


def _matching_choice(p: Parameter, value: Any) -> Any:
    """Return the choice that a value stands for: ``on`` may be true, false may be ``off``, and 64 may be a word."""
    other = _word_or_switch(value)
    other = str(value) if other is None else other
    return other if not p.contains(value) and p.contains(other) else value


def _of_settings_kind(setting: Value, value: Any) -> Any:
    """Return ``off`` for false where the setting is a word, and false for ``off`` where it is none."""
    other = _word_or_switch(value)
    return other if other is not None and isinstance(other, str) == isinstance(setting, str) else value


def _word_or_switch(value: Any) -> bool | str | None:
    """Return ``on`` or ``off`` for true or false, and true or false for such words; None for anything else."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return SWITCH_WORDS.get(value) if isinstance(value, str) else None


def _is_list_of_values(choices: Any) -> bool:
    return isinstance(choices, list) and bool(choices) and all(is_value(c) for c in choices)


def _distinct(name: str, choices: list[Any], errors: list[Mistake]) -> bool:
    """Say whether no choice is there twice (by equality, as Optuna looks them up), and if so which in ``errors``."""
    twice = [c for i, c in enumerate(choices) if c in choices[:i]]
    if twice:
        errors.append(about(f"{name}.choices: {show_value(twice[0])} is given twice", name, "choices"))
    return not twice


def _read_value(text: str) -> Any:
    """Read a value as a YAML file has it; a word without quotes that Python takes for a number (``1_000``) is one."""
    text = text.strip()
    try:
        value = load_yaml(text).data
    except YamlError:
        value = text
    if value == text:
        return _number_or_word(text)
    # ``null`` is a plain word here, as ``none`` is, which names the constant schedule.
    return text if value is None or isinstance(value, dict) else value


def _number_or_word(word: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
