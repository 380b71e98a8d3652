"""A folder that holds a model, logged to its study's run in MLflow and registered under a name."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.errors import RunError, UsageError
from search.ledger.paths import Paths
from search.ledger.printed_commands import sync_command
from search.tracking.mlflow_client import UNREACHABLE, MlflowClient, MlflowException
from search.tracking.model_folder import ModelFolder
from search.tracking.preflight import store_of
from search.tracking.process import UID, check_server
from search.tracking.store import open_store
from trainables.errors import first_line

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model

REQUIREMENTS = ("lanewise", "torch", "torchvision", "pandas", "scikit-learn", "skops", "safetensors")
"""What loading it takes; MLflow notes the versions that are installed here."""


def register_folder(
    paths: Paths, study: Study, model: ModelFolder, *, uid: str, name: str, say: Callable[[str], None]
) -> str:
    """Log a folder as a model of the study's parent run, register it, and return where it is, in words.

    Args:
        paths: of the study.
        study: says where its runs go.
        model: what is logged.
        uid: tells the study's runs from others.
        name: of the registered model; a new version of it is made where there is one.
        say: is told what was mended in MLflow.

    Raises:
        UsageError: MLflow refuses the name.
        RunError: the store does not answer, or has no run of the study.
    """
    if not name.strip() or "/" in name or ":" in name:
        raise UsageError(f"--register {name!r}: MLflow takes no model's name that is empty, or holds / or :")
    uri, artifacts = store_of(study, paths)
    check_server(uri, otherwise="export without --register")
    try:
        client, _ = open_store(uri, artifacts=artifacts, say=say)
        run = _parent_run(client, study, uid)
        if run is None:
            raise RunError(f"MLflow at {uri} has no run of {study.name}; send it with: {sync_command(paths)}")
        _make_room(client, name)
        model_id = log_folder(client, run.info.run_id, model)
        with _used_by_functions(client):  # the registry looks the model up by one
            made = client.create_model_version(name, f"models:/{model_id}", run_id=run.info.run_id, model_id=model_id)
    except UNREACHABLE as error:
        raise RunError(f"--register {name}: MLflow refused it: {first_line(error)}") from None
    return f"models:/{name}/{made.version} at {uri}, logged to the run of {study.name}"


def log_folder(client: MlflowClient, run_id: str, model: ModelFolder) -> str:
    """Log a folder as a model of a run, which may have ended and stays as it is; return the model's id.

    ``mlflow.models.Model.log`` does the same, and loads the model to try it, which takes torch here; it is tried where
    it is made.

    Args:
        client: speaks to the store.
        run_id: the run.
        model: what is logged, by the name of its folder.

    Raises:
        One of ``UNREACHABLE``: the store refused it, or cannot be reached.
    """
    experiment = client.get_run(run_id).info.experiment_id
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    made = client.create_logged_model(experiment, name=model.folder.name, source_run_id=run_id)
    with tempfile.TemporaryDirectory() as work, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow about its own types, and of integers that may be missing
        path = Path(work) / "model"
        _save(path, model, Model(made.artifact_location, run_id, model_uuid=made.model_id, model_id=made.model_id))
        client.log_model_artifacts(made.model_id, str(path))
    client.finalize_logged_model(made.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])
    return str(made.model_id)


@contextmanager
def _used_by_functions(client: MlflowClient) -> Iterator[None]:
    """While inside, the client's store is the one that MLflow's functions use, which know of no client."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _parent_run(client: MlflowClient, study: Study, uid: str) -> Any:
    """Return the study's run; None where MLflow has none."""
    found = client.get_experiment_by_name(study.kind)
    if found is None:
        return None
    where = f"tags.`{UID}` = '{uid}' and attributes.run_name = '{study.name}'"
    runs = client.search_runs([found.experiment_id], filter_string=where)
    return next((run for run in runs if "mlflow.parentRunId" not in run.data.tags), None)


def _save(path: Path, model: ModelFolder, entry: Model) -> None:
    """Write a model as MLflow's folders are, with what building an environment for it takes."""
    from mlflow.pyfunc import save_model

    with _requirements_as_installed():
        save_model(
            str(path),
            mlflow_model=entry,
            loader_module=model.loader,
            data_path=str(model.folder),
            signature=_signature(model.example, model.answer),
            input_example=model.example,
            pip_requirements=_pinned(),
        )


@contextmanager
def _requirements_as_installed() -> Iterator[None]:
    """While inside, MLflow does not look whether requirements are met here: ours are read off what is installed.

    To look, it lists the files of every package, which takes most of a second at the end of a search.
    """
    from mlflow.utils import environment

    before = environment.warn_dependency_requirement_mismatches
    environment.warn_dependency_requirement_mismatches = lambda requirements: None
    try:
        yield
    finally:
        environment.warn_dependency_requirement_mismatches = before


def _make_room(client: MlflowClient, name: str) -> None:
    """Make the registered model, where there is none of the name; MLflow refuses a name that it does not take."""
    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name)


def _signature(example: Any, answer: pd.DataFrame) -> Any:
    """Return what the model takes and gives.

    Of a table text is text, and any other column anything: MLflow would refuse whole numbers where the example has
    decimals, and empty fields where it has true or false, all of which the model takes.
    """
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    found = infer_signature(example, answer)
    if not hasattr(example, "columns"):
        return found
    texts = {name for name in example.columns if example[name].dtype.kind in "OU" and isinstance(example[name][0], str)}
    columns = [ColSpec("string" if name in texts else AnyType(), str(name)) for name in example.columns]
    return ModelSignature(Schema(columns), found.outputs)


def _pinned() -> list[str]:
    from importlib.metadata import version

    return [f"{package}=={version(package)}" for package in REQUIREMENTS]
