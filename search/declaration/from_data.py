"""From plain data to a study: laid over the registered study it names, checked whole, every mistake at once."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from search.declaration import backbone
from search.declaration.fields import FILE_KEYS, part_of
from search.declaration.own_data import KEPT, data_of
from search.declaration.rungs import first_rung, lower_grace
from search.declaration.studies import registered
from search.declaration.study import Study
from search.declaration.validate import valid_study
from search.errors import UsageError
from spaces import Space, SpaceError, apply_overrides
from trainables.data.spec import NO_DATA
from trainables.mistake import ABSENT, Mistake, Path, placed
from trainables.registry import TRAIN_FUNCTION_PREFIX, USER_MODEL_PREFIX, is_train_function

FUNCTIONS = {"model": USER_MODEL_PREFIX, "train": TRAIN_FUNCTION_PREFIX}
"""What a file calls a user's function, and how the name of the trainable begins that it stands for."""

SET_HINT = "what only changes a registered study's parameter belongs under set"


@dataclass(frozen=True)
class Declared:
    """A study as a file or a call declares it.

    Attributes:
        study: valid; where there are mistakes, without what is wrong, and None where too little is left for one.
        mistakes: what is wrong.
        own_settings: whether the settings are its own, to which no preset of a data set is to be added.
        sized: whether it says how large images are to be.
    """

    study: Study | None
    mistakes: tuple[Mistake, ...]
    own_settings: bool = False
    sized: bool = False


def declare_study(
    data: Mapping[str, Any], *, kind: str | None = None, model: str | None = None, train: str | None = None
) -> Declared:
    """Build the study that ``data`` declares.

    Args:
        data: fields of a study, as plain data, and ``set``, ``model`` and ``train``. Where its kind is registered, it
            is laid over that study: the fields of ``budget``, ``scheduler`` and their like one by one, all else whole.
        kind: the study's, where ``data`` does not say it.
        model: ``package.module:function`` of a model, which goes before what ``data`` says.
        train: the same of a training function.
    """
    left, mistakes, removed = copy.deepcopy(dict(data)), list[Mistake](), set[Path]()
    while True:
        study, found = _attempt(left, kind, model, train)
        mistakes += [m for m in found if m not in mistakes and not _follows(m, removed)]
        if not _leave_out(left, found, removed):
            break  # nothing is wrong any more, or nothing that could be left out
    if study is None:
        for name in ("space", "settings", "set", "trainable", "model", "train"):
            left.pop(name, None)
        study, _ = _attempt(left, kind, None, None)
    of_data = data.get("data")
    return Declared(
        study, tuple(mistakes), "settings" in data, sized=isinstance(of_data, Mapping) and "image_size" in of_data
    )


def _attempt(
    data: Mapping[str, Any], kind: str | None, model: str | None, train: str | None
) -> tuple[Study | None, list[Mistake]]:
    """Return the study, or None, and what can be told to be wrong."""
    mistakes: list[Mistake] = []
    values = _laid_over(data, kind, mistakes)
    trainable = _trainable(data, model, train, mistakes)
    if trainable is not None:
        values["trainable"] = trainable
    if is_train_function(str(values.get("trainable"))) and "data" not in data:
        values["data"] = {"source": NO_DATA, "name": NO_DATA}
    _apply_set(values, data.get("set", {}), mistakes)
    scheduler = data.get("scheduler", {})
    if isinstance(scheduler, Mapping) and "grace" not in scheduler:
        lower_grace(values)
        if "name" in scheduler:
            first_rung(values)
    if values.get("space") == {}:
        return None, [*mistakes, Mistake(("space",), "must have at least one parameter")]
    try:
        return valid_study(values, strict=True), mistakes
    except UsageError as error:
        return None, [*mistakes, *map(_with_hint, error.mistakes)]


def _with_hint(mistake: Mistake) -> Mistake:
    """Return a mistake with what to do where a file changes a parameter as if it were declared."""
    untyped = mistake.path[:1] == ("space",) and mistake.path[2:] == ("type",) and mistake.value is ABSENT
    return replace(mistake, hint=SET_HINT) if untyped else mistake


