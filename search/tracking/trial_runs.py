"""The runs of a study's trials in MLflow: one each, below the study's own."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from search.ledger import EpochRow, Ledger, StudyRow, TrialRow
from search.ledger.events import EventKind
from search.ledger.outcome import MLFLOW_STATUS
from search.ledger.paths import CHECKPOINTS, found_in
from search.tracking.client_writer import ClientWriter, NewRun, RunUpdate
from search.tracking.mlflow_client import Metric, MlflowClient, Param, RunTag
from search.tracking.parent_run import source_tags
from search.tracking.process import UID
from trainables.registry import is_train_function
from trainables.report import SECONDS

if TYPE_CHECKING:
    from search.declaration.study import Study

TRIAL = "lanewise.trial"
"""The tag that holds a trial's number."""
AUDITED = "lanewise.audited"
"""The tag of a pruned trial that trained on after the search: its run has these epochs too, and stays ``KILLED``."""
BEST_EPOCH = "best_epoch"
"""The metric that says at which epoch a trial was best, beside ``best_<metric>``."""
MESSAGE = "lanewise.message"
"""The tag that holds what the exception of a failed trial said."""

_Standing: TypeAlias = tuple[str, int | None]
RUNNING: _Standing = ("RUNNING", None)


class _Best(NamedTuple):
    """Where the objective was best first, of the epochs of a trial that are in the ledger.

    Attributes:
        own: the names by which MLflow would be told of it that are metrics of the trial's own, and stay those.
    """

    value: float
    epoch: int
    at_ms: int
    own: frozenset[str]


@dataclass(slots=True)
class _Child:
    """A trial's MLflow run, as far as the server has it.

    Attributes:
        run_id: None until it is made.
        sent_epoch: the last epoch that arrived; None while the server was not asked.
        standing: its status and, where it ended, when that was: a trial that was stopped, went on and was stopped
            again has the same status and another end.
        has_params: whether the parameters arrived.
        has_message: whether it says what a failure said; a trial that is tried again may yet succeed.
        best: None before a finite value of the objective.
    """

    run_id: str | None = None
    sent_epoch: int | None = 0
    standing: _Standing = RUNNING
    has_params: bool = False
    has_message: bool = False
    best: _Best | None = None


