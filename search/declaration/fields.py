"""The fields of a study and their meanings, read from the model itself: a new field needs no word here."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from search.declaration.study import Study
from spaces import Space

FILE_KEYS = {
    "set": "Changes to the registered study's space and settings, as --set and --space make them.",
    "model": "The user's own model, package.module:function; short for trainable: model:package.module:function.",
    "train": "The user's own training function, package.module:function; short for trainable: train:package...",
}
"""Names that a file may hold besides the fields of a study, with their meanings."""


def part_of(annotation: Any) -> type[Any] | None:
    """Return the model or dataclass within a type, such as ``Budget`` of ``Budget | None``; None if there is none."""
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        fixed = issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)
        return annotation if fixed and annotation is not Space else None
    return next((part for inner in typing.get_args(annotation) if (part := part_of(inner))), None)


def fields_of(part: type[Any]) -> dict[str, Any]:
    """Return the fields of a model or dataclass with their types."""
    if issubclass(part, BaseModel):
        return {name: field.annotation for name, field in part.model_fields.items()}
    hints = typing.get_type_hints(part)
    return {field.name: hints[field.name] for field in dataclasses.fields(part)}


def names_at(path: Sequence[str | int]) -> tuple[str, ...]:
    """Return the names that a study knows at a place; empty where it may have any (a setting, say)."""
    part: type[Any] | None = Study
    for name in path:
        if isinstance(name, int):
            continue  # an item of a list: the part is already that of the items
        if part is None or name not in fields_of(part):
            return ()
        part = part_of(fields_of(part)[name])
    if part is None:
        return ()
    return (*fields_of(part), *FILE_KEYS) if part is Study else tuple(fields_of(part))


def meanings(part: type[Any]) -> dict[str, str]:
    """Return what the docstring of a model or dataclass says of its fields, under ``Attributes:``."""
    _, _, section = (inspect.getdoc(part) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}(\w[\w, ]*): ((?:.|\n(?= {8}))*)", section, flags=re.MULTILINE):
        words = " ".join(text.split()).replace("``", "")
        found |= dict.fromkeys((name.strip() for name in names.split(",")), words)
    return found
