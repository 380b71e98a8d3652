"""From command-line options to a declared study: every mistake at once, in the words of the options."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from search.declaration import backbone
from search.declaration.from_yaml import read_space_study, read_study
from search.declaration.options import Options, flag_of, table
from search.declaration.own_data import declared_data
from search.declaration.rungs import first_rung, lower_grace
from search.declaration.studies import find, registered
from search.declaration.study import NAME, Objective, Study
from search.declaration.text_file import read_text_file
from search.declaration.validate import valid_study
from search.errors import UsageError
from spaces import Space, SpaceError, Value, apply_overrides, merge_changes, parse_assignments, read_overrides
from trainables.data import DataSpec
from trainables.data.spec import NO_DATA, path_errors
from trainables.mistake import Mistake, sentence
from trainables.registry import TRAIN_FUNCTION_PREFIX, USER_MODEL_PREFIX

T = TypeVar("T")

OFFLINE = "offline"
"""The word for ``--tracking`` with which nothing is sent."""


def declare_from_options(options: Options) -> tuple[Study | None, list[str]]:
    """Return the study that ``options`` declare, None where they declare none, and what is wrong, a line each.

    Neither the machine nor the home is looked at. The study's name is empty where none was given.

    Raises:
        UsageError: neither a study nor a file was named, or the file cannot be read at all.
    """
    errors: list[str] = []
    declared, presets, sized = _start(options, errors)
    if options.train is not None and options.model is not None:
        errors.append("--train and --model exclude each other: a training function makes its own model")
    transfers = backbone.transfers(declared) and options.model is None and options.train is None
    if options.train is not None and options.config is None:
        declared = declared.model_copy(update={"data": DataSpec(NO_DATA, source=NO_DATA)})
    data = _collect(lambda: declared_data(declared.data, options, any_size=transfers), errors)
    if data is not None:
        errors += path_errors(data)
    space, settings = _overridden(declared, data or declared.data, presets, options, errors)
    if transfers and data is not None:
        settings = backbone.settled(data, settings)
        data = backbone.fitting(data, settings, sized=sized)
    values: dict[str, Any] = {
        **declared.model_dump(),
        "data": dataclasses.asdict(data or declared.data),
        "space": space,
        "settings": settings,
    }
    if options.train is not None:
        values["trainable"] = f"{TRAIN_FUNCTION_PREFIX}{options.train}"
    elif options.model is not None:
        values["trainable"] = f"{USER_MODEL_PREFIX}{options.model}"
    _set_objectives(values, options, errors)
    _set_tracking(values, options)
    _set_plain_fields(values, options, errors)
    if options.no_confirm:
        values["confirm"]["pairs"] = 0
    if options.no_ablate:
        values["confirm"]["ablate"] = False
    if options.max_epochs is not None and options.grace is None:
        lower_grace(values)
    if options.scheduler is not None and options.grace is None:
        first_rung(values)
    study = _collect(lambda: valid_study(values), errors)
    return study, errors + _resume_errors(options)


def _start(options: Options, errors: list[str]) -> tuple[Study, bool, bool]:
    """Return the study to start from, whether a data set's preset belongs to it, and whether the user sized images."""
    sized = options.image_size is not None
    if options.config is None:
        if options.kind is None and options.train is not None:
            return _start_from_space(options, options.train, errors), False, sized
        if options.kind is None:
            raise UsageError("name a STUDY, or a file with --config FILE; `python -m search list` shows the studies")
        return find(options.kind), True, sized
    declared, wrong = read_study(options.config, kind=options.kind, model=options.model, train=options.train)
    errors += wrong
    if declared.study is None:
        raise UsageError(errors)
    presets = options.dataset is not None or options.data is not None or not declared.own_settings
    return declared.study, presets, sized or declared.sized


def _start_from_space(options: Options, train: str, errors: list[str]) -> Study:
    """Return the study of a training function whose space is a file."""
    if options.space is None:
        raise UsageError("--train needs a space: --space FILE is the whole of it, or name a STUDY or a --config FILE")
    declared, wrong = read_space_study(options.space, kind=_kind_of(train), train=train)
    errors += wrong
    if declared.study is None:
        raise UsageError(errors)
    return declared.study


