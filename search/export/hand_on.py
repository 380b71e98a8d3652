"""What a study's run in MLflow is given at the end, made where torch is at hand: a page, and the recommended model."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from typing import Any

from search.declaration.study import Study
from search.drive.report import read_material
from search.drive.report_file import content
from search.drive.result import Result
from search.errors import UserError
from search.export.export import export_model, model_folder
from search.export.folder import read_export
from search.ledger.paths import Paths
from search.tracking.handover_folder import PAGE, HandedOn, write_about
from trainables.checkpoint_store import CheckpointStore
from trainables.errors import first_line
from trainables.registry import is_train_function
from trainables.stage import stage

log = logging.getLogger("lanewise.tracking")

MOST_TRIALS = 2000
"""A page of more trials takes longer than a search should wait for; ``search report`` writes it."""
MOST_MB = 1000.0
"""A larger model is not copied unasked; ``search export --register`` does that."""


def hand_on_searched(paths: Paths, study: Study, result: Result) -> None:
    """Do as ``hand_on`` does for a search that has just ended, where its runs go to MLflow.

    Where a signal ended it nothing is made, as it is to end soon: a resume, or ``search sync``, does that later.
    """
    if study.tracking.enabled and not result.exit_code:
        hand_on(paths, study, result)


def hand_on(paths: Paths, study: Study, result: Result) -> None:
    """Write the report and the recommended model of a study for its run in MLflow, into a folder of the study.

    Whatever goes wrong is a line in that folder, which is said where MLflow is given the rest: of the search itself
    nothing is lost.

    Args:
        paths: of the study.
        study: its declaration.
        result: what it found, which is not worked out again.
    """
    folder = paths.handed_on
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with stage(f"writing the report and the model of {paths.name} for MLflow"):
            missing: list[str] = []
            _try("the report", paths, missing, lambda: _page(paths, result))
            found = _try("the model", paths, missing, lambda: _model(paths, study, result)) or {}
            about, given = HandedOn(missing=tuple(missing), **found.get("about", {})), found.get("given", {})
            write_about(folder, about, **given)
    except OSError as error:  # a full disk: what MLflow lacks then, `search sync` gives it later
        log.warning("%s: %s", folder, error)
        shutil.rmtree(folder, ignore_errors=True)


def _try(what: str, paths: Paths, missing: list[str], make: Callable[[], Any]) -> Any:
    """Return what ``make`` does; None, with a line in ``missing``, where it fails."""
    try:
        return make()
    except UserError as error:
        why = error.errors[0]
    except Exception as error:  # of a user's own model: it was trained, and need not load here
        log.debug("%s of %s", what, paths.name, exc_info=True)
        why = f"{type(error).__name__}: {first_line(error)}"
    missing.append(f"{what} of {paths.name} is not in its MLflow run: {why}")
    return None


def _page(paths: Paths, result: Result) -> None:
    if result.answer.trials <= MOST_TRIALS:
        (paths.handed_on / PAGE).write_bytes(content(read_material(paths, found=result.answer), "html"))


def _model(paths: Paths, study: Study, result: Result) -> dict[str, Any]:
    """Write the model, and return what is to be said of it."""
    if not study.keep_checkpoints or result.answer.best is None:
        return {}
    if is_train_function(study.trainable):
        return _state(paths, result)
    export = paths.handed_on / _model_name(paths.name)
    config = export_model(paths, export, found=(study, result)).config
    weights = config["weights"]
    if (size := (export / weights).stat().st_size / 1e6) > MOST_MB:
        raise UserError(f"it takes {size:,.0f} MB; python -m search export --register NAME logs it")
    model = model_folder(export, read_export(export))
    known = f"trial {config['trial']}, {config['why']}; sha256 {config['files'][weights][:16]}"
    about = {"model": known, "folder": export.name, "loader": model.loader}
    return {"about": about, "given": {"example": model.example, "answer": model.answer}}


def _state(paths: Paths, result: Result) -> dict[str, Any]:
    """Return what is to be said of what a training function gave to ``trial.keep``, at its best epoch."""
    found, best = result.answer.confirmation, result.answer.best
    assert best is not None
    file = CheckpointStore(paths.checkpoints).best_path(best.trial if found is None else found.recommended)
    if not file.is_file():
        return {}
    known = f"{file.parent.name}: what its function kept at its best epoch"
    return {"about": {"model": known, "state": str(file)}}


def _model_name(study: str) -> str:
    """Return a name that MLflow takes for a model."""
    return "".join("-" if c in "/:.%\"'" else c for c in study)
