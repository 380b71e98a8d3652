"""Runs one study from declaration to answer."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.control import Control, kill_children
from search.errors import RunError
from search.executors.choice import choose_executor
from search.ledger import EpochRow, Ledger, LedgerWriter, StudyRow, TrialRow
from search.lock import driver_lock
from search.paths import Paths
from search.progress import View
from search.recorder import Recorder
from search.report.answer import Answer, answer
from search.study import Study, differences, fits
from search.tracker_process import UID, TrackerProcess
from search.versions import versions
from trainables.report import SECONDS

if TYPE_CHECKING:
    from search.executors.base import Executor
    from trainables.data import Splits

DONE, INTERRUPTED, FAILED = "done", "interrupted", "failed"


@dataclass(frozen=True)
class Result:
    """How a search ended.

    Attributes:
        ending: ``done`` or ``interrupted``.
        untracked: why MLflow does not have everything, or None.
        wall_s: seconds of the search, imports left out.
        search_s: of these, from the first trial's start until MLflow had the last of it.
        exit_code: for the process.
        longest_stall_s: see ``Progress``; None where the search was not run just now.
    """

    answer: Answer
    ending: str
    untracked: str | None
    wall_s: float
    search_s: float
    exit_code: int
    longest_stall_s: float | None = None


def conduct(study: Study, home: Path, load: Callable[[Study], Splits], *, view: View) -> Result:
    """Search from the start, and return the answer. The study's folder must not exist yet.

    Args:
        study: the declaration.
        home: folder of all studies.
        load: returns the examples of a study.
        view: shows the search.

    Raises:
        RunError: the search could not go on; what was recorded stays.
    """
    paths = Paths(home, study.name, study.ledger)
    facts = {UID: uuid.uuid4().hex, "versions": versions()}
    with ExitStack() as stack:
        tracker = _warm_tracker(study, stack)
        splits = load(study)
        paths.folder.mkdir(parents=True)
        view.say(f"searching {study.name}: {study.budget.trials} trials on {splits.name}, ledger {paths.ledger}")
        stack.enter_context(driver_lock(paths.lock, study.name))
        ledger = stack.enter_context(Ledger(paths.ledger_url, create=True))
        declaration = study.model_dump(mode="json")
        ledger.create_study(study.name, declaration, fingerprint=splits.fingerprint, facts=facts)
        return _drive(study, ledger, splits, paths, view, tracker, stack)


def resume(
    paths: Paths, *, view: View, load: Callable[[Study], Splits], change: Callable[[Study], Study] | None = None
) -> tuple[Study, Result]:
    """Continue a recorded study where its ledger ends, and return it with the answer.

    Args:
        paths: of the study.
        view: shows the search.
        load: returns the examples of a study.
        change: extends the declaration (more trials, another space); what it changed is recorded.

    Raises:
        RunError: another process drives it, its ledger is damaged, or its data are not what they were.
    """
    with ExitStack() as stack:
        stack.enter_context(driver_lock(paths.lock, paths.name))
        ledger = stack.enter_context(Ledger(paths.ledger_url))
        ledger.check_whole()
        row = ledger.study(paths.name)
        study = Study.model_validate(row.declaration)
        if change is not None:
            before, study = study, change(study)
            _redeclare(ledger, row, before, study, view)
        tracker = _warm_tracker(study, stack)
        splits = load(study)
        if splits.fingerprint != row.fingerprint:
            raise RunError(
                f"the data of {paths.name} are not what they were: fingerprint {splits.fingerprint[:16]} now, "
                f"{row.fingerprint[:16]} when the study began; a resume would mix two data sets"
            )
        return study, _drive(study, ledger, splits, paths, view, tracker, stack)


def _redeclare(ledger: Ledger, row: StudyRow, before: Study, after: Study, view: View) -> None:
    """Record a changed declaration, and say what changed and how many trials still fit."""
    lines = differences(before, after)
    fitting = sum(fits(after.space, trial.params, trial.number) for trial in ledger.trials(row.id))
    lines.append(f"{fitting} of {len(ledger.trials(row.id))} trials fit and are told to the sampler")
    ledger.redeclare(row.id, after.model_dump(mode="json"))
    writer = LedgerWriter(ledger, row.id)
    for line in lines:
        writer.event("extended", line)
        view.say(line)
    writer.flush()


def _drive(
    study: Study,
    ledger: Ledger,
    splits: Splits,
    paths: Paths,
    view: View,
    tracker: TrackerProcess | None,
    stack: ExitStack,
) -> Result:
    """Run one session of a study whose lock is held and whose declaration is in the ledger."""
    started = time.monotonic()
    study_id = ledger.study(study.name).id
    ledger.refuse_while_driven_elsewhere(study_id)
    ledger.end_lost_sessions(study_id)
    used_s = ledger.seconds_used(study_id)
    control = Control(None if study.budget.time_s is None else study.budget.time_s - used_s)
    session = ledger.start_session(study_id)
    if tracker is not None:
        _begin_tracking(tracker, study, paths)
    stack.enter_context(view)
    stack.enter_context(control.signals(on_second=kill_children))
    recorder = Recorder(study, LedgerWriter(ledger, study_id, session=session), watch=view.update)
    ending, untracked = FAILED, None
    try:
        _search(study, splits, ledger, recorder, control, paths, view)
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
        recorder.progress.training_s,
        control.exit_code,
        longest_stall_s=recorder.progress.longest_stall_s,
    )


def _warm_tracker(study: Study, stack: ExitStack) -> TrackerProcess | None:
    """Start the tracker's process, so that it imports MLflow while this one loads the data."""
    return stack.enter_context(TrackerProcess()) if study.tracking.enabled else None


