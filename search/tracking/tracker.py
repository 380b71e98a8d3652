"""MLflow, fed from the ledger: batched, idempotent, never in the way.

Runs as a process of its own beside the search (see ``tracker_process``) or in the foreground
(``search sync``). It only reads the ledger, so whatever happens here cannot reach a trial. What has
been sent is asked of the server itself, by tags, whenever it starts and after every error.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

if __name__ == "__main__":
    # `ray job stop`, like a machine that shuts down, signals every process; this one ends with its input.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines a trial, into a pipe
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # we retry, after asking what arrived

from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from search.errors import RunError
from search.ledger import EpochRow, Ledger, StudyRow, TrialRow
from search.ledger.outcome import MLFLOW_STATUS
from search.ledger.stored_study import study_from_row
from search.report.comparison import comparison, comparison_csv
from search.report.comparison_plot import comparison_figure
from search.report.curve import Curve, curve, curve_csv
from search.report.curve_plot import artifact_stem, curve_figure
from search.report.leaderboard import leaderboard
from search.report.pareto import pareto
from search.tracking.process import FINISH, UID
from trainables.report import SECONDS

POLL_S = 0.5
METRICS_PER_BATCH = 800
"""MLflow takes 1,000 entities in one ``log_batch``; params and tags go with the metrics."""
RETRY_S = (0.5, 1.0, 2.0, 5.0)
ORPHAN_GRACE_S = 5.0
"""How long the tracker goes on after the search's process died without a word."""
ORPHAN_LIMIT_S = 8.0
"""After that it ends wherever it stands: what a server was sent by then, it is asked for at the next start."""
DRAIN_GRACE_S = 10.0
"""How long, at the end of a search, the tracker tries on without anything getting through."""
MESSAGE = "lanewise.message"
STRANGER_GRACE_S = 2.0
"""The same where the server never answered during the search."""
PARENT_STATUS = {"done": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}

UNREACHABLE = (MlflowException, SQLAlchemyError, OSError)
"""What MLflow's client raises where a server or a database does not do what it should."""

log = logging.getLogger("lanewise.tracking")


_Standing: TypeAlias = tuple[str, int | None]
RUNNING: _Standing = ("RUNNING", None)


@dataclass
class _Child:
    """A trial's MLflow run, as far as the server has it.

    Attributes:
        sent_epoch: the last that arrived; None while the server was not asked.
        standing: its status and, where it ended, when: a trial that was stopped, went on and was stopped
            again has the same status and another end.
        has_params: whether the parameters arrived.
        has_message: whether it says what a failure said; a trial that is tried again may yet succeed.
    """

    run_id: str
    sent_epoch: int | None = 0
    standing: _Standing = RUNNING
    has_params: bool = False
    has_message: bool = False


@dataclass
class _Server:
    """What the server holds of one study."""

    experiment_id: str
    parent: str
    children: dict[int, _Child] = field(default_factory=dict)


