"""A study's model as a folder that stands alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.drive.lookup import open_ledger, read_result
from search.drive.result import Result
from search.drive.versions import versions
from search.errors import RunError
from search.export.chosen import Chosen, choose, kept_state
from search.export.folder import ONNX, read_config, refuse_taken, write_export
from search.ledger.paths import Paths
from trainables.errors import CheckpointError
from trainables.stage import stage

if TYPE_CHECKING:
    from search.tracking.model_folder import ModelFolder
    from trainables.kept_model import KeptModel


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        config: what its ``config.json`` says.
        chosen: which trial, and why it.
        registered: where MLflow has it, in words; None where that was not asked for.
        can_refit: whether a model can be trained on train and validation together.
    """

    folder: Path
    config: dict[str, Any]
    chosen: Chosen
    registered: str | None = None
    can_refit: bool = True


def export_model(
    paths: Paths,
    folder: Path,
    *,
    trial: int | None = None,
    refit: bool = False,
    onnx: bool = False,
    register: str | None = None,
    say: Callable[[str], None] = lambda line: None,
    found: tuple[Study, Result] | None = None,
) -> Exported:
    """Write a model of a study, with its preprocessing and all that is known of it, as a folder.

    Args:
        paths: of the study.
        folder: where; must not be there.
        trial: which trial's; None for the one that the confirmation recommends, else the best.
        refit: train the configuration on train + validation, in place of the model that the search kept.
        onnx: write ``model.onnx`` too, see ``search.export.onnx_file``.
        register: the name under which MLflow registers it too.
        say: prints one line for the user.
        found: the study and what it found, where that was read already.

    Raises:
        UsageError: no such study or trial, its model is not kept, or the folder is there.
        RunError: it cannot be written, trained or registered; nothing is left behind.
    """
    refuse_taken(folder)
    study, result = read_result(paths) if found is None else found
    chosen = choose(paths, study, result, trial)
    refitted: dict[str, Any] | None = None
    if onnx:
        from search.export.onnx_file import check_installed

        check_installed()
    try:
        if refit:
            from search.export.refit import refit_state, refuse_refit

            refuse_refit(study)
            say(f"training trial {chosen.trial} on the training and the validation part ...")
            state, refitted = refit_state(paths, study, chosen)
        else:
            state = kept_state(paths, study, chosen)
    except CheckpointError as error:
        raise RunError(str(error)) from None
    state = {**state, **_divided(state, chosen)}
    about = _about(paths, study, result, chosen, state, refitted)
    registered: list[str] = []

    def write_onnx_too(made: Path, model: KeptModel) -> dict[str, Any]:
        if not onnx:
            return {}
        from search.export.onnx_file import write_onnx

        with stage(f"writing {ONNX}, and checking it beside torch"):
            return {"onnx": write_onnx(model, made / ONNX)}

    def register_too(made: Path, model: KeptModel) -> None:
        if register is not None:
            with stage(f"registering {register} with MLflow"):
                registered.append(_register(paths, study, made, model, register, say))

    write_export(folder, state, about, further=write_onnx_too, last=register_too)
    return Exported(folder, read_config(folder), chosen, next(iter(registered), None), study.data.can_refit)


def _divided(state: dict[str, Any], chosen: Chosen) -> dict[str, Any]:
    """Return the trial's own parameters, and apart from them what every trial of its study shares."""
    own = {name: value for name, value in state["params"].items() if name in chosen.params}
    return {"params": own, "settings": {name: v for name, v in state["params"].items() if name not in own}}


def _about(
    paths: Paths, study: Study, result: Result, chosen: Chosen, state: dict[str, Any], refitted: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what ``config.json`` tells a reader."""
    found = result.answer.confirmation
    standing = None if found is None else found.standing_of(chosen.trial)
    return {
        "study": study.name,
        "kind": study.kind,
        "question": study.question,
        "trial": chosen.trial,
        "why": chosen.why,
        "metric": study.objective.metric,
        "mode": study.objective.mode,
        "value": state["value"],
        "epoch": state["epoch"],
        "folds": study.data.folds,
        "metrics": state["metrics"],
        "refit": refitted,
        "confirmation": None
        if found is None
        else {
            "verdict": found.verdict,
            "sentence": found.sentence,
            "recommended": found.recommended,
            "pairs": found.pairs,
            "validation": standing.validation.mean if standing and standing.validation else None,
            "test": standing.test.mean if standing and standing.test else None,
        },
        "dataset": study.data.name,
        "target": study.data.target,
        "onnx": None,
        "versions": versions(),
    }


def model_folder(made: Path, model: KeptModel) -> ModelFolder:
    """Return what MLflow is told of an export."""
    from search.export.example import examples_of
    from search.tracking.model_folder import ModelFolder

    example = examples_of(model, 1)
    return ModelFolder(made, "search.export.pyfunc", example, model.predict_frame(example))


def _register(paths: Paths, study: Study, made: Path, model: KeptModel, name: str, say: Callable[[str], None]) -> str:
    """Register the folder with MLflow, and return where, in words."""
    from search.tracking.registered_model import register_folder

    with open_ledger(paths) as ledger:
        uid = ledger.study(paths.name).facts.uid
    return register_folder(paths, study, model_folder(made, model), uid=uid, name=name, say=say)
