"""The experiment of a study's kind: found, restored or made."""

from __future__ import annotations

from pathlib import Path

from search.tracking.mlflow_client import MlflowClient, MlflowException
from search.tracking.store import Say

DELETED = "deleted"
"""MLflow's word for an experiment or a run in its bin."""


def open_experiment(client: MlflowClient, kind: str, *, artifacts: Path | None, say: Say) -> str:
    """Return the id of the experiment called ``kind``; one that somebody deleted is restored, with its runs.

    Args:
        client: speaks to the store.
        kind: the study's.
        artifacts: folder for the artifacts of a local store; None leaves the choice to the server.
        say: is told what was restored.
    """
    found = client.get_experiment_by_name(kind)
    if found is None:
        location = artifacts.absolute().as_uri() if artifacts else None
        tags = {"mlflow.experimentKind": "custom_model_development"}  # its pages open on training runs
        try:
            return str(client.create_experiment(kind, artifact_location=location, tags=tags))
        except MlflowException:
            found = client.get_experiment_by_name(kind)  # another search of the kind may have been faster
            if found is None:
                raise
    if found.lifecycle_stage == DELETED:
        client.restore_experiment(found.experiment_id)
        say(f"restored the experiment {kind}, which had been deleted in MLflow")
    return str(found.experiment_id)
