"""What MLflow's runs gain, and how its client is told: a few calls a run, which any store and any server takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from search.tracking.mlflow_client import Metric, MlflowClient, Param, RunTag


@dataclass(frozen=True)
class NewRun:
    """A run that is to be made.

    Attributes:
        experiment_id: the experiment it belongs to.
        name: what MLflow's pages call it.
        started_ms: when it began, in milliseconds since 1970.
        tags: those that it is made with: by them it is found again after a crash.
    """

    experiment_id: str
    name: str
    started_ms: int
    tags: Mapping[str, str]


@dataclass
class RunUpdate:
    """What one run gains at once.

    Attributes:
        run_id: the run's id; None where it is to be made, until it is.
        new: the run that is to be made.
        metrics: points of metrics.
        params: parameters; MLflow takes each once.
        tags: tags that are set, or set anew.
        texts: artifacts, by the name of their file.
        files: artifacts that lie on this machine.
        status: how it stands from now on, written after all else; None leaves that as it is.
        ended_ms: when it ended, in milliseconds since 1970; None where it goes on.
    """

    run_id: str | None = None
    new: NewRun | None = None
    metrics: Sequence[Metric] = ()
    params: Sequence[Param] = ()
    tags: Sequence[RunTag] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Path] = ()
    status: str | None = None
    ended_ms: int | None = None


class ClientWriter:
    """Writes runs through MLflow's client, one after the other.

    Args:
        client: speaks to the store.

    Attributes:
        runs_at_once: how many runs a call of ``write`` is best given: what is written when it is cut short is asked of
            the store.
    """

    runs_at_once = 1

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def write(self, updates: Sequence[RunUpdate]) -> None:
        """Write what each run gains, in their order, and note the ids of those that were made.

        Raises:
            One of ``UNREACHABLE``: the store refused or cannot be reached; some of it may have arrived.
        """
        for update in updates:
            if update.new is not None and update.run_id is None:
                run = self._client.create_run(
                    update.new.experiment_id,
                    start_time=update.new.started_ms,
                    run_name=update.new.name,
                    tags=dict(update.new.tags),
                )
                update.run_id = str(run.info.run_id)
            # cut by the client into as few calls as MLflow takes, and made none where there is nothing
            self._client.log_batch(update.run_id, metrics=update.metrics, params=update.params, tags=update.tags)
            self._log_files(update)
            if update.ended_ms is not None:
                self._client.set_terminated(update.run_id, update.status, end_time=update.ended_ms)
            elif update.status is not None:
                self._client.update_run(update.run_id, status=update.status)

    def _log_files(self, update: RunUpdate) -> None:
        for name, text in update.texts.items():
            self._client.log_text(update.run_id, text, name)
        for file in update.files:
            self._client.log_artifact(update.run_id, str(file))
