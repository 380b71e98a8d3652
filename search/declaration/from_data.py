"""From plain data to a study: laid over the registered study it names, checked whole, every mistake at once."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from search.declaration.fields import FILE_KEYS, names_at, part_of
from search.declaration.mistakes import COMPLETE_MESSAGE, FLAGS
from search.declaration.studies import registered
from search.declaration.study import Study
from spaces import Space, SpaceError, apply_overrides, nearest
from spaces.declare import show_value
from trainables.registry import USER_MODEL_PREFIX

PLAIN = {flag: path for path, flag in FLAGS.items()} | {
    "--dataset": "data.name",
    "--data": "data.name",
    "--objective": "objective.metric",
    "--metric": "metrics",
    "--name": "name",
}
"""The field that an option sets, for messages that name the option."""

Path = tuple[str | int, ...]
_Error = tuple[Path, str]


@dataclass(frozen=True)
class Declared:
    """A study as a file or a call declares it.

    Attributes:
        study: valid; where there are errors, without what is wrong, and None where too little is left for one.
        errors: what is wrong, a line each, and where in the data, as far as that is known.
        own_settings: whether the settings are its own, to which no preset of a data set is to be added.
    """

    study: Study | None
    errors: tuple[tuple[Path, str], ...]
    own_settings: bool = False


def declare_study(data: Mapping[str, Any], *, kind: str | None = None, model: str | None = None) -> Declared:
    """Build the study that ``data`` declares.

    Args:
        data: fields of a study, as plain data, and ``set`` and ``model``. Where its kind is registered, it is laid
            over that study: the fields of ``budget``, ``scheduler`` and their like one by one, all else whole.
        kind: of the study, where ``data`` need not say it.
        model: ``package.module:function``, which goes before what ``data`` says.
    """
    left, errors, removed = copy.deepcopy(dict(data)), list[_Error](), set[str]()
    while True:
        study, found = _attempt(left, kind, model)
        errors += [error for error in found if error not in errors and not _about(error[1], removed)]
        if not _mend(left, found, removed):
            break  # nothing is wrong any more, or nothing that could be left out
    if study is None:
        for name in ("space", "settings", "set", "trainable", "model"):
            left.pop(name, None)
        study, _ = _attempt(left, kind, None)
    return Declared(study, tuple(errors), "settings" in data)


def _attempt(data: Mapping[str, Any], kind: str | None, model: str | None) -> tuple[Study | None, list[_Error]]:
    """Return the study, or None, and what can be told to be wrong."""
    errors: list[_Error] = []
    values = _laid_over(data, kind, errors)
    trainable = _trainable(data, model, errors)
    if trainable is not None:
        values["trainable"] = trainable
    _apply_set(values, data.get("set", {}), errors)
    if values.get("space") == {}:
        errors.append((("space",), "space must have at least one parameter"))
        return None, errors
    study, found = _validated(values)
    return study, errors + found


def _mend(data: dict[str, Any], errors: Sequence[_Error], removed: set[str]) -> bool:
    """Leave out what is wrong, so that another attempt sees what stands behind it; say whether anything was left out.

    Args:
        data: changed.
        errors: what is wrong.
        removed: takes the names of what is left out; what a later attempt says of these is no mistake.
    """
    mended = False
    for path, line in errors:
        if path == ("space",) and line.startswith("space."):
            path = ("space", line.split(" ")[0].split(".")[1])  # the parameter alone
        path = path[: next((i for i, part in enumerate(path) if isinstance(part, int)), len(path))]
        inside: Any = data
        for part in path[:-1]:
            inside = inside.get(part) if isinstance(inside, dict) else None
        if path and isinstance(inside, dict) and path[-1] in inside:
            del inside[path[-1]]
            removed.add(str(path[-1]))
            mended = True
    if mended and data.get("space") == {}:
        del data["space"]
        removed.add("space")
    return mended


def _about(line: str, names: set[str]) -> bool:
    """Say whether a message speaks of one of ``names``, what is allowed left aside."""
    said = re.split(r", got |; got | Did you mean| Known|; known| Registered", line)[0]
    return bool(names & set(re.findall(r"\w+", said)))


def _laid_over(data: Mapping[str, Any], kind: str | None, errors: list[_Error]) -> dict[str, Any]:
    """Return the data laid over the registered study that they name."""
    named = data.get("kind", kind)
    if kind is not None and "kind" in data and data["kind"] != kind:
        errors.append(
            (("kind",), f"kind {show_value(data['kind'])} is not the STUDY {kind!r} that was named; leave one out")
        )
        named = kind
    known = registered()
    base: dict[str, Any] = {}
    if isinstance(named, str) and named in known:
        base = known[named].model_dump(mode="json")
    elif isinstance(named, str) and "space" not in data:
        errors.append(
            (
                ("kind",) if "kind" in data else (),
                f"kind {named!r} is no registered study, so space must be declared."
                f"{nearest(named, known)} Registered: {', '.join(known)}",
            )
        )
    values = dict(base)
    for name, value in data.items():
        if name in FILE_KEYS:
            continue
        field = Study.model_fields.get(name)
        part = None if field is None else part_of(field.annotation)
        below = base.get(name)
        whole = part is None or getattr(part, "whole", False)
        mergeable = not whole and isinstance(value, Mapping) and isinstance(below, Mapping)
        values[name] = {**below, **value} if mergeable else value  # type: ignore[dict-item]
    if kind is not None:
        values["kind"] = kind
    return values


def _trainable(data: Mapping[str, Any], model: str | None, errors: list[_Error]) -> str | None:
    """Return the trainable that ``model`` or the data's own ``model`` stands for."""
    if model is not None:
        return f"{USER_MODEL_PREFIX}{model}"
    if "model" not in data:
        return None
    named = data["model"]
    if not isinstance(named, str):
        errors.append((("model",), f"model must be package.module:function, got {show_value(named)}"))
        return None
    if "trainable" in data:
        errors.append((("model",), "model and trainable exclude each other"))
    return f"{USER_MODEL_PREFIX}{named}"


