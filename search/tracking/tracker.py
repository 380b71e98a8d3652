"""MLflow, fed from the ledger: batched, idempotent, never in the way.

Runs in a process of its own beside the search (``follow``) or in the foreground (``search sync``). It only reads the
ledger, so whatever happens here cannot reach a trial. What has been sent is asked of the server itself, by tags,
whenever it starts and after every error.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from search.ledger import EpochRow, FitRole, Ledger, StudyRow
from search.ledger.stored_study import study_from_row
from search.tracking.experiment import DELETED, open_experiment
from search.tracking.fit_runs import FIT, GROUP, FitRuns, variant_names
from search.tracking.handed_on import log_handed_on
from search.tracking.mlflow_client import MlflowClient
from search.tracking.parent_run import create_parent, finish_parent, source_tags
from search.tracking.process import UID
from search.tracking.run_writer import run_writer
from search.tracking.store import Say, open_store
from search.tracking.study_runs import name_run, study_runs
from search.tracking.trial_runs import TRIAL, TrialRuns

log = logging.getLogger("lanewise.tracking")


@dataclass
class _Server:
    """What the server holds of one study."""

    experiment_id: str
    parent: str
    trials: TrialRuns
    fits: FitRuns


class Tracker:
    """Brings MLflow up to date with one study of a ledger.

    Args:
        ledger: read, never written.
        row: the study.
        uri: MLflow tracking URI, with credentials or without those that this process was given.
        folder: the study's own, where what trials kept is looked for; None looks where it lay when it was noted.
        artifacts: folder for the artifacts of a local store; None leaves the choice to the server.
        say: is told what was mended in MLflow.
        handed_on: the folder of the report and the model that its run is given too, as far as they are there.

    Attributes:
        progress: how many epochs and endings were sent.
        store_is_new: whether the store replaces one that could not be used: what that held is to be sent again.
    """

    def __init__(
        self,
        ledger: Ledger,
        row: StudyRow,
        uri: str,
        *,
        folder: Path | None = None,
        artifacts: Path | None,
        say: Say = log.warning,
        handed_on: Path | None = None,
    ) -> None:
        self._ledger = ledger
        self._row = row
        self._study = study_from_row(row, folder)
        self._uid = row.facts.uid
        self._uri = uri
        self._folder = folder
        self._artifacts = artifacts
        self._say = say
        self._handed_on = handed_on
        self._server: _Server | None = None
        self._last_epoch_id = self._last_audit_id = 0
        self._revision = -1
        self._unsent: dict[int, list[EpochRow]] = defaultdict(list)
        self.progress = 0
        self.store_is_new = False

    @cached_property
    def _client(self) -> MlflowClient:
        client, self.store_is_new = open_store(self._uri, artifacts=self._artifacts, say=self._say)
        return client

    def forget(self) -> None:
        """Start over from what the server says it has; called after an error."""
        self._server = None
        self._last_epoch_id = self._last_audit_id = 0
        self._revision = -1
        self._unsent.clear()

    def update(self) -> bool:
        """Send what is new; return whether the server now has everything the ledger has.

        Raises:
            One of ``UNREACHABLE``: the server refused or cannot be reached.
        """
        server = self._server or self._reconcile()
        self._server = server
        # before the trials are read: those that are audited have ended, and are then among those that were sent
        audit = self._ledger.audit_epochs(self._row.id, after_id=self._last_audit_id)
        changed = self._ledger.trials(self._row.id, after_revision=self._revision)
        epochs = self._ledger.epochs(self._row.id, after_id=self._last_epoch_id)
        self._revision = max((trial.revision for trial in changed), default=self._revision)
        for row in epochs:
            self._unsent[row.number].append(row)
            self._last_epoch_id = row.id
        numbers = {trial.number for trial in changed}
        ready = [number for number in self._unsent if number in numbers or number in server.trials]
        server.trials.send(
            changed,
            {number: self._unsent.pop(number) for number in ready},
            experiment=server.experiment_id,
            parent=server.parent,
            sent=self._note_progress,
        )
        server.trials.send_audits(audit, sent=self._note_progress)
        self._last_audit_id = max((row.id for row in audit), default=self._last_audit_id)
        self._send_fits(server)
        # A trial's end is written with or after its last epoch, and was read before the epochs were:
        # a run that is closed here has all of them.
        return not self._unsent

    def finish_parent(self) -> None:
        """Log the answer and close the parent run as the search ended; call after ``update``."""
        server = self._server or self._reconcile()
        finish_parent(self._client, server.parent, server.fits, self._ledger, self._row, self._study)
        if self._handed_on is not None and self._handed_on.is_dir():
            log_handed_on(self._client, server.parent, self._handed_on, name=self._row.name, say=self._say)

    def _reconcile(self) -> _Server:
        """Ask the server what it has of this study, by tags; create what is missing of the frame."""
        experiment_id = open_experiment(self._client, self._study.kind, artifacts=self._artifacts, say=self._say)
        writer = run_writer(self._client)
        trials = TrialRuns(self._client, writer, self._ledger, self._row, self._study, folder=self._folder)
        fits = FitRuns(self._client, writer)
        parent: str | None = None
        for run in self._restored_runs(experiment_id):
            name_run(self._client, run, self._row.name)
            if FIT in run.data.tags or GROUP in run.data.tags:
                fits.found(run)
                continue
            if TRIAL in run.data.tags:
                trials.found(run)
            else:
                parent = run.info.run_id
                if run.info.status != "RUNNING" and self._is_open():
                    self._client.update_run(parent, status="RUNNING")
        if parent is None:
            parent = create_parent(self._client, experiment_id, self._row, self._study)
        return _Server(experiment_id, parent, trials, fits)

    def _note_progress(self, count: int) -> None:
        self.progress += count

    def _send_fits(self, server: _Server) -> None:
        """Send the runs of the confirmation that are new."""
        tags = {"lanewise.study": self._row.name, UID: str(self._uid), **source_tags(self._study)}
        fits = self._ledger.fits(self._row.id, FitRole.CONFIRM, FitRole.ABLATION)
        finalists = {fit.config_hash: fit.params for fit in fits if fit.trial is not None}
        self.progress += server.fits.send(
            fits,
            experiment=server.experiment_id,
            parent=server.parent,
            tags=tags,
            settings=self._study.settings,
            names=lambda: variant_names(self._study.space, [*finalists.values()]),
        )

    def _is_open(self) -> bool:
        """Whether a search drives the study now, or died without a word."""
        sessions = self._ledger.sessions(self._row.id)
        return bool(sessions) and sessions[-1].ending is None

    def _restored_runs(self, experiment_id: str) -> list[Any]:
        """Return the study's runs; those that somebody deleted are restored, for nothing can be added to them else."""
        runs = list(study_runs(self._client, experiment_id, self._uid))
        deleted = [run for run in runs if run.info.lifecycle_stage == DELETED]
        for run in deleted:
            self._client.restore_run(run.info.run_id)
        if deleted:
            self._say(f"restored {len(deleted)} of the runs of {self._row.name}, which had been deleted in MLflow")
        return runs
