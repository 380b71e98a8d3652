"""Runs one study from declaration to answer."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from search.declaration.study import Study, differences, fits
from search.drive.continuation import (
    changes_since_begin,
    record_changes,
    refuse_changed_model,
    refuse_other_data,
    refuse_other_preparation,
)
from search.drive.history import as_ledger_error
from search.drive.lock import driver_lock
from search.drive.model_identity import model_of
from search.drive.preparation import prepare_trainable
from search.drive.result import Result, read_answer
from search.drive.session import Session, with_scratch
from search.drive.versions import versions
from search.errors import RunError, StorageError
from search.executors.choice import choose_executor
from search.executors.control import Control, kill_children
from search.executors.progress import View
from search.ledger import Ledger, LedgerWriter, StudyFacts, StudyRow
from search.ledger.events import Event, Extended, Redeclared, TrialsKept
from search.ledger.outcome import SessionEnding
from search.ledger.paths import Paths
from search.ledger.printed_commands import resume_command
from search.ledger.private_files import make_private_folder, openness
from search.ledger.stored_credentials import remove_credentials
from search.ledger.stored_study import study_from_row
from search.report.examples import data_lines
from search.report.kept import kept_on_disk
from search.tracking.process import TrackerProcess
from trainables.disk import space_hint

if TYPE_CHECKING:
    from search.executors.search import Executor
    from trainables.data import Splits


def conduct(
    study: Study,
    home: Path,
    load: Callable[[Study], Splits],
    *,
    view: View,
    control: Control | None = None,
    executor: Executor | None = None,
) -> Result:
    """Search from the start, and return the answer. The study must not be in its ledger yet.

    Args:
        study: the declaration.
        home: folder of all studies.
        load: returns the examples of a study.
        view: shows the search.
        control: says whether to go on; by default its time budget and signals do.
        executor: runs the trials, in place of the one that is chosen for the study.

    Raises:
        RunError: the search could not go on; what was recorded stays.
    """
    paths = Paths(home, study.name, study.ledger)
    model = model_of(study.trainable)
    with ExitStack() as stack:
        tracker = _warm_tracker(study, stack)
        choice = choose_executor(study)
        splits = with_scratch(load(study), paths, shared=choice.several_processes)
        view.say(f"searching {study.name}: {study.budget.trials} trials on {splits.name}, ledger {paths.ledger}")
        for i, line in enumerate(data_lines(splits.facts())):
            view.say(f"{'' if i else 'data':4} {line}")
        prepared = prepare_trainable(study, splits, view.say)  # before there is a folder: what ends here leaves none
        facts = StudyFacts(
            uid=uuid.uuid4().hex, versions=versions(), model=model, data=splits.facts(), prepared=prepared
        )
        if (known := openness(paths.home)) is not None:
            view.say(known)
        _make_folder(paths)
        stack.enter_context(driver_lock(paths.lock, study.name))
        ledger = stack.enter_context(Ledger(paths.ledger_url, create=True))
        if (migrated := ledger.migrate()) is not None:
            view.say(migrated.sentence)
        if (removed := remove_credentials(ledger)) is not None:
            view.say(removed.sentence)
        declaration = study.model_dump(mode="json")
        ledger.create_study(study.name, declaration, fingerprint=splits.fingerprint, facts=facts)
        stack.enter_context(resumable(paths))
        control = control or Control()
        stack.enter_context(control.signals(on_second=kill_children))
        if tracker is not None:
            _begin_tracking(tracker, study, paths)
        session = Session.prepare(study, splits, ledger, control, paths, view, choice, executor)
        return _drive(session, tracker, view, stack)


def resume(
    paths: Paths,
    *,
    view: View,
    load: Callable[[Study], Splits],
    change: Callable[[Study], Study] | None = None,
    extends: bool = True,
    accept_changed_model: bool = False,
    control: Control | None = None,
    executor: Executor | None = None,
) -> tuple[Study, Result]:
    """Continue a recorded study where its ledger ends, and return it with the answer.

    Args:
        paths: where the study lies.
        view: shows the search.
        load: returns the examples of a study.
        change: returns another declaration from the recorded one; what it changed is recorded.
        extends: whether that may reach the results (more trials, another space).
        accept_changed_model: go on with a model that is not what it was.
        control: says whether to go on; by default its time budget and signals do.
        executor: runs the trials, in place of the one that is chosen for the study.

    Raises:
        RunError: another process drives it, its ledger is damaged, or its data or its model are not what
            they were.
    """
    if paths.database is not None:
        _make_folder(paths)  # the study may have been begun on another machine
    with resumable(paths), ExitStack() as stack:
        stack.enter_context(driver_lock(paths.lock, paths.name))
        ledger = stack.enter_context(Ledger(paths.ledger_url))
        ledger.check_whole()
        row = ledger.study(paths.name)
        study = study_from_row(row)
        before, study = study, study if change is None else change(study)
        with as_ledger_error(paths.ledger):
            refuse_changed_model(row, study, accept=accept_changed_model)
            changes = changes_since_begin(row, study)
        tracker = _warm_tracker(study, stack)
        splits = load(study)
        refuse_other_data(row, splits)
        choice = choose_executor(study)
        splits = with_scratch(splits, paths, shared=choice.several_processes)
        refuse_other_preparation(row, prepare_trainable(study, splits, view.say))
        control = control or Control()
        stack.enter_context(control.signals(on_second=kill_children))
        # Everything that may refuse the ledger comes before anything is written to it.
        session = Session.prepare(study, splits, ledger, control, paths, view, choice, executor)
        migrated = ledger.migrate()
        changes = [change for change in (migrated, remove_credentials(ledger)) if change is not None] + changes
        if change is not None:
            _redeclare(ledger, row, before, study, view, extends=extends)
        record_changes(ledger, row, study, changes, view)
        if tracker is not None:
            _begin_tracking(tracker, study, paths)
        return study, _drive(session, tracker, view, stack)


def _make_folder(paths: Paths) -> None:
    try:
        make_private_folder(paths.home.absolute())
        paths.folder.mkdir(parents=True, exist_ok=True)  # two at once: the lock lets one of them in
    except OSError as error:
        raise RunError(f"{paths.folder} cannot be made: {error.strerror}{space_hint(paths.folder)}") from None


@contextmanager
def resumable(paths: Paths) -> Iterator[None]:
    """Say how a search goes on whose ledger or whose checkpoints cannot be written."""
    try:
        yield
    except StorageError as error:
        *lines, last = error.errors
        raise RunError([*lines, f"{last}; then go on with: {resume_command(paths)}"]) from None


def _redeclare(ledger: Ledger, row: StudyRow, before: Study, after: Study, view: View, *, extends: bool) -> None:
    """Record a changed declaration, and say what changed; where it extends, how many trials still fit."""
    kind = Extended if extends else Redeclared
    events: list[Event] = [
        kind(field=change.field, before=change.before, after=change.after) for change in differences(before, after)
    ]
    if extends:
        trials = ledger.trials(row.id)
        fitting = sum(fits(after.space, trial.params, trial.number) for trial in trials)
        events.append(TrialsKept(fitting=fitting, trials=len(trials)))
    elif not events:
        return
    ledger.redeclare(row.id, after.model_dump(mode="json"))
    writer = LedgerWriter(ledger, row.id)
    for event in events:
        writer.event(event)
        view.say(event.sentence)
    writer.flush()


def _drive(session: Session, tracker: TrackerProcess | None, view: View, stack: ExitStack) -> Result:
    """Run one session of a study whose lock is held and whose declaration is in the ledger."""
    started = time.monotonic()
    study, ledger, control = session.study, session.ledger, session.control
    ending, untracked = SessionEnding.FAILED, None
    session.begin()
    stack.enter_context(view)
    try:
        session.run()
        if study.refits:
            session.refit()
        ending = SessionEnding.INTERRUPTED if control.exit_code else SessionEnding.DONE
        if ending is SessionEnding.DONE:
            _clear(session.paths.scratch, view)
    finally:
        try:
            session.end(ending)
        except StorageError:
            if ending is not SessionEnding.FAILED:
                raise  # else the reason is on its way, and the session counts as one that died
        finally:
            if tracker is not None:
                view.say("sending the last of the runs to MLflow ...")
                untracked = tracker.finish()
    found = read_answer(ledger, ledger.study(study.name), study)
    progress = session.recorder.progress
    return Result(
        found,
        ending,
        untracked,
        time.monotonic() - started,
        progress.training_s,
        control.exit_code,
        kept_on_disk(session.paths.checkpoints, found.best),
        session.splits.facts(),
        longest_stall_s=progress.longest_stall_s,
    )


def _clear(scratch: Path, view: View) -> None:
    """Remove what trials shared while they trained; a search that goes on later computes it again."""
    if scratch.is_dir():
        size = sum(file.stat().st_size for file in scratch.rglob("*") if file.is_file())
        shutil.rmtree(scratch, ignore_errors=True)
        view.say(f"removed {size / 1e6:.2f} MB that trials shared in {scratch}")


def _warm_tracker(study: Study, stack: ExitStack) -> TrackerProcess | None:
    """Start the tracker's process, so that it imports MLflow while this one loads the data."""
    return stack.enter_context(TrackerProcess()) if study.tracking.enabled else None


def _begin_tracking(tracker: TrackerProcess, study: Study, paths: Paths) -> None:
    uri = study.tracking.uri or paths.mlflow_uri
    artifacts = paths.mlflow_artifacts if uri.startswith("sqlite:") else None
    tracker.begin(paths.ledger_url, study.name, uri, artifacts=artifacts, log=paths.tracking_log)