def _apply_set(values: dict[str, Any], changes: object, errors: list[_Error]) -> None:
    """Make the changes that the data's ``set`` names, if there is a space to make them in."""
    if not isinstance(changes, Mapping):
        errors.append((("set",), f"set must be a mapping of parameters to changes, got {show_value(changes)}"))
        return
    settings = values.get("settings", {})
    if not changes or not isinstance(settings, dict):
        return
    try:
        before = Space.from_dict(values.get("space", {}))
    except SpaceError:
        return  # said when the study is checked
    try:
        space, values["settings"] = apply_overrides(before, settings, changes)
        values["space"] = space.to_dict()
    except SpaceError as error:
        errors += [(("set",), line) for line in error.errors]


def _validated(values: Mapping[str, Any]) -> tuple[Study | None, list[_Error]]:
    """Check the whole. As JSON and strictly: a word is then no number, true is not 1."""
    try:
        return Study.model_validate_json(json.dumps(values), strict=True), []
    except ValidationError as error:
        return None, _told(error.errors(), values)


def _told(details: Sequence[ErrorDetails], values: Mapping[str, Any]) -> list[_Error]:
    """Return a line for each mistake; what several members of a union say of one value becomes one line."""
    lines: dict[tuple[Path, str], list[str]] = {}
    found: list[_Error] = []
    for detail in details:
        path = _within(values, detail["loc"])
        if detail["type"] == COMPLETE_MESSAGE:
            found += [(path, plain(_hinted(line))) for line in detail["msg"].splitlines()]
        elif detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = names_at(path[:-1])
            name = str(path[-1])
            found.append((path, f"{_dotted(path)} is unknown.{nearest(name, known)} Known: {', '.join(known)}"))
        elif detail["type"] in ("missing", "missing_argument"):
            if detail["loc"] != ("space",):  # what is said of the kind says it
                found.append((path, f"{_dotted(tuple(detail['loc']))} is missing"))
        else:
            lines.setdefault((path, show_value(detail["input"])), []).append(_rule(detail["msg"]))
    for (path, value), rules in lines.items():
        found.append((path, f"{_dotted(path)} must be {' or '.join(dict.fromkeys(rules))}, got {value}"))
    return found


def _rule(message: str) -> str:
    """Return what a value must be, from pydantic's words."""
    text = message.removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("must be ")
    for theirs, ours in (
        ("greater than or equal to", ">="),
        ("less than or equal to", "<="),
        ("greater than", ">"),
        ("less than", "<"),
        ("a valid ", "a "),
        ("a integer", "a whole number"),
        ("a string", "a word"),
        ("a array", "a list"),
        ("a boolean", "true or false"),
        ("an object", "a mapping"),
    ):
        text = text.replace(theirs, ours)
    return text


def _hinted(line: str) -> str:
    hint = "; what only changes a registered study's parameter belongs under set"
    return line + hint if ".type is missing" in line else line


def plain(line: str) -> str:
    """Return a message with the names of fields in place of the options that set them."""
    return re.sub(r"--[a-z][a-z0-9-]*", lambda match: PLAIN.get(match[0], match[0]), line)


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


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path) or "the study"
