"""The JSON schema of a study in YAML, for editors: the model of a study, and the grammar of spaces."""

from __future__ import annotations

import dataclasses
from itertools import combinations
from typing import Any, get_args

from pydantic import BaseModel

from search.declaration.fields import FILE_KEYS, fields_of, meanings, part_of
from search.declaration.studies import registered
from search.declaration.study import NAME, Study
from spaces.json_schema import changes_schema
from trainables.data.datasets import DATASETS
from trainables.metrics import METRICS
from trainables.user_function import PATH

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def study_schema() -> dict[str, Any]:
    """Return the schema; what a file must hold depends on whether its kind is registered."""
    schema = Study.model_json_schema()
    parts = {part.__name__: part for part in _parts(Study)}
    for name, definition in (("Study", schema), *schema.get("$defs", {}).items()):
        _describe(definition, parts[name])
    properties = schema["properties"]
    kinds = list(registered())
    word = {"type": "string", "pattern": f"^{NAME.pattern}$"}
    properties["kind"] = {"description": properties["kind"].get("description", ""), "anyOf": [{"enum": kinds}, word]}
    properties["name"]["pattern"] = f"^({NAME.pattern})?$"
    schema["$defs"]["DataSpec"]["properties"]["name"]["examples"] = list(DATASETS)
    schema["$defs"]["Objective"]["properties"]["metric"]["examples"] = list(METRICS)
    properties["set"] = {**changes_schema(), "description": FILE_KEYS["set"]}
    for key in ("model", "train"):
        properties[key] = {"type": "string", "pattern": f"^{PATH.pattern}$", "description": FILE_KEYS[key]}
    return {
        "$schema": DIALECT,
        **schema,
        "title": "A study of Lanewise",
        "required": ["kind"],
        "if": {"properties": {"kind": {"enum": kinds}}},
        "else": {"required": ["kind", "space"]},
        "not": {"anyOf": [{"required": list(two)} for two in combinations(("model", "train", "trainable"), 2)]},
    }


def _parts(part: type[Any]) -> list[type[Any]]:
    """Return ``part`` and every model or dataclass within its fields."""
    found = [part]
    for annotation in fields_of(part).values():
        for inner in (annotation, *get_args(annotation)):
            below = part_of(inner)
            if below is not None:
                found += [p for p in _parts(below) if p not in found]
    return found


def _describe(definition: dict[str, Any], part: type[Any]) -> None:
    """Put the docstring's words beside the fields, and allow no others."""
    words = meanings(part)
    definition["description"] = (part.__doc__ or "").split("\n\n")[0]
    definition["additionalProperties"] = False
    for name, field in definition.get("properties", {}).items():
        if name in words:
            field["description"] = words[name]
    assert issubclass(part, BaseModel) or dataclasses.is_dataclass(part)
