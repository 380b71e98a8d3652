"""From plain values to a study that is whole: what pydantic finds wrong becomes ``Mistake`` records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from search.declaration.fields import names_at
from search.declaration.mistakes import OF_A_CHECK, usage_error
from search.declaration.study import Study
from trainables.mistake import Mistake, Path

RULES: Mapping[str, str] = {
    "greater_than_equal": ">= {ge:.12g}",
    "greater_than": "> {gt:.12g}",
    "less_than_equal": "<= {le:.12g}",
    "less_than": "< {lt:.12g}",
    "literal_error": "{expected}",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "finite_number": "a finite number",
    "string_type": "a word",
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "dataclass_type"), "a mapping"),
}
"""What a value must be, by the type of pydantic's error; ``{...}`` is of the error's context."""

FILLED = ("warm_start",)
"""Parts of a study that the program fills in: nobody who typed a name of theirs at the top meant those."""


def valid_study(values: Mapping[str, Any], *, strict: bool = False) -> Study:
    """Return the study that ``values`` are.

    Args:
        values: the fields of a study, as its parts or as plain data.
        strict: take them as JSON does: a word is no number, true is not 1.

    Raises:
        UsageError: every invalid field at once.
    """
    try:
        return Study.model_validate_json(json.dumps(values), strict=True) if strict else Study.model_validate(values)
    except ValidationError as error:
        raise usage_error(_mistakes(error.errors(), values)) from None


def _mistakes(details: Sequence[ErrorDetails], values: Mapping[str, Any]) -> list[Mistake]:
    """Return pydantic's errors as mistakes; what the members of a union say of one value becomes one."""
    found: list[Mistake] = []
    broken: dict[Path, list[ErrorDetails]] = {}
    for detail in details:
        path = _within(values, detail["loc"])
        if detail["type"] == OF_A_CHECK:
            found += detail["ctx"]["mistakes"]
        elif detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            found.append(_unknown(path))
        elif detail["type"] in ("missing", "missing_argument"):
            if detail["loc"] != ("space",):  # what is said of the kind says it
                found.append(Mistake(detail["loc"], "is missing"))
        else:
            broken.setdefault(path, []).append(detail)
    for path, rules in broken.items():
        what = " or ".join(dict.fromkeys(map(_rule, rules)))
        found.append(Mistake(path, f"must be {what}", rules[0]["input"]))
    return found


def _unknown(path: Path) -> Mistake:
    """Return the mistake of a name that a place does not have; ``trials``, alone, is told where it belongs."""
    parts = [part for part in names_at(()) if part not in FILLED and path[-1] in names_at((part,))]
    if len(path) == 1 and parts:
        homes = [f"{part}.{path[-1]}" for part in parts]
        return Mistake(path, f"is unknown; did you mean {' or '.join(homes)}?")
    return Mistake(path, "is unknown", allowed=names_at(path[:-1]))


def _rule(detail: ErrorDetails) -> str:
    """Return what a value must be."""
    rule = RULES.get(detail["type"])
    return detail["msg"] if rule is None else rule.format(**detail.get("ctx", {}))


def _within(values: Any, path: Sequence[str | int]) -> Path:
    """Return as much of ``path`` as there is in the data; pydantic adds the members of a union to it."""
    found: list[str | int] = []
    for part in path:
        inside = part in values if isinstance(values, Mapping) else isinstance(values, list) and isinstance(part, int)
        if not inside:
            break
        values = values[part]
        found.append(part)
    return tuple(found)
