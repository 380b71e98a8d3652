"""What a person takes from a study's run in MLflow, logged to it: the report as a page, and the recommended model."""

from __future__ import annotations

import logging
from pathlib import Path

from search.tracking.handover_folder import PAGE, HandedOn, read_about, read_example
from search.tracking.mlflow_client import MlflowClient, RunTag
from search.tracking.model_folder import ModelFolder
from search.tracking.registered_model import log_folder
from search.tracking.store import Say
from search.tracking.study_runs import logged_model_of
from trainables.errors import first_line

MODEL = "lanewise.model"
"""The tag that says which model a study's run has."""
MODEL_ID = "lanewise.model_id"
"""The tag that holds the id of that model."""

log = logging.getLogger("lanewise.tracking")


def log_handed_on(client: MlflowClient, run_id: str, folder: Path, *, name: str, say: Say) -> None:
    """Log a page and a model to a study's run; whatever goes wrong there is said and no more, as all else was sent.

    Args:
        client: speaks to the store.
        run_id: the study's run; what it has already is replaced where it is another now.
        folder: what ``write_about`` wrote.
        name: the study's.
        say: is told what is not there, and why.
    """
    try:
        about = read_about(folder)
        for line in about.missing:
            say(line)
        if (folder / PAGE).is_file():
            client.log_artifact(run_id, str(folder / PAGE))
        if about.model is not None and client.get_run(run_id).data.tags.get(MODEL) != about.model:
            _log_model(client, run_id, folder, about)
    except Exception as error:  # of MLflow, of a server, of a disk
        log.exception("the report and the model of %s", name)
        say(f"the report or the model of {name} is not in its MLflow run: {type(error).__name__}: {first_line(error)}")


def _log_model(client: MlflowClient, run_id: str, folder: Path, about: HandedOn) -> None:
    tags = [RunTag(MODEL, str(about.model))]
    if about.state is not None:
        client.log_artifact(run_id, about.state, "model")
    else:
        before = client.get_run(run_id).data.tags.get(MODEL_ID)
        example, answer = read_example(folder)
        model = ModelFolder(folder / str(about.folder), about.loader, example, answer)
        model_id = log_folder(client, run_id, model)
        tags.append(RunTag(MODEL_ID, model_id))
        if before is not None and not _is_registered(client, run_id, before):
            client.delete_logged_model(before)
    client.log_batch(run_id, tags=tags)


def _is_registered(client: MlflowClient, run_id: str, model_id: str) -> bool:
    """Say whether somebody made a version of a registered model of it, which would be lost with it."""
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    return any(logged_model_of(version) == model_id for version in versions)
