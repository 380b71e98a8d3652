"""MLflow, fed from the ledger: batched, idempotent, never in the way.

Runs in a process of its own beside the search (``follow``) or in the foreground (``search sync``). It only reads the
ledger, so whatever happens here cannot reach a trial. What has been sent is asked of the server itself, by tags,
whenever it starts and after every error.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from search.ledger import EpochRow, FitRole, Ledger, StudyRow, TrialRow
from search.ledger.events import EventKind
from search.ledger.outcome import MLFLOW_STATUS
from search.ledger.paths import CHECKPOINTS, found_in
from search.ledger.stored_study import study_from_row
from search.tracking.experiment import DELETED, open_experiment
from search.tracking.fit_runs import FIT, GROUP, FitRuns, variant_names
from search.tracking.handed_on import log_handed_on
from search.tracking.mlflow_client import Metric, MlflowClient, Param, RunTag
from search.tracking.parent_run import create_parent, finish_parent, source_tags
from search.tracking.process import UID
from search.tracking.store import Say, open_store
from search.tracking.study_runs import name_run, study_runs
from trainables.registry import is_train_function
from trainables.report import SECONDS

log = logging.getLogger("lanewise.tracking")

METRICS_PER_BATCH = 800
"""MLflow takes 1,000 entities in one ``log_batch``; params and tags go with the metrics."""
AUDITED = "lanewise.audited"
"""The tag of a pruned trial that trained on after the search: its run has these epochs too, and stays ``KILLED``."""
BEST_EPOCH = "best_epoch"
"""The metric that says at which epoch a trial was best, beside ``best_<metric>``."""
MESSAGE = "lanewise.message"
"""The tag that holds what the exception of a failed trial said."""


_Standing: TypeAlias = tuple[str, int | None]
RUNNING: _Standing = ("RUNNING", None)


@dataclass
class _Child:
    """A trial's MLflow run, as far as the server has it.

    Attributes:
        sent_epoch: the last epoch that arrived; None while the server was not asked.
        standing: its status and, where it ended, when that was: a trial that was stopped, went on and was stopped
            again has the same status and another end.
        has_params: whether the parameters arrived.
        has_message: whether it says what a failure said; a trial that is tried again may yet succeed.
        best: the first of its epochs with the best value of the objective, of those in the ledger; None before a finite
            one.
    """

    run_id: str
    sent_epoch: int | None = 0
    standing: _Standing = RUNNING
    has_params: bool = False
    has_message: bool = False
    best: EpochRow | None = None


@dataclass
class _Server:
    """What the server holds of one study."""

    experiment_id: str
    parent: str
    children: dict[int, _Child] = field(default_factory=dict)
    fits: FitRuns = field(default_factory=FitRuns)


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
        self._trials: dict[int, TrialRow] = {}
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
        self._trials.clear()
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
        for trial in changed:
            self._trials[trial.number] = trial
            self._revision = max(self._revision, trial.revision)
        for row in epochs:
            self._unsent[row.number].append(row)
            self._last_epoch_id = row.id
        touched = sorted({t.number for t in changed} | set(self._unsent))
        for number in touched:
            if number in self._trials:
                self._send_trial(server, self._trials[number], self._unsent.pop(number, []))
        self._send_audits(server, audit)
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
        children: dict[int, _Child] = {}
        parent: str | None = None
        fits = FitRuns()
        for run in self._restored_runs(experiment_id):
            name_run(self._client, run, self._row.name)
            if FIT in run.data.tags or GROUP in run.data.tags:
                fits.found(run)
                continue
            number = run.data.tags.get("lanewise.trial")
            if number is None:
                parent = run.info.run_id
                if run.info.status != "RUNNING" and self._is_open():
                    self._client.update_run(parent, status="RUNNING")
            else:
                children[int(number)] = _Child(
                    run.info.run_id,
                    sent_epoch=None,
                    standing=_standing(run.info.status, run.info.end_time),
                    has_params=bool(run.data.params),
                    has_message=bool(run.data.tags.get(MESSAGE)),
                )
        if parent is None:
            parent = create_parent(self._client, experiment_id, self._row, self._study)
        return _Server(experiment_id, parent, children, fits)

    def _send_audits(self, server: _Server, audit: Sequence[EpochRow]) -> None:
        """Send the epochs that pruned trials trained after the search, to the runs that were closed before."""
        audited: dict[int, list[EpochRow]] = defaultdict(list)
        for row in audit:
            audited[row.number].append(row)
        for number, epochs in audited.items():
            child = server.children[number]
            sent = self._sent_epoch(child.run_id) if child.sent_epoch is None else child.sent_epoch
            new = [row for row in epochs if row.epoch > sent]  # the audit trains the epochs before the rung once more
            for batch in _batches([metric for row in new for metric in _metrics(row)]):
                self._client.log_batch(child.run_id, metrics=batch, tags=[RunTag(AUDITED, "true")])
            child.sent_epoch = max(sent, epochs[-1].epoch)
            self.progress += len(new)

    def _send_fits(self, server: _Server) -> None:
        """Send the runs of the confirmation that are new."""
        tags = {"lanewise.study": self._row.name, UID: str(self._uid), **source_tags(self._study)}
        fits = self._ledger.fits(self._row.id, FitRole.CONFIRM, FitRole.ABLATION)
        finalists = {fit.config_hash: fit.params for fit in fits if fit.trial is not None}
        self.progress += server.fits.send(
            self._client,
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

    def _sent_epoch(self, run_id: str) -> int:
        history = self._client.get_metric_history(run_id, SECONDS)
        return max((metric.step for metric in history), default=0)

    def _send_trial(self, server: _Server, trial: TrialRow, epochs: list[EpochRow]) -> None:
        child = server.children.get(trial.number)
        if child is None:
            child = server.children[trial.number] = self._create_child(server, trial)
        child.best = self._best((*([child.best] if child.best else ()), *epochs))
        standing = _standing(MLFLOW_STATUS[trial.state], None if trial.ended_at is None else int(trial.ended_at * 1000))
        if child.sent_epoch is None:
            if standing == child.standing and standing != RUNNING:
                return  # closed at this very ending, and a run is closed after its last epoch arrived
            child.sent_epoch = self._sent_epoch(child.run_id)
        sent = child.sent_epoch
        new = [e for e in epochs if e.epoch > sent]
        ending = standing != child.standing
        metrics = [metric for row in new for metric in _metrics(row)]
        self._log(child, trial, [*metrics, *(self._best_metrics(child.best) if ending else ())], ending=ending)
        if new:
            child.sent_epoch = new[-1].epoch
        self.progress += len(new)
        if ending:
            self._set_standing(child, trial, standing)
            self.progress += 1

    def _best(self, rows: Iterable[EpochRow]) -> EpochRow | None:
        """Return the first of the rows with the best finite value of the objective."""
        objective, found = self._study.objective, None
        for row in rows:
            value = row.values.get(objective.metric, math.nan)
            if math.isfinite(value) and (found is None or objective.better(value, found.values[objective.metric])):
                found = row
        return found

    def _best_metrics(self, row: EpochRow | None) -> list[Metric]:
        """Return a trial's best value and its epoch as metrics of their own, so that MLflow can sort by them."""
        if row is None:
            return []
        metric, at = self._study.objective.metric, int(row.at * 1000)
        best = {f"best_{metric}": row.values[metric], BEST_EPOCH: float(row.epoch)}
        return [Metric(name, value, at, row.epoch) for name, value in best.items() if name not in row.values]

    def _log(self, child: _Child, trial: TrialRow, metrics: list[Metric], *, ending: bool) -> None:
        """Send metrics in as few calls as MLflow allows: the params with the first, the last tags with the last."""
        chunks = _batches(metrics)
        for i, chunk in enumerate(chunks):
            params = [] if child.has_params else self._params(trial)
            tags = self._end_tags(child, trial) if ending and i == len(chunks) - 1 else []
            if chunk or params or tags:
                self._client.log_batch(child.run_id, metrics=chunk, params=params, tags=tags)
            child.has_params = True

    def _params(self, trial: TrialRow) -> list[Param]:
        return [Param(k, str(v)) for k, v in {**self._study.settings, **trial.params}.items()]

    def _end_tags(self, child: _Child, trial: TrialRow) -> list[RunTag]:
        tags = {"lanewise.state": trial.state.value, "lanewise.stop_reason": trial.stop_reason or ""}
        if trial.message or child.has_message:
            tags[MESSAGE] = trial.message or ""
        child.has_message = bool(trial.message)
        return [RunTag(k, v) for k, v in tags.items()]

    def _create_child(self, server: _Server, trial: TrialRow) -> _Child:
        run = self._client.create_run(
            server.experiment_id,
            start_time=int(trial.started_at * 1000),
            run_name=f"trial {trial.number}",
            tags={
                "mlflow.parentRunId": server.parent,
                "lanewise.study": self._row.name,
                UID: self._uid,
                "lanewise.trial": str(trial.number),
                "lanewise.state": trial.state.value,
                "lanewise.stop_reason": trial.stop_reason or "",
                "lanewise.config_hash": trial.config_hash,
                "lanewise.seed": str(trial.seed),
                **source_tags(self._study),
                **({"lanewise.from": trial.origin} if trial.origin is not None else {}),
            },
        )
        return _Child(str(run.info.run_id))

    def _set_standing(self, child: _Child, trial: TrialRow, standing: _Standing) -> None:
        if trial.traceback:
            self._client.log_text(child.run_id, trial.traceback, "traceback.txt")
        if standing != RUNNING and is_train_function(self._study.trainable):
            self._log_artifacts(child, trial)
        status, ended_ms = standing
        if ended_ms is None:
            self._client.update_run(child.run_id, status=status)
        else:
            self._client.set_terminated(child.run_id, status, end_time=ended_ms)
        child.standing = standing

    def _log_artifacts(self, child: _Child, trial: TrialRow) -> None:
        """Send the files that the trial's own code kept with it, as far as they are there."""
        for event in self._ledger.events(self._row.id, EventKind.TRIAL_NOTE, trial=trial.number):
            path = getattr(event.event, "path", None)
            if path is None:
                continue
            file = Path(path) if self._folder is None else found_in(self._folder, CHECKPOINTS, path) or Path(path)
            if file.is_file():
                self._client.log_artifact(child.run_id, str(file))


def _batches(metrics: list[Metric]) -> list[list[Metric]]:
    """Return the metrics in as many parts as MLflow takes in a call each; one empty part where there are none."""
    return [metrics[i : i + METRICS_PER_BATCH] for i in range(0, len(metrics), METRICS_PER_BATCH)] or [[]]


def _metrics(row: EpochRow) -> list[Metric]:
    """Return an epoch as MLflow takes it."""
    return [Metric(name, value, int(row.at * 1000), row.epoch) for name, value in row.values.items()]


def _standing(status: str, ended_ms: int | None) -> _Standing:
    """Return how a run stands; one that is running has no end, whatever the server kept of an earlier one."""
    return RUNNING if status == "RUNNING" else (status, ended_ms)
