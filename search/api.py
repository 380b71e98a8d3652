"""Lanewise from Python: declare a study, run it, look at what it found.

``from search import declare, load, load_model, run`` (and ``Study``, ``UsageError`` ...); a space is built with
``spaces``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from search.declaration import declare_study
from search.declaration.backbone import settled_study
from search.declaration.mistakes import usage_error
from search.declaration.study import Study, differences
from search.drive.engine import conduct
from search.drive.engine import resume as go_on
from search.drive.examples import load_data
from search.drive.lookup import read_result
from search.drive.preflight import fresh_name, obstacles
from search.drive.result import Ending, Result
from search.errors import UsageError
from search.executors.progress import View
from search.face.live_view import make_view
from search.face.present import make_console
from search.ledger import Ledger
from search.ledger.paths import Paths
from search.report.answer import Answer
from search.report.leaderboard import leaderboard
from search.tracking.preflight import check_tracking
from search.tracking.process import OTHERWISE
from spaces import Space
from trainables.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from trainables.kept_model import KeptModel

HOME = "lanewise-home"


@dataclasses.dataclass(frozen=True)
class StudyResult:
    """The findings of a study; the frames are read from its ledger when they are first looked at.

    Attributes:
        study: the declaration, with its name.
        answer: the best trials beside the baseline, how all trials ended, what early stopping saved.
        ending: ``done``, ``interrupted`` (Ctrl-C), ``failed`` or ``running``.
        untracked: why MLflow does not have everything, or None.
        paths: where everything of the study lies.
    """

    study: Study
    answer: Answer
    ending: Ending
    untracked: str | None
    paths: Paths

    @property
    def best(self) -> dict[str, Any]:
        """The parameters of the best trial; empty if no trial reported a finite value."""
        return {} if self.answer.best is None else dict(self.answer.best.params)

    @property
    def ledger(self) -> str:
        """The SQLite file of everything, or the database's URL without its password."""
        return self.paths.ledger

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row a trial: number, state, stop_reason, params, a ``params_<name>`` column each, seed, times."""
        return self._read(Ledger.trials_frame)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row an epoch of a trial: number, epoch, seconds and a column a metric."""
        return self._read(Ledger.epochs_frame)

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """The trials that reported a finite value, best first: rank, number, value, epoch, params ..."""
        return leaderboard(self.trials, self.epochs, self.study.objective)

    def _read(self, frame: Callable[[Ledger, int], pd.DataFrame]) -> pd.DataFrame:
        with Ledger(self.paths.ledger_url) as facts:
            return frame(facts, facts.study(self.study.name).id)


def declare(kind: str, *, model: str | Callable[..., Any] | None = None, **fields: Any) -> Study:
    """Declare a study, as a YAML file does.

    Args:
        kind: a registered study's, which is then changed by ``fields``; or a word of your own, which needs ``space``.
        model: your own model: ``package.module:function``, or that function.
        fields: ``Study``'s, as its classes or as plain data: ``budget={"trials": 16}`` changes that field alone,
            ``space=`` and ``settings=`` replace the whole. ``set={"dropout": {"high": 0.3}, "schedule": "cosine"}``
            changes single parameters and settings.

    Raises:
        UsageError: everything that is wrong; ``errors`` has a line each.
    """
    path = None if model is None else _path_of(model)
    data = {name: _plain(value, name) for name, value in fields.items()}
    declared = declare_study(data, kind=kind, model=path)
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
        view: True shows the search as the command does; False is silent.

    Raises:
        UsageError: it cannot begin here, or it was recorded with another declaration.
        RunError: it could not go on; what was recorded stays.
    """
    folder = Path(home)
    if resume and not study.name:
        raise UsageError("resume=True needs a study with a name: declare(..., name='mine')")
    study = study if study.name else study.model_copy(update={"name": fresh_name(study.kind, folder)})
    paths = Paths(folder, study.name, study.ledger)
    shown = make_view(make_console(), metric=study.objective.metric, silent=not view)
    shown = shown if isinstance(view, bool) else view
    if resume and paths.folder.exists():
        recorded, _ = read_result(paths)
        if changed := differences(recorded, study):
            raise UsageError([f"{study.name} was recorded with another declaration: {line}" for line in changed])
        _, result = go_on(paths, view=shown, load=load_data)
        return _result(study, result, paths)
    if errors := obstacles(study, folder):
        raise usage_error(errors)
    check_tracking(study, paths, shown.say, otherwise=OTHERWISE)
    return _result(study, conduct(study, folder, load_data, view=shown), paths)


def load(name: str, *, home: str | Path = HOME) -> StudyResult:
    """Return what a recorded study found until now.

    Raises:
        UsageError: no study of that name in the home; the nearest is suggested.
    """
    paths = Paths(Path(home), name)
    study, result = read_result(paths)
    return _result(study, result, paths)


def load_model(of: str | Path, *, home: str | Path = HOME) -> KeptModel:
    """Return a model that a search kept, with its preprocessing, on CPU and in evaluation mode.

    ``predict`` and ``predict_proba`` take raw examples, as the search's data had them: rows of the table, image files.

    Args:
        of: a ``best.pt``, whose path the search prints (the rest of the study may be gone); or a study's name, for the
            model of its best trial.
        home: folder of all studies, where a name is given.

    Raises:
        UsageError: no such file or study, none kept of the best trial, or the file cannot be used; a line says why.
    """
    from trainables import best

    try:
        return best.load_model(_kept_file(of, Path(home)))
    except (CheckpointError, ConfigError) as error:
        raise UsageError(getattr(error, "errors", [str(error)])) from None


def _kept_file(of: str | Path, home: Path) -> Path:
    """Return the file that is meant by its path or by a study's name."""
    if isinstance(of, Path) or Path(of).is_file() or Path(of).suffix == ".pt":
        return Path(of)
    paths = Paths(home, of)
    study, result = read_result(paths)
    found = result.answer.best
    if found is None:
        raise UsageError(f"{study.name}: no trial reported a finite {study.objective.metric} yet")
    if result.kept.best_model is None:
        why = result.kept.why_not or f"--keep-checkpoints was {study.keep_checkpoints}"
        raise UsageError(f"{study.name}: the model of its best trial ({found.trial}, {found.state}) is not kept; {why}")
    return result.kept.best_model


def _result(study: Study, result: Result, paths: Paths) -> StudyResult:
    return StudyResult(study, result.answer, result.ending, result.untracked, paths)


def _path_of(model: str | Callable[..., Any]) -> str:
    """Return ``package.module:function``, by which another process can find a model function."""
    if isinstance(model, str):
        return model
    module, name = getattr(model, "__module__", None), getattr(model, "__qualname__", "")
    if not module or not name or "<" in name:
        raise UsageError(f"model {model!r}: another process must be able to import it; give a function of a module")
    if module == "__main__":
        raise UsageError(
            f"model {name}: another process must be able to import it, and this one is in the script itself; "
            "move it into a module beside the script"
        )
    return f"{module}:{name}"


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
    raise UsageError(f"{name}: a {type(value).__name__} is no plain data, got {value!r}")