class Tracker:
    """Brings MLflow up to date with one study of a ledger.

    Args:
        ledger: read, never written.
        row: the study.
        uri: MLflow tracking URI.
        artifacts: folder for the artifacts of a local store; None leaves the choice to the server.
    """

    def __init__(self, ledger: Ledger, row: StudyRow, uri: str, *, artifacts: Path | None) -> None:
        self._ledger = ledger
        self._row = row
        self._study = study_from_row(row)
        if UID not in row.facts:
            raise RunError(
                f"study {row.name!r} of ledger {row.ledger} has no {UID}: its runs in MLflow cannot be told apart"
            )
        self._uid = str(row.facts[UID])
        self._uri = uri
        self._artifacts = artifacts
        self._server: _Server | None = None
        self._last_epoch_id = 0
        self._revision = -1
        self._trials: dict[int, TrialRow] = {}
        self._unsent: dict[int, list[EpochRow]] = defaultdict(list)
        self.progress = 0

    @cached_property
    def _client(self) -> MlflowClient:
        return MlflowClient(self._uri)

    def forget(self) -> None:
        """Start over from what the server says it has; called after an error."""
        self._server = None
        self._last_epoch_id, self._revision = 0, -1
        self._trials.clear()
        self._unsent.clear()

    def update(self) -> bool:
        """Send what is new; return whether the server now has everything the ledger has.

        Raises:
            One of ``UNREACHABLE``: the server refused or cannot be reached.
        """
        server = self._server or self._reconcile()
        self._server = server
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
        # A trial's end is written with or after its last epoch, and was read before the epochs were:
        # a run that is closed here has all of them.
        return not self._unsent

    def finish_parent(self) -> None:
        """Log the leaderboard and close the parent run as the search ended; call after ``update``."""
        server = self._server or self._reconcile()
        sessions = self._ledger.sessions(self._row.id)
        ending = sessions[-1]["ending"] if sessions else None
        epochs = self._ledger.epochs_frame(self._row.id)
        trials = self._ledger.trials_frame(self._row.id)
        board = leaderboard(trials, epochs, self._study.objective)
        self._client.log_text(
            server.parent, board.drop(columns=["params", "metrics"]).to_csv(index=False), "leaderboard.csv"
        )
        if self._study.further:
            front = pareto(board, epochs, self._study.objectives).drop(columns=["params", "metrics"])
            self._client.log_text(server.parent, front.to_csv(index=False), "pareto.csv")
        facts = self._ledger.study(self._row.name).facts  # as they are now: they grew since the row was read
        self._log_comparison(server, facts)
        self._log_curve(server, curve(self._study, trials, epochs, board, facts))
        if len(board):
            name = self._study.objective.metric
            now = int(time.time() * 1000)
            known = self._client.get_run(server.parent).data.metrics
            values = {f"best_{name}": board.iloc[0]["value"]}
            baseline = board[board["number"] == 0]
            if len(baseline):
                values[f"baseline_{name}"] = baseline.iloc[0]["value"]
            self._client.log_batch(
                server.parent,
                metrics=[Metric(key, float(v), now, 0) for key, v in values.items() if known.get(key) != v],
                tags=[RunTag("lanewise.best_trial", str(int(board.iloc[0]["number"])))],
            )
        if ending is not None:
            self._client.set_tag(server.parent, "lanewise.state", ending)
            self._client.set_terminated(server.parent, PARENT_STATUS[ending])

    def _log_comparison(self, server: _Server, facts: Mapping[str, Any]) -> None:
        """Log the choices of the balanced parameter side by side, where the study compared them."""
        found = comparison(self._study, facts)
        if found is None:
            return
        self._client.log_text(server.parent, comparison_csv(found), "comparison.csv")
        self._client.log_figure(server.parent, comparison_figure(found), "comparison.png")
        self._client.set_tag(server.parent, "lanewise.comparison", found.verdict)

    def _log_curve(self, server: _Server, found: Curve | None) -> None:
        """Log the values of the study's whole-number parameter side by side, where it names one."""
        if found is None:
            return
        stem = artifact_stem(found)
        self._client.log_text(server.parent, curve_csv(found), f"{stem}.csv")
        self._client.log_figure(server.parent, curve_figure(found), f"{stem}.png")
        self._client.set_tag(server.parent, "lanewise.curve", found.verdict)

    def _reconcile(self) -> _Server:
        """Ask the server what it has of this study, by tags; create what is missing of the frame."""
        experiment_id = self._experiment()
        children: dict[int, _Child] = {}
        parent: str | None = None
        for run in self._runs(experiment_id):
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
        return _Server(experiment_id, parent or self._create_parent(experiment_id), children)

    def _is_open(self) -> bool:
        """Whether a search drives the study now, or died without a word."""
        sessions = self._ledger.sessions(self._row.id)
        return bool(sessions) and sessions[-1]["ending"] is None

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._study.kind)
        if found is not None:
            return str(found.experiment_id)
        location = self._artifacts.absolute().as_uri() if self._artifacts else None
        tags = {"mlflow.experimentKind": "custom_model_development"}  # its pages open on training runs
        return str(self._client.create_experiment(self._study.kind, artifact_location=location, tags=tags))

    def _runs(self, experiment_id: str) -> Iterable[Any]:
        token = None
        while True:
            page = self._client.search_runs(
                [experiment_id],
                filter_string=f"tags.`{UID}` = '{self._uid}'",
                run_view_type=ViewType.ALL,
                max_results=1000,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _sent_epoch(self, run_id: str) -> int:
        history = self._client.get_metric_history(run_id, SECONDS)
        return max((metric.step for metric in history), default=0)

    def _create_parent(self, experiment_id: str) -> str:
        row, study = self._row, self._study
        run = self._client.create_run(
            experiment_id,
            start_time=int(row.created_at * 1000),
            run_name=row.name,
            tags={
                "lanewise.study": row.name,
                UID: self._uid,
                "lanewise.seed": str(study.seed),
                "lanewise.data_fingerprint": row.fingerprint,
                "mlflow.note.content": study.question,
                "mlflow.source.name": f"search.run {study.kind}",
                "mlflow.source.type": "LOCAL",
                **{f"lanewise.version.{name}": v for name, v in row.facts["versions"].items()},
            },
        )
        run_id = str(run.info.run_id)
        params = {
            "study": study.kind,
            "trainable": study.trainable,
            "dataset": study.data.name,
            "objective": ", ".join(f"{o.metric} {o.mode}" for o in study.objectives),
            "trials": study.budget.trials,
            "max_epochs": study.budget.max_epochs,
            "sampler": study.sampler,
            "scheduler": study.scheduler.name,
            **study.settings,
        }
        self._client.log_batch(run_id, params=[Param(k, str(v)) for k, v in params.items()])
        self._client.log_dict(run_id, row.declaration, "study.json")
        dataset = Dataset(
            name=study.data.name,
            digest=row.fingerprint[:36],  # the longest that MLflow's databases hold; the tag has it whole
            source_type="local",
            source=json.dumps({"data_dir": study.data.data_dir, "path": study.data.path, "target": study.data.target}),
        )
        self._client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags=[])])
        return run_id

    def _send_trial(self, server: _Server, trial: TrialRow, epochs: list[EpochRow]) -> None:
        child = server.children.get(trial.number)
        if child is None:
            child = server.children[trial.number] = self._create_child(server, trial)
        standing = _standing(MLFLOW_STATUS[trial.state], None if trial.ended_at is None else int(trial.ended_at * 1000))
        if child.sent_epoch is None:
            if standing == child.standing and standing != RUNNING:
                return  # closed at this very ending, and a run is closed after its last epoch arrived
            child.sent_epoch = self._sent_epoch(child.run_id)
        sent = child.sent_epoch
        new = [e for e in epochs if e.epoch > sent]
        metrics = [
            Metric(name, value, int(e.at * 1000), e.epoch)
            for e in new
            for name, value in {**e.metrics, SECONDS: e.seconds}.items()
        ]
        self._log(child, trial, metrics, ending=standing != child.standing)
        if new:
            child.sent_epoch = new[-1].epoch
        self.progress += len(new)
        if standing != child.standing:
            self._set_standing(child, trial, standing)
            self.progress += 1

    def _log(self, child: _Child, trial: TrialRow, metrics: list[Metric], *, ending: bool) -> None:
        """Send metrics in as few calls as MLflow allows: the params with the first, the last tags with the last."""
        chunks = [metrics[i : i + METRICS_PER_BATCH] for i in range(0, len(metrics), METRICS_PER_BATCH)] or [[]]
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
            },
        )
        return _Child(str(run.info.run_id))

    def _set_standing(self, child: _Child, trial: TrialRow, standing: _Standing) -> None:
        if trial.traceback:
            self._client.log_text(child.run_id, trial.traceback, "traceback.txt")
        status, ended_ms = standing
        if ended_ms is None:
            self._client.update_run(child.run_id, status=status)
        else:
            self._client.set_terminated(child.run_id, status, end_time=ended_ms)
        child.standing = standing


