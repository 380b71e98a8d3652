"""Runs one study from declaration to answer."""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.control import Control
from search.errors import RunError
from search.ledger import Ledger, LedgerWriter, sqlite_url
from search.progress import View
from search.recorder import Recorder
from search.report.answer import Answer, answer
from search.study import Study
from search.tracker_process import UID, TrackerProcess
from search.versions import versions

if TYPE_CHECKING:
    from search.executors.base import Executor
    from trainables.data import Splits

LEDGER_FILE = "ledger.db"
DONE, INTERRUPTED, FAILED = "done", "interrupted", "failed"


@dataclass(frozen=True)
class Paths:
    """Where everything of one study lies.

    Attributes:
        home: holds all studies and, by default, MLflow's database.
        name: of the study.
    """

    home: Path
    name: str

    @property
    def folder(self) -> Path:
        """The study's own folder."""
        return self.home.absolute() / self.name

    @property
    def ledger(self) -> Path:
        """The database of its facts."""
        return self.folder / LEDGER_FILE

    @property
    def tracking_log(self) -> Path:
        """What the tracker had to say."""
        return self.folder / "tracking.log"

    @property
    def mlflow_uri(self) -> str:
        """Where MLflow runs go unless the user names another place."""
        return f"sqlite:///{self.home.absolute() / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> Path:
        """The artifacts of that default."""
        return self.home.absolute() / "mlflow-artifacts"


@dataclass(frozen=True)
class Result:
    """How a search ended.

    Attributes:
        ending: ``done`` or ``interrupted``.
        untracked: why MLflow does not have everything, or None.
        wall_s: seconds of the search, imports left out.
        exit_code: for the process.
    """

    answer: Answer
    ending: str
    untracked: str | None
    wall_s: float
    exit_code: int


def conduct(study: Study, home: Path, splits: Splits, *, view: View) -> Result:
    """Search, and return the answer. The study's folder must not exist yet.

    Raises:
        RunError: the search could not go on; what was recorded stays.
    """
    started = time.monotonic()
    paths = Paths(home, study.name)
    paths.folder.mkdir(parents=True)
    facts = {UID: uuid.uuid4().hex, "versions": versions()}
    control = Control(study.budget.time_s)
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(sqlite_url(paths.ledger), create=True))
        declaration = study.model_dump(mode="json")
        study_id = ledger.create_study(study.name, declaration, fingerprint=splits.fingerprint, facts=facts)
        session = ledger.start_session(study_id)
        tracker = _start_tracker(study, paths, stack)
        stack.enter_context(view)
        stack.enter_context(control.signals(on_second=lambda: None if tracker is None else tracker.kill()))
        ending, untracked = FAILED, None
        try:
            _search(study, splits, ledger, study_id, control, paths, view)
            ending = INTERRUPTED if control.exit_code else DONE
        finally:
            ledger.end_session(session, ending)
            if tracker is not None:
                view.say("sending the last of the runs to MLflow ...")
                untracked = tracker.finish()
        return Result(
            answer(study, ledger.trials_frame(study_id), ledger.epochs_frame(study_id)),
            ending,
            untracked,
            time.monotonic() - started,
            control.exit_code,
        )


def _start_tracker(study: Study, paths: Paths, stack: ExitStack) -> TrackerProcess | None:
    if not study.tracking.enabled:
        return None
    uri = study.tracking.uri or paths.mlflow_uri
    tracker = TrackerProcess(
        sqlite_url(paths.ledger),
        study.name,
        uri,
        artifacts=paths.mlflow_artifacts if uri.startswith("sqlite:") else None,
        log=paths.tracking_log,
    )
    return stack.enter_context(tracker)


def _search(
    study: Study, splits: Splits, ledger: Ledger, study_id: int, control: Control, paths: Paths, view: View
) -> None:
    # Ray's classes are imported here, so that what needs no search starts without them.
    from search.executors.base import Search
    from search.sampler import OptunaSampler
    from search.scheduler import build_scheduler

    recorder = Recorder(study, LedgerWriter(ledger, study_id), watch=view.update)
    scheduler = build_scheduler(study)
    sampler = OptunaSampler(study, scheduler)
    search = Search(study, splits, sampler, scheduler, recorder, control, paths.folder)
    try:
        choose_executor(study).run(search)
        if sampler.exhausted:
            message = f"the space has no more points after {recorder.progress.ended} trials"
            recorder.event("space_exhausted", message)
            view.say(message)
        if not recorder.progress.ended and control.stopping is None:
            raise RunError(f"no trial was started; see {paths.folder}")
    finally:
        recorder.flush()


def choose_executor(study: Study) -> Executor:
    """Return the executor that the study names; ``auto`` is ``tune``."""
    from search.executors.tune import TuneExecutor

    return TuneExecutor()
