"""From command-line options to a validated study: every error at once."""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from search.errors import UsageError
from search.executors.choice import choose_executor
from search.resources import home_errors, preflight
from search.studies import find
from search.study import Objective, Study, validated
from spaces import Space, SpaceError, Value, apply_overrides, merge_changes, parse_assignments, read_overrides
from trainables.data import Splits, load_splits
from trainables.errors import DataError

T = TypeVar("T")

OFFLINE = "offline"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True)
class Options:
    """What the user typed; None where nothing was, so that the study's own value stays."""

    kind: str
    name: str | None = None
    home: Path = Path("lanewise-home")
    trials: int | None = None
    max_epochs: int | None = None
    time_budget: str | None = None
    seed: int | None = None
    dataset: str | None = None
    data_dir: Path | None = None
    download: bool = False
    train_examples: int | None = None
    set_: Sequence[str] = ()
    space: Path | None = None
    objective: str | None = None
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
    ledger: str | None = None
    max_failures: int | None = None
    abort_after_failures: int | None = None
    trial_timeout: float | None = None


def resolve(options: Options) -> Study:
    """Return the study that ``options`` declare, checked against this machine and the home folder.

    Raises:
        UsageError: everything that is wrong, a line each.
    """
    declared = find(options.kind)
    errors: list[str] = []
    space, settings = _overridden(declared, options, errors)
    objective = _collect(lambda: _objective(options), errors) or declared.objective
    time_s = _collect(lambda: _time_budget(options), errors)
    lanes = _collect(lambda: _lanes(options.lanes), errors)
    changes: dict[str, Any] = {
        "name": options.name or _fresh_name(options.kind, options.home),
        "data": dataclasses.asdict(_data(declared, options)),
        "space": space,
        "settings": settings,
        "objective": objective.model_dump(),
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
        "tracking": _tracking(options),
        "ledger": options.ledger,
        "seed": declared.seed if options.seed is None else options.seed,
        "checkpoint_every_s": declared.checkpoint_every_s
        if options.checkpoint_every is None
        else options.checkpoint_every,
    }
    study = _collect(lambda: validated(lambda: Study.model_validate({**declared.model_dump(), **changes})), errors)
    errors += _name_errors(options)
    if study is None:
        errors += home_errors(options.home)
    else:
        chosen = study
        _collect(lambda: choose_executor(chosen), errors)
        errors += preflight(study, options.home)
    if errors or study is None:
        raise UsageError(errors)
    return study


def extended(
    study: Study, *, trials: int | None, max_epochs: int | None, time_budget: str | None, set_: Sequence[str]
) -> Study:
    """Return the study with more trials, longer ones, more time or another space.

    Args:
        study: as it is.
        trials: how many more.
        max_epochs: of the trials to come; in all, not more.
        time_budget: how much more.
        set_: changes of the space.

    Raises:
        UsageError: everything that is wrong, a line each.
    """
    errors: list[str] = []
    if trials is not None and trials < 1:
        errors.append(f"--trials must be >= 1 more, got {trials}")
    more_s = _collect(lambda: None if time_budget is None else parse_duration(time_budget), errors)
    try:
        space, settings = apply_overrides(study.space, study.settings, parse_assignments(set_))
        if settings != study.settings:
            errors.append("--set: settings that all trials share cannot change in a study; begin a new one")
    except SpaceError as error:
        space = study.space
        errors += error.errors
    budget = {
        "trials": study.budget.trials + max(0, trials or 0),
        "max_epochs": max_epochs or study.budget.max_epochs,
        "time_s": None if study.budget.time_s is None else study.budget.time_s + (more_s or 0),
    }
    if max_epochs is not None and max_epochs < study.budget.max_epochs:
        errors.append(f"--max-epochs {max_epochs} is below the {study.budget.max_epochs} of the study")
    changes = {"space": space, "budget": budget}
    after = _collect(lambda: validated(lambda: Study.model_validate({**study.model_dump(), **changes})), errors)
    if errors or after is None:
        raise UsageError(errors)
    return after


def load_data(study: Study) -> Splits:
    """Return the study's examples.

    Raises:
        UsageError: they are absent or unfit; the message names the path and the flag that helps.
    """
    try:
        return load_splits(study.data)
    except DataError as error:
        raise UsageError(str(error)) from None


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


def _overridden(declared: Study, options: Options, errors: list[str]) -> tuple[Space, dict[str, Value]]:
    in_file = _collect(partial(_changes_in, options.space), errors) or {}
    readable = [text for text in options.set_ if _collect(partial(parse_assignments, [text]), errors)]
    changes = merge_changes(in_file, parse_assignments(readable))
    settings = {**declared.settings, **declared.presets.get(options.dataset or declared.data.name, {})}
    return _collect(partial(apply_overrides, declared.space, settings, changes), errors) or (declared.space, settings)


def _changes_in(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--space {file}: cannot be read ({error})") from None
    return read_overrides(text, source=f"--space {file}")


def _objective(options: Options) -> Objective | None:
    return None if options.objective is None else Objective.parse(options.objective)


def _time_budget(options: Options) -> float | None:
    return None if options.time_budget is None else parse_duration(options.time_budget)


def _data(declared: Study, options: Options) -> Any:
    given: dict[str, Any] = {
        "name": options.dataset,
        "data_dir": None if options.data_dir is None else str(options.data_dir.absolute()),
        "download": options.download or None,
        "train_examples": options.train_examples,
    }
    return dataclasses.replace(declared.data, **{k: v for k, v in given.items() if v is not None})


def _lanes(text: str | None) -> int | str | None:
    if text is None or text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--lanes must be a whole number >= 1 or auto, got {text!r}")
    return int(text)


def _tracking(options: Options) -> dict[str, Any]:
    if options.tracking == OFFLINE:
        return {"uri": None, "enabled": False, "untracked_ok": options.untracked_ok}
    return {"uri": options.tracking, "enabled": True, "untracked_ok": options.untracked_ok}


def _given(part: Any, **values: Any) -> dict[str, Any]:
    """Return ``part`` as a dict, with the values that were given."""
    return {**part.model_dump(), **{k: v for k, v in values.items() if v is not None}}


def _name_errors(options: Options) -> list[str]:
    name = options.name
    if name is None:
        return []
    if not NAME.fullmatch(name):
        return [f"--name {name!r}: use letters, digits, '.', '_' and '-' only"]
    if os.path.exists(options.home / name):
        return [
            f"--name {name}: a study of this name exists in {options.home.absolute()}; "
            "choose another, or leave --name out"
        ]
    return []


def _fresh_name(kind: str, home: Path) -> str:
    """Return a name that no study in ``home`` has: the kind, the time, and some letters if need be."""
    name = f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    return name if not os.path.exists(home / name) else f"{name}-{secrets.token_hex(3)}"


def _collect(build: Callable[[], T], errors: list[str]) -> T | None:
    try:
        return build()
    except (UsageError, SpaceError) as error:
        errors += error.errors
        return None
