"""A folder that holds a model, logged to its study's run in MLflow and registered under a name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ModelFolder:
    """A folder that holds a model, and what MLflow is told of it.

    Attributes:
        folder: what MLflow copies.
        loader: the module whose ``_load_pyfunc`` reads the folder.
        example: raw examples, which are the input example.
        answer: what the model says of them, for the signature.
    """

    folder: Path
    loader: str
    example: Any
    answer: pd.DataFrame


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
        model_id = log_folder(client, uri, run.info.run_id, model)
        with _used_by_functions(uri):  # the registry looks the model up by one
            made = client.create_model_version(name, f"models:/{model_id}", run_id=run.info.run_id, model_id=model_id)
    except UNREACHABLE as error:
        raise RunError(f"--register {name}: MLflow refused it: {first_line(error)}") from None
    return f"models:/{name}/{made.version} at {uri}, logged to the run of {study.name}"


def log_folder(client: MlflowClient, uri: str, run_id: str, model: ModelFolder) -> str:
    """Log a folder as a model of a run, which may have ended and stays as it is; return the model's id.

    Args:
        client: speaks to the store.
        uri: of the store, with credentials or without those that this process was given.
        run_id: the run.
        model: what is logged, by the name of its folder.

    Raises:
        One of ``UNREACHABLE``: the store refused it, or cannot be reached.
    """
    made = client.create_logged_model(
        client.get_run(run_id).info.experiment_id, name=model.folder.name, source_run_id=run_id
    )
    with _used_by_functions(uri), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow about its own types, and of integers that may be missing
        _log(made.model_id, run_id, model)
    return str(made.model_id)


@contextmanager
def _used_by_functions(uri: str) -> Iterator[None]:
    """While inside, the store is the one that MLflow's functions use, which know of no client."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(client_uri(uri))
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


def _log(model_id: str, run_id: str, model: ModelFolder) -> None:
    import mlflow
    from mlflow.models import Model

    Model.log(
        artifact_path=None,
        name=model.folder.name,
        flavor=mlflow.pyfunc,
        run_id=run_id,
        model_id=model_id,
        loader_module=model.loader,
        data_path=str(model.folder),
        signature=_signature(model.example, model.answer),
        input_example=model.example,
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
