"""How a parameter is written as plain data, in a ledger as well as in a person's YAML, and how that is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from spaces.parameter import Condition, Parameter, Value
from trainables.mistake import Mistake, Path, about, dotted, nearest, show_value

COMMON_FIELDS = ("type", "baseline", "when", "help")
FIELDS_BY_TYPE = {
    "float": ("low", "high", "log", "step"),
    "int": ("low", "high", "log", "step"),
    "category": ("choices",),
}
"""The fields of each type of parameter, besides ``COMMON_FIELDS``."""


def parameter_to_dict(p: Parameter) -> dict[str, Any]:
    """Return ``p`` as plain data; ``read_parameter`` reads it back."""
    d = p.distribution
    out: dict[str, Any]
    if isinstance(d, CategoricalDistribution):
        out = {"type": "category", "choices": list(d.choices)}
    else:
        assert isinstance(d, FloatDistribution | IntDistribution)
        kind = "int" if isinstance(d, IntDistribution) else "float"
        out = {"type": kind, "low": d.low, "high": d.high}
        if d.log:
            out["log"] = True
        if d.step and not (kind == "int" and d.step == 1):
            out["step"] = d.step
    out["baseline"] = p.baseline
    if p.when is not None:
        out["when"] = {p.when.parent: list(p.when.values)}
    if p.help:
        out["help"] = p.help
    return out


def read_parameter(name: str, data: object, errors: list[Mistake], *, within: Path = ()) -> Parameter | None:
    """Return the parameter that ``data`` declares, or None and why not in ``errors``.

    Args:
        name: the parameter's name.
        data: a mapping of ``type`` (float, int, category), ``low`` and ``high`` (with ``log``, ``step``) or
            ``choices``, ``baseline``, ``when`` (``{parent: [values]}``) and ``help``.
        errors: the mistakes are added to it, with paths such as ``("space", "dropout", "low")``.
        within: the path of what holds the parameter: ``("space",)`` or empty.
    """
    where, before = (*within, name), len(errors)
    if not isinstance(data, Mapping):
        errors.append(Mistake(where, "must be a mapping with type, baseline and a range", data))
        return None
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in FIELDS_BY_TYPE:
        types = ", ".join(FIELDS_BY_TYPE)
        if "type" in data:
            hint = nearest(str(kind), FIELDS_BY_TYPE)
            errors.append(
                about(f"{dotted(where)}.type must be one of {types}, got {show_value(kind)}.{hint}", *where, "type")
            )
        else:
            errors.append(Mistake((*where, "type"), f"is missing: {types}"))
        return None
    allowed = (*FIELDS_BY_TYPE[kind], *COMMON_FIELDS)
    for field in data:
        if field not in allowed:
            known = f"{nearest(str(field), allowed)} Known for a {kind}: {', '.join(allowed)}"
            errors.append(about(f"{dotted(where)}.{field} is unknown.{known}", *where, field))
    if kind == "category":
        distribution = _category(where, data, errors)
    else:
        distribution = _range(where, kind, data, errors)
    baseline = _baseline(where, kind, data, errors)
    condition = _condition(where, data, errors)
    words = data.get("help", "")
    if not isinstance(words, str):
        errors.append(Mistake((*where, "help"), "must be words", words))
    if len(errors) > before:
        return None
    assert distribution is not None and baseline is not None
    return Parameter(name, distribution, baseline, condition, words)


def is_number(value: object) -> bool:
    """Say whether ``value`` is a finite number of at most 64 bits; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**63


def is_value(value: object) -> bool:
    """Say whether a parameter may have ``value``: a finite number, a word, true or false."""
    return isinstance(value, str | bool) or is_number(value)


def _category(where: Path, data: Mapping[Any, Any], errors: list[Mistake]) -> BaseDistribution | None:
    choices = data.get("choices")
    if not isinstance(choices, list | tuple) or not choices:
        got = f", got {show_value(choices)}" if "choices" in data else "; it is missing"
        errors.append(about(f"{dotted(where)}.choices must be a list of at least one value{got}", *where, "choices"))
        return None
    wrong = [c for c in choices if not is_value(c)]
    if wrong:
        errors.append(
            about(
                f"{dotted(where)}.choices must be numbers, words, true or false, got {show_value(wrong[0])}",
                *where,
                "choices",
            )
        )
        return None
    # Optuna looks a choice up by equality, by which true is 1
    twice = [c for i, c in enumerate(choices) if c in choices[:i]]
    if twice:
        errors.append(about(f"{dotted(where)}.choices has {show_value(twice[0])} twice", *where, "choices"))
        return None
    return CategoricalDistribution(list(choices))


