"""From command-line options to a declared study: every error at once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from search.declaration import backbone, read_study
from search.declaration.mistakes import validated
from search.declaration.own_data import declared_data
from search.declaration.studies import find
from search.declaration.study import Objective, Study
from search.errors import UsageError
from spaces import Space, SpaceError, Value, apply_overrides, merge_changes, parse_assignments, read_overrides
from trainables.data import DataSpec
from trainables.data.datasets import path_errors
from trainables.errors import ConfigError
from trainables.registry import USER_MODEL_PREFIX

T = TypeVar("T")

OFFLINE = "offline"
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True)
class Options:
    """What the user typed; None where nothing was, so that the study's own value stays."""

    kind: str | None = None
    config: Path | None = None
    model: str | None = None
    name: str | None = None
    home: Path = Path("lanewise-home")
    trials: int | None = None
    max_epochs: int | None = None
    time_budget: str | None = None
    seed: int | None = None
    dataset: str | None = None
    data: str | None = None
    target: str | None = None
    task: str | None = None
    drop: Sequence[str] = ()
    image_size: int | None = None
    data_dir: Path | None = None
    download: bool = False
    train_examples: int | None = None
    backbone: str | None = None
    weights: str | None = None
    source_data: str | None = None
    set_: Sequence[str] = ()
    space: Path | None = None
    objective: Sequence[str] = ()
    metric: Sequence[str] = ()
    sampler: str | None = None
    scheduler: str | None = None
    grace: int | None = None
    reduction_factor: int | None = None
    executor: str | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    cpus_per_worker: float | None = None
    gpus_per_worker: float | None = None
    lanes: str | None = None
    lane_mode: str | None = None
    precision: str | None = None
    workers: int | None = None
    address: str | None = None
    tracking: str | None = None
    untracked_ok: bool = False
    checkpoint_every: float | None = None
    keep_checkpoints: int | None = None
    ledger: str | None = None
    max_failures: int | None = None
    abort_after_failures: int | None = None
    trial_timeout: float | None = None
    resume: bool = False
    accept_changed_model: bool = False


def declare_from_options(options: Options) -> tuple[Study | None, list[str]]:
    """Return the study that ``options`` declare, None where they declare none, and what is wrong, a line each.

    Neither the machine nor the home is looked at. The study's name is empty where none was given.

    Raises:
        UsageError: neither a study nor a file was named, or the file cannot be read at all.
    """
    errors: list[str] = []
    declared, presets = _declared(options, errors)
    transfers = backbone.transfers(declared) and options.model is None
    data = _collect(lambda: declared_data(declared.data, options, any_size=transfers), errors)
    if data is not None:
        errors += path_errors(data)
    space, settings = _overridden(declared, data or declared.data, presets, options, errors)
    if transfers and data is not None:
        data = backbone.fitting(data, settings, sized=options.image_size is not None)
    given = [o for text in options.objective if (o := _collect(partial(Objective.parse, text), errors)) is not None]
    objectives = given or declared.objectives
    time_s = _collect(lambda: _time_budget(options), errors)
    lanes = _collect(lambda: _lanes(options.lanes), errors)
    changes: dict[str, Any] = {
        "name": options.name or declared.name,
        "trainable": declared.trainable if options.model is None else f"{USER_MODEL_PREFIX}{options.model}",
        "data": dataclasses.asdict(data or declared.data),
        "space": space,
        "settings": settings,
        "objective": objectives[0].model_dump(),
        "further": tuple(o.model_dump() for o in objectives[1:]),
        "metrics": tuple(options.metric) or declared.metrics,
        "budget": _given(declared.budget, trials=options.trials, max_epochs=options.max_epochs, time_s=time_s),
        "sampler": options.sampler or declared.sampler,
        "scheduler": _given(
            declared.scheduler,
            name=options.scheduler,
            grace=options.grace,
            reduction_factor=options.reduction_factor,
        ),
        "executor": options.executor or declared.executor,
        "resources": _given(
            declared.resources,
            cpus_per_trial=options.cpus_per_trial,
            gpus_per_trial=options.gpus_per_trial,
            cpus_per_worker=options.cpus_per_worker,
            gpus_per_worker=options.gpus_per_worker,
            workers=options.workers,
            address=options.address,
        ),
        "lanes": _given(declared.lanes, precision=options.precision, lanes=lanes, mode=options.lane_mode),
        "faults": _given(
            declared.faults,
            max_failures=options.max_failures,
            abort_after=options.abort_after_failures,
            trial_timeout_s=options.trial_timeout,
        ),
        "tracking": _tracking(declared, options),
        "ledger": options.ledger or declared.ledger,
        "seed": declared.seed if options.seed is None else options.seed,
        "checkpoint_every_s": declared.checkpoint_every_s
        if options.checkpoint_every is None
        else options.checkpoint_every,
        "keep_checkpoints": declared.keep_checkpoints if options.keep_checkpoints is None else options.keep_checkpoints,
    }
    study = _collect(lambda: validated(lambda: Study.model_validate({**declared.model_dump(), **changes})), errors)
    return study, errors + _resume_errors(options)