def _leave_out(data: dict[str, Any], mistakes: Iterable[Mistake], removed: set[Path]) -> bool:
    """Take what is wrong out of ``data``, so that another attempt sees what stands behind it; say whether that is less.

    Args:
        data: changed.
        mistakes: what is wrong.
        removed: takes the paths of what is left out; what a later attempt says of these is no mistake.
    """
    less = False
    for mistake in mistakes:
        for path in (mistake.path, *mistake.others):
            path = path[:2] if path[:1] in (("space",), ("set",)) else path  # half of a parameter is no parameter
            if _remove(data, path):
                removed.add(path)
                less = True
                break
    if less and data.get("space") == {}:
        del data["space"]
        removed.add(("space",))
    return less


def _remove(data: dict[str, Any], path: Path) -> bool:
    """Take what lies at a path out of nested mappings, or the list that it lies in; say whether it was there."""
    path = path[: next((i for i, part in enumerate(path) if isinstance(part, int)), len(path))]
    inside: Any = data
    for part in path[:-1]:
        inside = inside.get(part) if isinstance(inside, dict) else None
    if not path or not isinstance(inside, dict) or path[-1] not in inside:
        return False
    del inside[path[-1]]
    return True


def _follows(mistake: Mistake, removed: set[Path]) -> bool:
    """Say whether a mistake is one only because something was left out."""
    # the others of a whole sentence are where its one field may lie instead, not fields that it compares
    places = (mistake.path,) if mistake.whole else (mistake.path, *mistake.others)
    return any(place[: len(path)] == path for place in places for path in removed)


def _laid_over(data: Mapping[str, Any], kind: str | None, mistakes: list[Mistake]) -> dict[str, Any]:
    """Return the data laid over the registered study that they name."""
    named = data.get("kind", kind)
    if kind is not None and "kind" in data and data["kind"] != kind:
        rule = f"{{value}} is not the STUDY {kind!r} that was named"
        mistakes.append(Mistake(("kind",), rule, data["kind"], hint="leave one out"))
        named = kind
    known = registered()
    base: dict[str, Any] = {}
    if isinstance(named, str) and named in known:
        base = known[named].model_dump(mode="json")
    elif isinstance(named, str) and "space" not in data:
        rule = "{value} is no registered study, so space must be declared"
        mistakes.append(Mistake(("kind",), rule, named, allowed=tuple(known), label="Registered"))
    values = dict(base)
    for name, value in data.items():
        if name in FILE_KEYS:
            continue
        if name == "data":
            transfers = values.get("trainable") == backbone.TRANSFER and not {*FUNCTIONS, "trainable"} & data.keys()
            values[name] = data_of(value, base.get(name, {}), transfers=transfers, mistakes=mistakes)
            continue
        field = Study.model_fields.get(name)
        part = None if field is None else part_of(field.annotation)
        below = base.get(name)
        whole = part is None or getattr(part, "whole", False)
        if whole or not isinstance(value, Mapping) or not isinstance(below, Mapping):
            values[name] = value
            continue
        if name == "data" and value.get("source", below["source"]) != below["source"]:
            below = {kept: below[kept] for kept in KEPT}  # the rest is of the other source
        values[name] = {**below, **value}
    if kind is not None:
        values["kind"] = kind
    return values


def _trainable(data: Mapping[str, Any], model: str | None, train: str | None, mistakes: list[Mistake]) -> str | None:
    """Return the trainable that ``model`` or ``train`` stands for, or the data's own entry of these names."""
    if model is not None and train is not None:
        mistakes.append(Mistake(("model",), "and {0} exclude each other", others=(("train",),)))
    for key, path in (("model", model), ("train", train)):
        if path is not None:
            return f"{FUNCTIONS[key]}{path}"
    named = [key for key in (*FUNCTIONS, "trainable") if key in data]
    if len(named) > 1:
        mistakes.append(Mistake((named[0],), "and {0} exclude each other", others=((named[1],),)))
    if not named or named[0] == "trainable":
        return None
    if not isinstance(data[named[0]], str):
        mistakes.append(Mistake((named[0],), "must be package.module:function", data[named[0]]))
        return None
    return f"{FUNCTIONS[named[0]]}{data[named[0]]}"


def _apply_set(values: dict[str, Any], changes: object, mistakes: list[Mistake]) -> None:
    """Make the changes that the data's ``set`` names, if there is a space to make them in."""
    if not isinstance(changes, Mapping):
        mistakes.append(Mistake(("set",), "must be a mapping of parameters to changes", changes))
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
        mistakes += placed(error.mistakes, "set")
