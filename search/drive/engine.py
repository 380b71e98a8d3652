"""Runs one study from declaration to answer."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from search.declaration.rungs import lowered_grace
from search.declaration.study import Study, differences, fits
from search.drive.continuation import (
    changes_since_begin,
    record_changes,
    refuse_absent_data,
    refuse_changed_model,
    refuse_other_data,
    refuse_other_preparation,
)
from search.drive.history import as_ledger_error
from search.drive.homeless import give_home
from search.drive.lock import driver_lock, starting_lock
from search.drive.model_identity import model_of
from search.drive.preparation import prepare_trainable
from search.drive.result import Result, checkpoint_notes, read_answer
from search.drive.session import Session, with_scratch
from search.drive.versions import versions
from search.errors import RunError, StorageError
from search.executors.choice import choose_executor
from search.executors.control import Control
from search.executors.fork_server import server_started_ahead
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
from search.report.warm_start_words import warm_start_lines
from search.signs.stopping import kill_children
from search.tracking.preflight import refuse_useless_store, store_of
from search.tracking.process import OTHERWISE, WITHOUT_IT, TrackerProcess
from trainables.address_space import narrow_address_space
from trainables.data.parts import counted
from trainables.data.spec import NO_DATA
from trainables.disk import space_hint
from trainables.registry import function_path
from trainables.stage import stage

if TYPE_CHECKING:
    from search.executors.search import Executor
    from trainables.data import Splits

Announce: TypeAlias = Callable[[Study, Result], None]


def conduct(
    study: Study,
    home: Path,
    load: Callable[[Study], Splits],
    *,
    view: View,
    announce: Announce = lambda *_: None,
    control: Control | None = None,
    executor: Executor | None = None,
) -> Result:
    """Search from the start, and return the answer. The study must not be in its ledger yet.

    Args:
        study: the declaration.
        home: folder of all studies.
        load: returns the examples of a study.
        view: shows the search.
        announce: is told the answer before the last of it is sent to MLflow, which may take a while.
        control: says whether to go on; by default its time budget and signals do.
        executor: runs the trials, in place of the one that is chosen for the study.

    Raises:
        RunError: the search could not go on; what was recorded stays.
    """
    paths = Paths(home, study.name, study.ledger)
    model = model_of(study.trainable)
    give_home(home, view.say)
    with ExitStack() as stack:
        starting = stack.enter_context(ExitStack())
        starting.enter_context(starting_lock(paths))
        tracker = _warm_tracker(study, paths, view, stack)
        choice = choose_executor(study)
        stack.enter_context(server_started_ahead(choice.forks))
        splits = with_scratch(load(study), paths, shared=choice.several_processes)
        data = function_path(study.trainable) if study.data.source == NO_DATA else splits.name
        view.say(f"searching {study.name}: {counted(study.budget.trials, 'trial')} on {data}, ledger {paths.ledger}")
        if (lowered := lowered_grace(study)) is not None:
            view.say(lowered)
        for i, line in enumerate(data_lines(splits.facts())):
            view.say(f"{'' if i else 'data':4} {line}")
        for i, line in enumerate(warm_start_lines(study)):
            view.say(f"{'' if i else 'from':4} {line}")
        prepared = prepare_trainable(study, splits, view.say)  # before there is a folder: what ends here leaves none
        facts = StudyFacts(
            uid=uuid.uuid4().hex, versions=versions(), model=model, data=splits.facts(), prepared=prepared
        )
        _confirm_store(tracker, study, otherwise=OTHERWISE)
        if (known := openness(paths.home)) is not None:
            view.say(known)
        _make_folder(paths)
        stack.enter_context(driver_lock(paths.lock, study.name))
        starting.close()
        ledger = stack.enter_context(Ledger(paths.ledger_url, create=True))
        if (migrated := ledger.migrate()) is not None:
            view.say(migrated.sentence)
        if (removed := remove_credentials(ledger)) is not None:
            view.say(removed.sentence)
        declaration = study.model_dump(mode="json")
        ledger.create_study(study.name, declaration, fingerprint=splits.fingerprint, facts=facts)
        stack.enter_context(resumable(paths))
        stack.enter_context(stage("beginning the search", way_on=f"go on with: {resume_command(paths)}"))
        control = control or Control()
        stack.enter_context(control.signals(on_second=kill_children))
        if tracker is not None:
            tracker.begin(paths.ledger_url, study.name, home=paths.home.absolute(), log=paths.tracking_log)
        with stage("building the sampler, the scheduler and the executor"):
            session = Session.prepare(study, splits, ledger, control, paths, view, choice, executor)
        return _drive(session, tracker, announce)


def resume(
    paths: Paths,
    *,
    view: View,
    load: Callable[[Study], Splits],
    change: Callable[[Study], Study] | None = None,
    extends: bool = True,
    accept_changed_model: bool = False,
    untracked_ok: bool = False,
    announce: Announce = lambda *_: None,
    control: Control | None = None,
    executor: Executor | None = None,
    confirm_s: float | None = None,
) -> tuple[Study, Result]:
    """Continue a recorded study where its ledger ends, and return it with the answer.

    Args:
        paths: where the study lies.
        view: shows the search.
        load: returns the examples of a study.
        change: returns another declaration from the recorded one; what it changed is recorded.
        extends: whether that may reach the results (more trials, another space).
        accept_changed_model: go on with a model that is not what it was.
        untracked_ok: go on whatever becomes of MLflow.
        announce: see ``conduct``.
        control: says whether to go on; by default its time budget and signals do.
        executor: runs the trials, in place of the one that is chosen for the study.
        confirm_s: train what confirms the answer for at most so many wall seconds, and no trial; None goes on with the
            search.

    Raises:
        RunError: another process drives it, its ledger is damaged, or its data or its model are not what
            they were.
    """
    if (narrow := narrow_address_space()) is not None:
        raise RunError(narrow)
    give_home(paths.home, view.say)
    if paths.database is not None:
        _make_folder(paths)  # the study may have been begun on another machine
    way_on = f"what was recorded stays; go on with: {resume_command(paths)}"
    with resumable(paths), ExitStack() as stack, stage("taking up the study", way_on=way_on):
        stack.enter_context(driver_lock(paths.lock, paths.name))
        ledger = stack.enter_context(Ledger(paths.ledger_url))
        ledger.check_whole()
        row = ledger.study(paths.name)
        study = study_from_row(row, paths.folder)
        before, study = study, study if change is None else change(study)
        with as_ledger_error(paths.ledger):
            refuse_changed_model(row, study, accept=accept_changed_model)
            changes = changes_since_begin(row, study)
        refuse_absent_data(study)
        tracker = _warm_tracker(study, paths, view, stack, untracked_ok=untracked_ok)
        choice = choose_executor(study, began_on_tune=began_on_tune(ledger, row, study))
        stack.enter_context(server_started_ahead(choice.forks))
        splits = load(study)
        refuse_other_data(row, splits)
        splits = with_scratch(splits, paths, shared=choice.several_processes)
        refuse_other_preparation(row, prepare_trainable(study, splits, view.say))
        control = control or Control()
        stack.enter_context(control.signals(on_second=kill_children))
        _confirm_store(tracker, study, otherwise=WITHOUT_IT, untracked_ok=untracked_ok)
        # Everything that may refuse the ledger comes before anything is written to it.
        with stage("taking up what the ledger has"):
            session = Session.prepare(study, splits, ledger, control, paths, view, choice, executor)
        migrated = ledger.migrate()
        changes = [change for change in (migrated, remove_credentials(ledger)) if change is not None] + changes
        if change is not None:
            _redeclare(ledger, row, before, study, view, extends=extends)
        record_changes(ledger, row, study, changes, view)
        if tracker is not None:
            tracker.begin(paths.ledger_url, study.name, home=paths.home.absolute(), log=paths.tracking_log)
        return study, _drive(session, tracker, announce, confirm_s=confirm_s)


def began_on_tune(ledger: Ledger, row: StudyRow, study: Study) -> bool:
    """Say whether a study on a cluster has trials of which none was in a lane: a session in lanes records how many."""
    return study.resources.address is not None and row.facts.lanes is None and bool(ledger.trials(row.id))


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


def _drive(
    session: Session, tracker: TrackerProcess | None, announce: Announce, *, confirm_s: float | None = None
) -> Result:
    """Run one session of a study whose lock is held and whose declaration is in the ledger.

    With ``confirm_s`` it trains what confirms the answer, for at most so many seconds, and no trial.
    """
    started = time.monotonic()
    study, ledger, control, paths = session.study, session.ledger, session.control, session.paths
    ending, untracked = SessionEnding.FAILED, None
    session.begin()
    shutil.rmtree(paths.handed_on, ignore_errors=True)  # of a session that was killed as it made it
    try:
        ending = _train(session) if confirm_s is None else _confirm_alone(session, confirm_s)
        session.end(ending)
        found = read_answer(ledger, ledger.study(study.name), study)
        progress = session.recorder.progress
        result = Result(
            found,
            ending,
            None,
            time.monotonic() - started,
            progress.training_s,
            control.exit_code,
            kept_on_disk(paths.checkpoints, found, checkpoint_notes(ledger, session.study_id)),
            session.splits.facts(),
            longest_stall_s=progress.longest_stall_s,
        )
        announce(study, result)
        _refuse_lost_ledger(paths)
    except BaseException:
        if ending is SessionEnding.FAILED:
            with suppress(StorageError):  # the reason is on its way, and the session counts as one that died
                session.end(ending)
        raise
    finally:
        if tracker is not None:
            untracked = _send_rest(tracker, session)
    return replace(
        result,
        untracked=untracked,
        wall_s=time.monotonic() - started,
        search_s=progress.training_s,
        exit_code=control.exit_code or int(found.problem is not None),
    )


def _train(session: Session) -> SessionEnding:
    """Train what is left of a study, and return how that ended."""
    with stage("training the trials"), session.view:
        session.run()
        if session.study.refits:
            session.refit()
        if session.study.confirm.pairs:
            session.allow_the_rest()
            if (why := session.confirm()) is not None:
                session.view.say(f"not confirmed: {why}")
        session.audit()
        if session.control.exit_code:
            return SessionEnding.INTERRUPTED
        _clear(session.paths.scratch, session.view)
        return SessionEnding.DONE


def _confirm_alone(session: Session, limit_s: float) -> SessionEnding:
    """Train what confirms the answer, and return how the study stands: as before, where it was not interrupted here.

    Raises:
        RunError: there is nothing to confirm.
    """
    earlier = [s.ending for s in session.ledger.sessions(session.study_id) if s.id != session.writer.session]
    session.control.allow(limit_s)
    with stage("confirming"), session.view:
        if (why := session.confirm()) is not None:
            raise RunError(f"{session.study.name} cannot be confirmed: {why}")
    was_cut_off = earlier[-1:] in ([SessionEnding.INTERRUPTED], [SessionEnding.DIED])
    if session.control.exit_code or (was_cut_off and session.has_trials_left):
        return SessionEnding.INTERRUPTED
    return SessionEnding.DONE


def _send_rest(tracker: TrackerProcess, session: Session) -> str | None:
    """Wait for the last of the runs to be sent; a signal ends that. Return None, or why not everything was sent."""
    before = session.control.exit_code
    session.view.say("sending the last of the runs to MLflow ...")
    with stage("sending the last of the runs to MLflow") as sending:
        why = tracker.finish(stopping=lambda: session.control.exit_code != before, sending=sending)
    shutil.rmtree(session.paths.handed_on, ignore_errors=True)
    return why


def _refuse_lost_ledger(paths: Paths) -> None:
    """Refuse to call a search done whose ledger is gone: SQLite goes on writing to a file that was removed.

    Raises:
        RunError: it is.
    """
    if paths.database is None and not paths.ledger_file.exists():
        raise RunError(
            f"the ledger {paths.ledger_file} is gone: its folder was removed or moved while the search ran; "
            "what was printed is all that is left of it"
        )


def _clear(scratch: Path, view: View) -> None:
    """Remove what trials shared while they trained; a search that goes on later computes it again."""
    if scratch.is_dir():
        size = sum(file.stat().st_size for file in scratch.rglob("*") if file.is_file())
        with stage(f"removing {scratch}"):
            shutil.rmtree(scratch, ignore_errors=True)
        view.say(f"removed {size / 1e6:.2f} MB that trials shared in {scratch}")


def _warm_tracker(
    study: Study, paths: Paths, view: View, stack: ExitStack, *, untracked_ok: bool = False
) -> TrackerProcess | None:
    """Start the tracker's process, so that it imports MLflow and tries a store while this one loads the data."""
    if not study.tracking.enabled:
        return None
    uri, artifacts = store_of(study, paths)
    tracker = stack.enter_context(TrackerProcess(uri, artifacts=artifacts, say=view.say))
    if _is_to_be_tried(study, untracked_ok):
        tracker.try_store(study.kind)
    return tracker


def _confirm_store(tracker: TrackerProcess | None, study: Study, *, otherwise: str, untracked_ok: bool = False) -> None:
    """Refuse a store that cannot be used, if it was tried."""
    if tracker is not None and _is_to_be_tried(study, untracked_ok):
        refuse_useless_store(tracker, study, otherwise=otherwise)


def _is_to_be_tried(study: Study, untracked_ok: bool) -> bool:
    """Say whether the store is one that a user named, and needs: the home's own is made when there is a home."""
    return bool(study.tracking.uri) and not (study.tracking.untracked_ok or untracked_ok)