class TrialRuns:
    """What the server holds of a study's trials, and how more is sent.

    Args:
        client: speaks to the server.
        writer: writes to many runs of it.
        ledger: the one that holds the study.
        row: the study as the ledger holds it.
        study: its declaration.
        folder: the study's own, where what trials kept is looked for; None looks where it lay when it was noted.
    """

    def __init__(
        self,
        client: MlflowClient,
        writer: ClientWriter,
        ledger: Ledger,
        row: StudyRow,
        study: Study,
        *,
        folder: Path | None,
    ) -> None:
        self._client = client
        self._writer = writer
        self._ledger = ledger
        self._row = row
        self._study = study
        self._folder = folder
        self._children: dict[int, _Child] = {}

    def found(self, run: Any) -> None:
        """Take a run that the server has."""
        self._children[int(run.data.tags[TRIAL])] = _Child(
            run.info.run_id,
            sent_epoch=None,
            standing=_standing(run.info.status, run.info.end_time),
            has_params=bool(run.data.params),
            has_message=bool(run.data.tags.get(MESSAGE)),
        )

    def __contains__(self, number: int) -> bool:
        """Say whether there is a run of this trial."""
        return number in self._children

    def send(
        self,
        trials: Sequence[TrialRow],
        epochs: Mapping[int, Sequence[EpochRow]],
        *,
        experiment: str,
        parent: str,
        sent: Callable[[int], None],
    ) -> None:
        """Send what is new of trials.

        Args:
            trials: those that changed.
            epochs: what is new in the ledger of these, and of others that have a run, by number.
            experiment: the experiment's id.
            parent: the study's own run.
            sent: is told, as they arrive, how many epochs and endings did.
        """
        changed = {trial.number: trial for trial in trials}
        numbers, at_once = sorted({*changed, *epochs}), self._writer.runs_at_once
        for i in range(0, len(numbers), at_once):
            updates, count = [], 0
            for number in numbers[i : i + at_once]:
                child = self._children.get(number)
                new = None
                if child is None:
                    child = self._children[number] = _Child()
                    new = self._new_run(changed[number], experiment, parent)
                update, arriving = self._update(child, changed.get(number), epochs.get(number, ()))
                if new is not None or update.params or arriving:
                    update.new = new
                    updates.append((child, update))
                    count += arriving
            self._writer.write([update for _, update in updates])
            for child, update in updates:
                child.run_id = update.run_id
            sent(count)

    def send_audits(self, audit: Iterable[EpochRow], *, sent: Callable[[int], None]) -> None:
        """Send the epochs that pruned trials trained after the search, to the runs that were closed before.

        Args:
            audit: the epochs, in the order that they were reported.
            sent: is told, as they arrive, how many did.
        """
        audited: dict[int, list[EpochRow]] = defaultdict(list)
        for row in audit:
            audited[row.number].append(row)
        for number, epochs in audited.items():
            child = self._children[number]
            before = self._sent_epoch(child)
            new = [row for row in epochs if row.epoch > before]  # the audit trains those before the rung once more
            if new:
                metrics = [metric for row in new for metric in _metrics(row)]
                self._writer.write([RunUpdate(child.run_id, metrics=metrics, tags=[RunTag(AUDITED, "true")])])
            child.sent_epoch = max(before, epochs[-1].epoch)
            sent(len(new))

    def _update(self, child: _Child, trial: TrialRow | None, epochs: Sequence[EpochRow]) -> tuple[RunUpdate, int]:
        """Return what a trial's run gains, and how many epochs and endings that is; it then counts as sent."""
        self._note_best(child, epochs)
        standing = child.standing if trial is None else _standing_of(trial)
        update = RunUpdate(child.run_id)
        ending = standing != child.standing
        if child.sent_epoch is None and not ending and standing != RUNNING:
            return update, 0  # closed at this very ending, and a run is closed after its last epoch arrived
        before = self._sent_epoch(child)
        new = [row for row in epochs if row.epoch > before]
        update.metrics = [metric for row in new for metric in _metrics(row)]
        if trial is not None and not child.has_params:
            child.has_params = True
            update.params = [Param(k, str(v)) for k, v in {**self._study.settings, **trial.params}.items()]
        if trial is not None and ending:
            update.metrics += self._best_metrics(child.best)
            update.tags = _end_tags(child, trial)
            update.texts = {"traceback.txt": trial.traceback} if trial.traceback else {}
            update.files = self._kept_files(trial) if standing != RUNNING else ()
            update.status, update.ended_ms = standing
        child.sent_epoch = new[-1].epoch if new else before
        child.standing = standing
        return update, len(new) + ending

    def _sent_epoch(self, child: _Child) -> int:
        """Return the last epoch that the server has, asking it where that is not known yet."""
        if child.sent_epoch is None:
            history = self._client.get_metric_history(child.run_id, SECONDS)
            child.sent_epoch = max((metric.step for metric in history), default=0)
        return child.sent_epoch

    def _note_best(self, child: _Child, epochs: Iterable[EpochRow]) -> None:
        objective = self._study.objective
        for row in epochs:
            values = row.values
            value = values.get(objective.metric, math.nan)
            if math.isfinite(value) and (child.best is None or objective.better(value, child.best.value)):
                own = values.keys() & {f"best_{objective.metric}", BEST_EPOCH}
                child.best = _Best(value, row.epoch, int(row.at * 1000), frozenset(own))

    def _best_metrics(self, best: _Best | None) -> list[Metric]:
        """Return a trial's best value and its epoch as metrics of their own, so that MLflow can sort by them."""
        if best is None:
            return []
        values = {f"best_{self._study.objective.metric}": best.value, BEST_EPOCH: float(best.epoch)}
        return [Metric(name, value, best.at_ms, best.epoch) for name, value in values.items() if name not in best.own]

    def _new_run(self, trial: TrialRow, experiment: str, parent: str) -> NewRun:
        tags = {
            "mlflow.parentRunId": parent,
            "lanewise.study": self._row.name,
            UID: self._row.facts.uid,
            TRIAL: str(trial.number),
            "lanewise.state": trial.state.value,
            "lanewise.stop_reason": trial.stop_reason or "",
            "lanewise.config_hash": trial.config_hash,
            "lanewise.seed": str(trial.seed),
            **source_tags(self._study),
            **({"lanewise.from": trial.origin} if trial.origin is not None else {}),
        }
        return NewRun(experiment, f"trial {trial.number}", int(trial.started_at * 1000), tags)

    def _kept_files(self, trial: TrialRow) -> list[Path]:
        """Return the files that a training function kept with its trial, as far as they are there."""
        if not is_train_function(self._study.trainable):
            return []
        files = []
        for event in self._ledger.events(self._row.id, EventKind.TRIAL_NOTE, trial=trial.number):
            path = getattr(event.event, "path", None)
            if path is not None:
                files.append(self._folder and found_in(self._folder, CHECKPOINTS, path) or Path(path))
        return [file for file in files if file.is_file()]


def _end_tags(child: _Child, trial: TrialRow) -> list[RunTag]:
    tags = {"lanewise.state": trial.state.value, "lanewise.stop_reason": trial.stop_reason or ""}
    if trial.message or child.has_message:
        tags[MESSAGE] = trial.message or ""
    child.has_message = bool(trial.message)
    return [RunTag(k, v) for k, v in tags.items()]


def _metrics(row: EpochRow) -> list[Metric]:
    """Return an epoch as MLflow takes it."""
    return [Metric(name, value, int(row.at * 1000), row.epoch) for name, value in row.values.items()]


def _standing_of(trial: TrialRow) -> _Standing:
    return _standing(MLFLOW_STATUS[trial.state], None if trial.ended_at is None else int(trial.ended_at * 1000))


def _standing(status: str, ended_ms: int | None) -> _Standing:
    """Return how a run stands; one that is running has no end, whatever the server kept of an earlier one."""
    return RUNNING if status == "RUNNING" else (status, ended_ms)
