"""What a space may look like as plain data, as a JSON schema: for editors, beside the checks of ``read_space``."""

from __future__ import annotations

from typing import Any

VALUE: dict[str, Any] = {"type": ["number", "string", "boolean"]}


def space_schema() -> dict[str, Any]:
    """Return the schema of a space: a mapping from names to declarations of parameters."""
    return {
        "type": "object",
        "description": "What is searched: by name a range or choices, with the value of the untuned model (baseline).",
        "minProperties": 1,
        "additionalProperties": parameter_schema(),
    }


def parameter_schema() -> dict[str, Any]:
    """Return the schema of one declared parameter."""
    number = {"type": "number"}
    whole = {"type": "integer"}
    return {
        "oneOf": [
            _of_type("float", {"low": number, "high": number, "step": number, "log": _LOG, "baseline": number}),
            _of_type("int", {"low": whole, "high": whole, "step": whole, "log": _LOG, "baseline": whole}),
            _of_type("category", {"choices": _CHOICES, "baseline": VALUE}),
        ]
    }


def changes_schema() -> dict[str, Any]:
    """Return the schema of changes to a space: what ``apply_overrides`` takes."""
    fields = {"low": {"type": "number"}, "high": {"type": "number"}, "log": _LOG, "choices": _CHOICES, "value": VALUE}
    change = {"type": "object", "properties": fields, "additionalProperties": False, "minProperties": 1}
    return {
        "type": "object",
        "additionalProperties": {"anyOf": [VALUE, change, parameter_schema()]},
    }


_LOG = {"type": "boolean", "description": "Drawn evenly over the logarithm."}
_CHOICES = {"type": "array", "items": VALUE, "minItems": 1, "uniqueItems": True}
_WHEN = {
    "type": "object",
    "description": "The parameter exists only where another has one of these values: {schedule: [step]}.",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": {"anyOf": [VALUE, {"type": "array", "items": VALUE, "minItems": 1}]},
}


def _of_type(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    required = ["type", "baseline", *(field for field in ("low", "high", "choices") if field in fields)]
    common = {"type": {"const": name}, "when": _WHEN, "help": {"type": "string"}}
    return {
        "type": "object",
        "properties": {**common, **fields},
        "required": required,
        "additionalProperties": False,
    }
