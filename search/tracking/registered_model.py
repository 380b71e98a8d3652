"""A folder that holds a model, logged to its study's run in MLflow and registered under a name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.errors import RunError, UsageError
from search.ledger.paths import Paths
from search.ledger.printed_commands import sync_command
from search.tracking.login import client_uri
from search.tracking.mlflow_client import UNREACHABLE, MlflowClient, MlflowException
from search.tracking.preflight import store_of
from search.tracking.process import UID, check_server
from search.tracking.store import open_store
from trainables.errors import first_line

if TYPE_CHECKING:
    import pandas as pd

REQUIREMENTS = ("lanewise", "torch", "torchvision", "pandas", "scikit-learn", "skops", "safetensors")
"""What loading it takes; MLflow notes the versions that are installed here."""


def register_folder(
    paths: Paths,
    study: Study,
    folder: Path,
    *,
    uid: str,
    name: str,
    loader: str,
    example: Any,
    answer: pd.DataFrame,
    say: Callable[[str], None],
) -> str:
    """Log a folder as a model of the study's parent run, register it, and return where it is, in words.

    Args:
        paths: of the study.
        study: says where its runs go.
        folder: what MLflow copies.
        uid: tells the study's runs from others.
        name: of the registered model; a new version of it is made where there is one.
        loader: the module whose ``_load_pyfunc`` reads the folder.
        example: raw examples, which are the input example.
        answer: what the model says of them, for the signature.
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
        version = _log(client, uri, run, folder, name=name, loader=loader, example=example, answer=answer)
    except UNREACHABLE as error:
        raise RunError(f"--register {name}: MLflow refused it: {first_line(error)}") from None
    return f"models:/{name}/{version} at {uri}, logged to the run of {study.name}"


def _parent_run(client: MlflowClient, study: Study, uid: str) -> Any:
    """Return the study's run; None where MLflow has none."""
    found = client.get_experiment_by_name(study.kind)
    if found is None:
        return None
    where = f"tags.`{UID}` = '{uid}' and attributes.run_name = '{study.name}'"
    runs = client.search_runs([found.experiment_id], filter_string=where)
    return next((run for run in runs if "mlflow.parentRunId" not in run.data.tags), None)


def _log(client: MlflowClient, uri: str, run: Any, folder: Path, *, name: str, **given: Any) -> int:
    """Log the model to a run that may have ended, which stays as it is; register it, and return its version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow about its own types, and of integers that may be missing
        return _log_and_register(client, uri, run, folder, name, given)


def _log_and_register(
    client: MlflowClient, uri: str, run: Any, folder: Path, name: str, given: Mapping[str, Any]
) -> int:
    import mlflow

    made = client.create_logged_model(run.info.experiment_id, name=folder.name, source_run_id=run.info.run_id)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(client_uri(uri))  # what the functions below use, whatever client there is
    try:
        _log_folder(made.model_id, run.info.run_id, folder, **given)
        source = f"models:/{made.model_id}"
        version = client.create_model_version(name, source, run_id=run.info.run_id, model_id=made.model_id)
    finally:
        mlflow.set_tracking_uri(before)
    return int(version.version)


def _log_folder(model_id: str, run_id: str, folder: Path, *, loader: str, example: Any, answer: pd.DataFrame) -> None:
    import mlflow
    from mlflow.models import Model

    Model.log(
        artifact_path=None,
        name=folder.name,
        flavor=mlflow.pyfunc,
        run_id=run_id,
        model_id=model_id,
        loader_module=loader,
        data_path=str(folder),
        signature=_signature(example, answer),
        input_example=example,
        pip_requirements=_pinned(),
    )


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