def _begin_tracking(tracker: TrackerProcess, study: Study, paths: Paths) -> None:
    uri = study.tracking.uri or paths.mlflow_uri
    artifacts = paths.mlflow_artifacts if uri.startswith("sqlite:") else None
    tracker.begin(paths.ledger_url, study.name, uri, artifacts=artifacts, log=paths.tracking_log)


def _search(
    study: Study, splits: Splits, ledger: Ledger, recorder: Recorder, control: Control, paths: Paths, view: View
) -> None:
    # Ray's classes are imported here, so that what needs no search starts without them.
    from search.executors.base import Search
    from search.sampler import OptunaSampler
    from search.scheduler import build_scheduler

    scheduler = build_scheduler(study)
    sampler = OptunaSampler(study, scheduler)
    row = ledger.study(study.name)
    study_id = row.id

    def remember(name: str, value: Any) -> None:
        ledger.add_fact(study_id, name, value)

    if trials := ledger.trials(study_id):
        epochs = ledger.epochs(study_id)
        scheduler.replay(epochs, trials)
        sampler.replay(trials, _values(epochs, study.objective.metric))
        recorder.replay(trials, epochs)
        view.say(resumed_text(trials, epochs))
    search = Search(study, splits, sampler, scheduler, recorder, control, paths.folder, row.facts, remember)
    try:
        _executor(study, view).run(search)
        if sampler.exhausted:
            message = f"the space has no more points after {recorder.progress.ended} trials"
            recorder.event("space_exhausted", message)
            view.say(message)
        if control.aborted is not None:
            recorder.event("aborted", control.aborted, level="error")
            raise RunError(f"the search was ended: {control.aborted}; what was recorded: {paths.ledger}")
        if not recorder.progress.ended and control.stopping is None:
            raise RunError(f"no trial was started; see {paths.folder}")
    finally:
        recorder.flush()


def _executor(study: Study, view: View) -> Executor:
    """Return the executor that the study names or that fits it, and say which."""
    choice = choose_executor(study)
    view.say(f"executor {choice.executor}: {choice.reason}")
    if choice.executor == "lanes":
        from search.executors.lanes import LanesExecutor

        return LanesExecutor()
    from search.executors.tune import TuneExecutor

    return TuneExecutor(view.say)


def resumed_text(trials: Sequence[TrialRow], epochs: Sequence[EpochRow]) -> str:
    """Return in one line what a resume found in the ledger."""
    open_trials = sum(t.state.resumable for t in trials)
    return f"the ledger has {len(trials)} trials and {len(epochs)} epochs; {open_trials} trials go on"


def _values(epochs: Sequence[EpochRow], metric: str) -> dict[int, dict[int, float]]:
    values: dict[int, dict[int, float]] = defaultdict(dict)
    for row in epochs:
        values[row.number][row.epoch] = float({**row.metrics, SECONDS: row.seconds}[metric])
    return values