def parse_duration(text: str) -> float:
    """Read ``90``, ``90s``, ``10m``, ``1h30m`` as seconds.

    Raises:
        UsageError: anything else, or nothing.
    """
    match = DURATION.fullmatch(text.strip().lower())
    if not text.strip() or match is None:
        raise UsageError(f"--time-budget {text!r}: expected a duration such as 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _declared(options: Options, errors: list[str]) -> tuple[Study, bool]:
    """Return the study that the options start from, and whether a data set's preset belongs to it."""
    if options.config is None:
        if options.kind is None:
            raise UsageError("name a STUDY, or a file with --config FILE; `python -m search list` shows the studies")
        return find(options.kind), True
    declared, wrong = read_study(options.config, kind=options.kind, model=options.model)
    errors += wrong
    if declared.study is None:
        raise UsageError(errors)
    return declared.study, options.dataset is not None or options.data is not None or not declared.own_settings


def _overridden(
    declared: Study, data: DataSpec, presets: bool, options: Options, errors: list[str]
) -> tuple[Space, dict[str, Value]]:
    in_file = _collect(partial(_changes_in, options.space), errors) or {}
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
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--space {file}: cannot be read ({error})") from None
    return read_overrides(text, source=f"--space {file}")


def _time_budget(options: Options) -> float | None:
    return None if options.time_budget is None else parse_duration(options.time_budget)


def _lanes(text: str | None) -> int | str | None:
    if text is None or text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--lanes must be a whole number >= 1 or auto, got {text!r}")
    return int(text)


def _tracking(declared: Study, options: Options) -> dict[str, Any]:
    if options.tracking is None:
        untracked_ok = options.untracked_ok or declared.tracking.untracked_ok
        return {**declared.tracking.model_dump(), "untracked_ok": untracked_ok}
    if options.tracking == OFFLINE:
        return {"uri": None, "enabled": False, "untracked_ok": options.untracked_ok}
    return {"uri": options.tracking, "enabled": True, "untracked_ok": options.untracked_ok}


def _given(part: Any, **values: Any) -> dict[str, Any]:
    """Return ``part`` as a dict, with the values that were given."""
    return {**part.model_dump(), **{k: v for k, v in values.items() if v is not None}}


def _resume_errors(options: Options) -> list[str]:
    errors = []
    if options.resume and options.name is None:
        errors.append("--resume needs --name NAME: the study to continue, or to start where there is none")
    if options.accept_changed_model and not options.resume:
        errors.append("--accept-changed-model is for --resume: a new study has no other model yet")
    return errors


def _collect(build: Callable[[], T], errors: list[str]) -> T | None:
    try:
        return build()
    except (UsageError, SpaceError, ConfigError) as error:
        errors += error.errors
        return None