def _range(where: Path, kind: str, data: Mapping[Any, Any], errors: list[Mistake]) -> BaseDistribution | None:
    before = len(errors)
    low, high, step = (_number(where, kind, field, data, errors) for field in ("low", "high", "step"))
    log = data.get("log", False)
    if not isinstance(log, bool):
        errors.append(Mistake((*where, "log"), "must be true or false", log))
    if len(errors) > before or low is None or high is None:
        return None
    if low > high:
        errors.append(about(f"{dotted(where)}.low must be at most high, got {low:g} and {high:g}", *where, "low"))
    if log and low <= 0:
        errors.append(about(f"{dotted(where)}.low must be > 0 for a log range, got {low:g}", *where, "low"))
    if log and step is not None and not (kind == "int" and step == 1):
        errors.append(Mistake((*where, "step"), "and log exclude each other"))
    if step is not None and step <= 0:
        errors.append(about(f"{dotted(where)}.step must be > 0, got {step:g}", *where, "step"))
    elif step is not None and low <= high and not _divides(step, high - low):
        errors.append(
            about(f"{dotted(where)}.step must divide high - low, got {step:g} for {low:g} to {high:g}", *where, "step")
        )
    if len(errors) > before:
        return None
    if kind == "int":
        return IntDistribution(int(low), int(high), log=log, step=1 if step is None else int(step))
    return FloatDistribution(float(low), float(high), log=log, step=None if step is None else float(step))


def _divides(step: float, span: float) -> bool:
    return math.isclose(round(span / step) * step, span, rel_tol=1e-9, abs_tol=1e-12)


def _number(where: Path, kind: str, field: str, data: Mapping[Any, Any], errors: list[Mistake]) -> float | None:
    """Return a number of the right kind; None where there is none, which only a step may be."""
    value = data.get(field)
    if field not in data and field != "step":
        errors.append(Mistake((*where, field), "is missing"))
    elif field in data and not is_number(value):
        errors.append(Mistake((*where, field), "must be a number", value))
    elif field in data and kind == "int" and not float(value).is_integer():  # type: ignore[arg-type]
        errors.append(Mistake((*where, field), "must be a whole number", value))
    else:
        return value
    return None


def _baseline(where: Path, kind: str, data: Mapping[Any, Any], errors: list[Mistake]) -> Value | None:
    value = data.get("baseline")
    if "baseline" not in data:
        errors.append(Mistake((*where, "baseline"), "is missing: the value of the untuned model, trial 0"))
    elif kind == "category":
        if is_value(value):
            return value
        errors.append(
            about(
                f"{dotted(where)}.baseline must be a number, a word, true or false, got {show_value(value)}",
                *where,
                "baseline",
            )
        )
    elif not is_number(value):
        errors.append(Mistake((*where, "baseline"), "must be a number", value))
    elif kind == "int":
        if float(value).is_integer():  # type: ignore[arg-type]
            return int(value)  # type: ignore[arg-type]
        errors.append(Mistake((*where, "baseline"), "must be a whole number", value))
    else:
        return float(value)  # type: ignore[arg-type]
    return None


def _condition(where: Path, data: Mapping[Any, Any], errors: list[Mistake]) -> Condition | None:
    condition = data.get("when")
    if condition is None:
        return None
    if not isinstance(condition, Mapping) or len(condition) != 1:
        errors.append(
            about(
                f"{dotted(where)}.when must name one parameter and its values, such as {{schedule: [step]}}",
                *where,
                "when",
            )
        )
        return None
    ((parent, values),) = condition.items()
    values = values if isinstance(values, list | tuple) else [values]
    if not isinstance(parent, str) or not values or not all(is_value(v) for v in values):
        errors.append(
            about(
                f"{dotted(where)}.when must be values of {show_value(parent)}, got {show_value(values)}", *where, "when"
            )
        )
        return None
    return Condition(parent, tuple(values))