def _standing(status: str, ended_ms: int | None) -> _Standing:
    """Return how a run stands; one that is running has no end, whatever the server kept of an earlier one."""
    return RUNNING if status == "RUNNING" else (status, ended_ms)


def sync(tracker: Tracker, *, grace_s: float) -> None:
    """Send everything that is missing, and close the parent run.

    Raises:
        RunError: nothing got through for ``grace_s`` seconds.
    """
    last, seen, failures = time.monotonic(), tracker.progress, 0
    while True:
        try:
            done = tracker.update()
            if done:
                tracker.finish_parent()
                return
            failures = 0
        except UNREACHABLE as error:
            tracker.forget()
            log.warning("MLflow: %s", error)
            if tracker.progress != seen:
                last, seen = time.monotonic(), tracker.progress
            left_s = last + grace_s - time.monotonic()
            if left_s <= 0:
                raise RunError(f"MLflow did not take it: {str(error).splitlines()[0]}") from None
            time.sleep(min(left_s, RETRY_S[min(failures, len(RETRY_S) - 1)]))
            failures += 1


def follow(tracker: Tracker) -> None:
    """Send what the ledger gains until standard input says that the search ended.

    A line ``finish`` means: everything is in the ledger, send the rest. An end of file without it
    means that the search's process died: what can be sent in a few seconds is sent.
    """
    failures, grace_s = 0, STRANGER_GRACE_S
    while True:
        pause = POLL_S
        try:
            tracker.update()
            failures, grace_s = 0, DRAIN_GRACE_S
        except UNREACHABLE as error:
            tracker.forget()
            log.warning("MLflow: %s", error)
            pause = RETRY_S[min(failures, len(RETRY_S) - 1)]
            failures += 1
        if select.select([sys.stdin], [], [], pause)[0]:
            finished = sys.stdin.readline().strip() == FINISH
            sync(tracker, grace_s=grace_s if finished else ORPHAN_GRACE_S)
            return


def end_after_the_search(search: int) -> None:
    """End this process a while after the search's, whatever it does then: waits for a server, or is busy with one.

    Args:
        search: the process that started this one.
    """
    while os.getppid() == search:
        time.sleep(POLL_S)
    time.sleep(ORPHAN_LIMIT_S)
    os._exit(1)


def main() -> int:
    """Run as the child process of a search; started by ``tracker_process`` alone.

    MLflow is imported by now; the first line of standard input says what to follow.
    """
    line = sys.stdin.readline()
    if not line:
        return 0  # the search ended before it began
    threading.Thread(target=end_after_the_search, args=(os.getppid(),), daemon=True).start()
    order = json.loads(line)
    log_file = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log_file, 2)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    ledger = Ledger(order["ledger"])
    artifacts = Path(order["artifacts"]) if order["artifacts"] else None
    tracker = Tracker(ledger, ledger.study(order["study"]), order["uri"], artifacts=artifacts)
    try:
        follow(tracker)
    except RunError as error:
        log.error("%s", error)
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    finally:
        ledger.close()
        gc.freeze()  # see ``entry.about_to_exit``: the search waits for this process to be gone
    return 0


if __name__ == "__main__":
    sys.exit(main())
