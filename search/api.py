"""Lanewise from Python: declare a study, run it, look at what it found.

``from search import declare, load, load_model, run`` (and ``Study``, ``UsageError`` ...); a space is built with
``spaces``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from search.declaration import declare_study
from search.declaration.backbone import settled_study
from search.declaration.held_data import held_fields, held_file
from search.declaration.held_objects import described
from search.declaration.mistakes import usage_error
from search.declaration.own_data import data_of_text
from search.declaration.study import Study, differences
from search.drive.compare import compare_studies
from search.drive.engine import conduct
from search.drive.engine import resume as go_on
from search.drive.examples import load_data
from search.drive.kept_data import keeping_data, read_as_recorded, with_kept_data
from search.drive.lookup import read_result
from search.drive.preflight import fresh_name, obstacles
from search.drive.result import Result
from search.drive.warm_start import warm_started
from search.errors import UsageError
from search.executors.progress import View
from search.export.hand_on import hand_on_searched
from search.export.load import load_model as load_model
from search.export.results import StudyComparison, StudyResult
from search.face.live_view import make_view
from search.face.present import make_console
from search.ledger.paths import Paths
from search.signs.life import living
from search.tracking.preflight import check_tracking
from search.tracking.process import OTHERWISE
from spaces import Space
from trainables.data import DataSpec
from trainables.errors import ConfigError
from trainables.model_function import path_of_function

if TYPE_CHECKING:
    pass

HOME = "lanewise-home"

NOT_GIVEN: Any = object()
"""The data of a study that is declared without any; None is a mistake of the program that gives it."""


def declare(
    kind: str,
    *,
    model: str | Callable[..., Any] | None = None,
    train: str | Callable[..., Any] | None = None,
    data: Any = NOT_GIVEN,
    target: str | None = None,
    **fields: Any,
) -> Study:
    """Declare a study, as a YAML file does.

    Args:
        kind: a registered study's, which is then changed by ``fields``; or a word of your own, which needs ``space``.
        model: your own model: ``package.module:function``, or that function, also one of this script or notebook; a
            search of such a one is resumed from here alone.
        train: your own training loop, likewise; it is called with a ``Trial``, and needs no ``data``.
        data: what is learned from: a data set's name, a path, ``DataSpec`` or a mapping of its fields; or what the
            program holds: a pandas frame with ``target``, ``(x, y)`` or ``(x_train, y_train, x_val, y_val)`` and maybe
            ``x_test, y_test`` as arrays or tensors, a torch dataset or one for each part, a scikit-learn bunch. What is
            held is written into the study's folder when it is run, so that other processes and a resume have it.
        target: the column of a frame or a table that is predicted.
        fields: ``Study``'s, as its classes or as plain data: ``budget={"trials": 16}`` changes that field alone,
            ``space=`` and ``settings=`` replace the whole. ``warm_start="mine:5"``, or a ``StudyResult``, trains the
            best configurations of an earlier study first. ``set={"dropout": {"high": 0.3}, "schedule": "cosine"}``
            changes single parameters and settings.

    Raises:
        UsageError: everything that is wrong; ``errors`` has a line each.

    Examples:
        >>> from search import declare
        >>> study = declare("regularization", budget={"trials": 8}, set={"dropout": {"high": 0.3}})
        >>> study.budget.trials, study.space["dropout"].distribution.high
        (8, 0.3)
    """
    path = None if model is None else _path_of(model, "model")
    loop = None if train is None else _path_of(train, "train")
    if isinstance(warm := fields.get("warm_start"), StudyResult):
        fields["warm_start"] = warm.study.name if warm.paths.database is not None else str(warm.paths.folder)
    plain = {name: _plain(value, name) for name, value in fields.items()}
    if data is not NOT_GIVEN or target is not None:
        plain["data"] = _data(data, target)
    declared = declare_study(plain, kind=kind, model=path, train=loop)
    if declared.mistakes or declared.study is None:
        raise usage_error(declared.mistakes)
    return settled_study(declared.study, sized=declared.sized)


def run(study: Study, *, home: str | Path = HOME, resume: bool = False, view: bool | View = False) -> StudyResult:
    """Search, and return what was found.

    Ctrl-C ends the search cleanly, and the result says ``interrupted``; a second one ends the process.

    Args:
        study: what ``declare`` or ``Study`` returned. Without a name it is given one: its kind and the time.
        home: folder of all studies; everything of this one is in ``home/name``.
        resume: go on with the study of this name where it ended, if it is there already.
        view: True shows the search as the command does, until its answer, which is the result's; False is silent.

    Raises:
        UsageError: it cannot begin here, or it was recorded with another declaration.
        RunError: it could not go on; what was recorded stays.

    Examples:
        >>> from search import declare, run
        >>> short = {"budget": {"trials": 4, "max_epochs": 4}, "confirm": {"pairs": 0}, "tracking": {"enabled": False}}
        >>> result = run(declare("regularization", name="demo", data="wine", **short))
        >>> str(result.ending), len(result.trials)
        ('done', 4)
    """
    if not isinstance(study, Study):
        raise UsageError(
            f"run takes what declare returned, got {described(study)}: run(declare('regularization', ...))"
        )
    folder = Path(home)
    if resume and not study.name:
        raise UsageError("resume=True needs a study with a name: declare(..., name='mine')")
    study = study if study.name else study.model_copy(update={"name": fresh_name(study.kind, folder)})
    paths = Paths(folder, study.name, study.ledger)
    handing_on = partial(hand_on_searched, paths)
    shown = make_view(make_console(), metric=study.objective.metric, silent=not view)
    shown = shown if isinstance(view, bool) else view
    continues = resume and paths.folder.exists()
    study = read_as_recorded(study, paths) if continues else study
    held = held_file(study.data.path)
    if continues:
        recorded, _ = read_result(paths)
        study = study if held is None else with_kept_data(study, held, paths)
        study, _ = warm_started(study, folder, resumes=True)
        if changed := differences(recorded, study):
            raise UsageError([f"{study.name} was recorded with another declaration: {line}" for line in changed])
        with living(bool(view)):
            _, result = go_on(paths, view=shown, load=load_data, announce=handing_on)
        return _result(study, result, paths)
    study, unseated = warm_started(study, folder)
    if errors := [*unseated, *obstacles(study, folder)]:
        raise usage_error(errors)
    check_tracking(study, paths, shown.say, otherwise=OTHERWISE)
    with living(bool(view)), keeping_data(study, held, paths, shown.say) as study:
        return _result(study, conduct(study, folder, load_data, view=shown, announce=handing_on), paths)


def load(name: str, *, home: str | Path = HOME) -> StudyResult:
    """Return what a recorded study found until now.

    Raises:
        UsageError: no study of that name in the home; the nearest is suggested.

    Examples:
        >>> from search import load
        >>> load("demo").leaderboard["rank"].tolist()
        [1, 2, 3, 4]
    """
    paths = Paths(Path(home), name)
    study, result = read_result(paths)
    return _result(study, result, paths)


def compare(*studies: str | StudyResult, home: str | Path = HOME) -> StudyComparison:
    """Compare recorded studies on the same examples with the same objective.

    Args:
        studies: two or more: names in the home, paths of their folders, or results.
        home: folder of the studies that are given by name.

    Raises:
        UsageError: one is not there or has no finished trial, or why they cannot be compared, a line each.
    """
    names = [str(s.paths.folder) if isinstance(s, StudyResult) else s for s in studies]
    return StudyComparison(compare_studies(names, Path(home)))


def _result(study: Study, result: Result, paths: Paths) -> StudyResult:
    return StudyResult(study, result.answer, result.ending, result.untracked, paths)


def _path_of(function: str | Callable[..., Any], kind: str) -> str:
    """Return ``package.module:function``, by which another process finds a function; see ``path_of_function``."""
    if isinstance(function, str):
        return function
    try:
        return path_of_function(function, kind=kind)
    except ConfigError as error:
        raise UsageError(error.errors) from None


def _data(data: Any, target: str | None) -> Any:
    """Return what ``declare`` was given as data, as a YAML file would have it."""
    if isinstance(data, DataSpec | BaseModel):
        data = _plain(data, "data")
    if data is NOT_GIVEN:
        return {"target": target}
    fields = held_fields(data, target)
    if "text" in fields:
        text = fields["text"]
        return text if target is None else {**data_of_text(text), "target": target}
    return _plain({"target": target, **fields} if target is not None else fields, "data")


def _plain(value: Any, name: str) -> Any:
    """Return a value as plain data, as a YAML file would have it."""
    if isinstance(value, Space):
        return value.to_dict()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value), name)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, name) for inner in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    raise UsageError(f"{name}: a {type(value).__name__} is no plain data, got {described(value)}")