def _kind_of(train: str) -> str:
    """Return what the study of a training function is called: after its module, unless a registered study is."""
    module = train.partition(":")[0].rpartition(".")[2]
    kind = module if NAME.fullmatch(module) else "train"
    return f"{kind}-train" if kind in registered() else kind


def _set_plain_fields(values: dict[str, Any], options: Options, errors: list[str]) -> None:
    """Put what was typed into the fields that the table names for it."""
    for name, entry in table().items():
        given = getattr(options, name)
        if not entry.sets or given is None or given == ():
            continue
        if entry.read is not None:
            given = _collect(partial(entry.read, given), errors)
            if given is None:
                continue
        *parts, field = entry.sets.split(".")
        inside = values
        for part in parts:
            inside = inside[part]
        inside[field] = tuple(given) if isinstance(given, list) else given


def _set_objectives(values: dict[str, Any], options: Options, errors: list[str]) -> None:
    given = [_collect(partial(Objective.parse, text), errors) for text in options.objective]
    found = [objective.model_dump(exclude_unset=True) for objective in given if objective is not None]
    if found:
        values["objective"], values["further"] = found[0], tuple(found[1:])


def _set_tracking(values: dict[str, Any], options: Options) -> None:
    if options.tracking is None:
        values["tracking"]["untracked_ok"] |= options.untracked_ok
    elif options.tracking == OFFLINE:
        values["tracking"] = {"uri": None, "enabled": False, "untracked_ok": options.untracked_ok}
    else:
        values["tracking"] = {"uri": options.tracking, "enabled": True, "untracked_ok": options.untracked_ok}


def _overridden(
    declared: Study, data: DataSpec, presets: bool, options: Options, errors: list[str]
) -> tuple[Space, dict[str, Value]]:
    is_whole = options.train is not None and options.kind is None and options.config is None
    in_file = {} if is_whole else _collect(partial(_changes_in, options.space), errors) or {}
    readable = [text for text in options.set_ if _collect(partial(parse_assignments, [text]), errors)]
    preset = declared.presets.get(data.name, {}) if presets and data.source == "named" else {}
    space = declared.space
    settings = {**declared.settings, **{name: v for name, v in preset.items() if name in declared.settings}}
    narrowed = parse_assignments([f"{name}={v}" for name, v in preset.items() if name not in declared.settings])
    chosen, ranges = _collect(partial(backbone.chosen, declared, options), errors) or ({}, {})
    settings |= chosen
    narrowed = merge_changes(narrowed, ranges)
    # what the file declares anew comes first, so that --set can change its range as that of any other
    anew = {name: change for name, change in in_file.items() if isinstance(change, Mapping) and "type" in change}
    rest = {name: change for name, change in in_file.items() if name not in anew}
    for changes in (anew, merge_changes(merge_changes(narrowed, rest), parse_assignments(readable))):
        changed = _collect(partial(apply_overrides, space, settings, changes), errors)
        space, settings = changed or (space, settings)
    return space, settings


def _changes_in(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    return read_overrides(read_text_file(file, "--space"), source=f"--space {file}")


def _resume_errors(options: Options) -> list[str]:
    errors = []
    if options.resume and options.name is None:
        errors.append("--resume needs --name NAME: the study to continue, or to start where there is none")
    if options.accept_changed_model and not options.resume:
        errors.append("--accept-changed-model is for --resume: a new study has no other model yet")
    return errors


def in_options(mistakes: Iterable[Mistake]) -> list[str]:
    """Return a line for each mistake, which names the option that a user typed."""
    return [sentence(mistake, flag_of) for mistake in mistakes]


def _collect(build: Callable[[], T], errors: list[str]) -> T | None:
    try:
        return build()
    except UsageError as error:
        errors += in_options(error.mistakes) if error.mistakes else error.errors
    except SpaceError as error:
        errors += error.errors
    return None
