"""What MLflow has of a study that is deleted: its runs go into MLflow's bin; the models that were registered stay."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.credentials import masked_address
from search.errors import RunError
from search.ledger import StudyRow
from search.ledger.paths import Paths
from search.tracking.experiment import DELETED
from search.tracking.mlflow_client import UNREACHABLE, MlflowClient, local_file_uri_to_path
from search.tracking.preflight import store_at
from search.tracking.process import check_server
from search.tracking.store import database_file, open_store
from search.tracking.study_runs import logged_model_of, study_runs
from trainables.errors import first_line
from trainables.stage import each

STAYS = "delete without --with-mlflow, and MLflow keeps what it has"


@dataclass
class StudyRuns:
    """The runs of one study and the models that they logged, in a store.

    Attributes:
        name: the study's.
        uri: of the store.
        artifacts: the folder of the store's artifacts where it is the home's own; None where a server has them.
        runs: all of the study's.
        models: what they logged and nobody registered.
        registered: the names of the registered models that came from them, with the versions.
        bound: the ids of runs among whose own artifacts a registered model lies.
    """

    name: str
    uri: str
    artifacts: Path | None
    client: MlflowClient | None = None
    runs: list[Any] = field(default_factory=list)
    models: list[Any] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    bound: set[str] = field(default_factory=set)
    _binned: list[str] = field(default_factory=list)

    def put_into_bin(self) -> None:
        """Put the runs into MLflow's bin, from which ``restore`` takes them.

        Raises:
            RunError: MLflow does not take it.
        """
        live = [run.info.run_id for run in self.runs if run.info.lifecycle_stage != DELETED]
        try:
            for run_id in each(live, f"putting the runs of {self.name} into MLflow's bin"):
                assert self.client is not None  # where there are runs
                self.client.delete_run(run_id)
                self._binned.append(run_id)
        except UNREACHABLE as error:
            raise RunError(f"the runs of {self.name} in MLflow cannot be deleted: {first_line(error)}") from None

    def restore(self) -> None:
        """Take out of the bin what ``put_into_bin`` put there, as far as MLflow answers."""
        while self._binned and self.client is not None:
            with suppress(*UNREACHABLE):
                self.client.restore_run(self._binned[-1])
            self._binned.pop()

    def erase(self) -> list[str]:
        """Delete what cannot be restored: the artifacts in a home, and the models that nobody registered.

        Returns:
            In a line each what could not be deleted.
        """
        left = []
        try:
            for model in self.models:
                assert self.client is not None  # where there are models
                self.client.delete_logged_model(model.model_id)
        except UNREACHABLE as error:
            left.append(f"{self.name}: a model of it stays in MLflow: {first_line(error)}")
        for folder in self._folders():
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:
                continue  # nothing was logged
            except OSError as error:
                left.append(f"{self.name}: artifacts of it stay in {folder}: {error.strerror}")
        return left

    def _folders(self) -> Iterator[Path]:
        """Yield the folders of what is deleted, those alone that lie in the home."""
        if self.artifacts is None:
            return
        places = [run.info.artifact_uri for run in self.runs if run.info.run_id not in self.bound]
        for place in (*places, *(model.artifact_location for model in self.models)):
            folder = Path(local_file_uri_to_path(place)).parent
            if folder != self.artifacts and folder.is_relative_to(self.artifacts):
                yield folder


def find_runs(row: StudyRow, paths: Paths, say: Callable[[str], None]) -> StudyRuns:
    """Return what MLflow has of a study, which is none where nothing was ever sent.

    Args:
        row: the study as the ledger holds it; its own code need not be there any more.
        paths: of the study.
        say: is told what was mended in MLflow.

    Raises:
        RunError: the store does not answer.
    """
    uri, artifacts = store_at((row.declaration.get("tracking") or {}).get("uri"), paths)
    found = StudyRuns(row.name, masked_address(uri), artifacts)
    file = database_file(uri)
    if file is not None and not file.is_file():
        return found
    check_server(uri, otherwise=STAYS)
    try:
        client, _ = open_store(uri, artifacts=artifacts, say=say)
        experiment = client.get_experiment_by_name(str(row.declaration["kind"]))
        if experiment is not None:
            found.client = client
            _fill(found, client, experiment.experiment_id, row.facts.uid)
    except UNREACHABLE as error:
        raise RunError(f"MLflow at {found.uri} does not say what it has of {row.name}: {first_line(error)}") from None
    return found


def _fill(found: StudyRuns, client: MlflowClient, experiment_id: str, uid: str) -> None:
    found.runs = list(study_runs(client, experiment_id, uid))
    ids = {run.info.run_id for run in found.runs}
    logged = _pages(lambda token: client.search_logged_models([experiment_id], page_token=token))
    models = {model.model_id: model for model in logged if model.source_run_id in ids}
    kept = set[str | None]()
    for version in _pages(lambda token: client.search_model_versions(page_token=token)):
        model_id = logged_model_of(version)
        if model_id in models or version.run_id in ids:
            found.registered.append(f"{version.name} {version.version}")
            kept.add(model_id)
            if model_id is None and version.run_id:
                found.bound.add(version.run_id)
    found.models = [model for model_id, model in models.items() if model_id not in kept]


def _pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield what a search of MLflow's finds, page by page."""
    token = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return
