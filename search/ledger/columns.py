"""The values of a row's columns, checked as they are read: ValueError where one is not of the kind that it should be.

A flipped bit in a file is no damage that a database would notice: it hands out a text where a number was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


def whole(value: object) -> int:
    """Return ``value``; raise ValueError unless it is an int."""
    if type(value) is not int:
        raise ValueError(f"expected a whole number, found {value!r:.40}")
    return value


def number(value: object) -> float:
    """Return ``value``; raise ValueError unless it is an int or a float."""
    if type(value) is not float and type(value) is not int:
        raise ValueError(f"expected a number, found {value!r:.40}")
    return value


def text(value: object) -> str:
    """Return ``value``; raise ValueError unless it is a str."""
    if type(value) is not str:
        raise ValueError(f"expected text, found {value!r:.40}")
    return value


def told_values(value: object) -> float | list[float] | None:
    """Return what Optuna was told of a trial: one value, one for each objective, or None; else raise ValueError."""
    if value is None:
        return None
    return [number(v) for v in value] if isinstance(value, list) else number(value)


def mapping(value: object) -> dict[str, Any]:
    """Return the object that a JSON text holds; raise ValueError unless it is one."""
    found = from_json(value)
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, found {value!r:.40}")
    return found


def numbers(value: object) -> dict[str, float]:
    """Return the numbers by name that a JSON text holds; raise ValueError unless it does."""
    found = mapping(value)
    for each in found.values():
        number(each)
    return found


def pairs(value: object) -> list[tuple[Any, Any]]:
    """Return the list of pairs that a JSON text holds; raise ValueError unless it is one."""
    found = from_json(value)
    if not isinstance(found, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in found):
        raise ValueError(f"expected a JSON list of pairs, found {value!r:.40}")
    return [(first, second) for first, second in found]


def from_json(value: object) -> Any:
    """Return what a JSON text holds; raise ValueError where the value is none."""
    try:
        return json.loads(text(value))
    except RecursionError:
        raise ValueError("expected JSON, found brackets without end") from None


def model(kind: type[M], values: Mapping[str, Any]) -> M:
    """Return ``values`` as the model ``kind``; raise ValueError, in one line, where they are none."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}, found {first['input']!r:.40}") from None
