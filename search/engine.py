"""Runs one study from declaration to answer."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search import alone
from search.continuation import note_changes, refuse_changed_model, refuse_other_data, refuse_other_facts
from search.control import Control, kill_children
from search.errors import RunError, StorageError
from search.executors.choice import choose_executor
from search.history import replaying
from search.ledger import EpochRow, Ledger, LedgerWriter, StudyRow, TrialRow
from search.lock import driver_lock
from search.model import MODEL, model_of
from search.paths import Paths
from search.progress import View
from search.recorder import Recorder
from search.report.answer import Answer, answer
from search.report.examples import DATA, data_lines
from search.report.kept import Kept, kept_on_disk
from search.study import Study, differences, fits, recorded
from search.tracker_process import UID, TrackerProcess
from search.versions import versions
from trainables.disk import space_hint
from trainables.errors import ConfigError
from trainables.registry import Readied, find_trainable
from trainables.report import SECONDS

if TYPE_CHECKING:
    from search.executors.base import Executor, Search
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
        kept: what of its checkpoints is on disk.
        data: what the ledger holds of the examples (``Splits.facts``); empty in ledgers that hold nothing.
        longest_stall_s: see ``Progress``; None where the search was not run just now.
    """

    answer: Answer
    ending: str
    untracked: str | None
    wall_s: float
    search_s: float
    exit_code: int
    kept: Kept
    data: Mapping[str, Any] = field(default_factory=dict)
    longest_stall_s: float | None = None


def conduct(study: Study, home: Path, load: Callable[[Study], Splits], *, view: View) -> Result:
    """Search from the start, and return the answer. The study must not be in its ledger yet.

    Args:
        study: the declaration.
        home: folder of all studies.
        load: returns the examples of a study.
        view: shows the search.

    Raises:
        RunError: the search could not go on; what was recorded stays.
    """
    paths = Paths(home, study.name, study.ledger)
    facts = {UID: uuid.uuid4().hex, "versions": versions(), MODEL: model_of(study.trainable)}
    with ExitStack() as stack:
        tracker = _warm_tracker(study, stack)
        splits = load(study)
        _make_folder(paths)
        view.say(f"searching {study.name}: {study.budget.trials} trials on {splits.name}, ledger {paths.ledger}")
        for i, line in enumerate(data_lines(splits.facts())):
            view.say(f"{'' if i else 'data':4} {line}")
        stack.enter_context(driver_lock(paths.lock, study.name))
        splits = _placed(splits, study, paths)
        facts |= made_ready(study, splits, view.say)
        ledger = stack.enter_context(Ledger(paths.ledger_url, create=True))
        declaration = study.model_dump(mode="json")
        ledger.create_study(
            study.name, declaration, fingerprint=splits.fingerprint, facts={**facts, DATA: splits.facts()}
        )
        stack.enter_context(resumable(paths))
        return _drive(study, ledger, splits, paths, view, tracker, stack)


def resume(
    paths: Paths,
    *,
    view: View,
    load: Callable[[Study], Splits],
    change: Callable[[Study], Study] | None = None,
    extends: bool = True,
    accept_changed_model: bool = False,
) -> tuple[Study, Result]:
    """Continue a recorded study where its ledger ends, and return it with the answer.

    Args:
        paths: of the study.
        view: shows the search.
        load: returns the examples of a study.
        change: returns another declaration from the recorded one; what it changed is recorded.
        extends: whether that may reach the results (more trials, another space).
        accept_changed_model: go on with a model that is not what it was.

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
        study = recorded(row)
        before, study = study, study if change is None else change(study)
        refuse_changed_model(row, study, accept=accept_changed_model)
        tracker = _warm_tracker(study, stack)
        splits = load(study)
        refuse_other_data(row, splits)
        splits = _placed(splits, study, paths)
        refuse_other_facts(row, made_ready(study, splits, view.say))
        if change is not None:
            _redeclare(ledger, row, before, study, view, extends=extends)
        note_changes(ledger, row, study, view)
        return study, _drive(study, ledger, splits, paths, view, tracker, stack)


def made_ready(study: Study, splits: Splits, say: Callable[[str], None]) -> dict[str, Any]:
    """Have the trainable make or fetch what it needs before any trial starts; return what it says of it.

    Raises:
        RunError: it cannot be had.
    """
    trainable = find_trainable(study.trainable)
    if not isinstance(trainable, Readied):
        return {}
    config = trainable.configure(study.params_of(study.space.baseline), max_epochs=study.budget.max_epochs)
    try:
        return trainable.make_ready(config, splits, say)
    except ConfigError as error:
        raise RunError(error.errors) from None


def _placed(splits: Splits, study: Study, paths: Paths) -> Splits:
    """Say where trials may keep what they compute from the data, and whether several processes do."""
    shared = choose_executor(study).executor == "tune" or study.resources.workers not in (None, 1)
    return replace(splits, scratch=str(paths.folder), shared=shared)


def _make_folder(paths: Paths) -> None:
    try:
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
        raise RunError([*lines, f"{last}; then go on with: {paths.resume_command}"]) from None


def _redeclare(ledger: Ledger, row: StudyRow, before: Study, after: Study, view: View, *, extends: bool) -> None:
    """Record a changed declaration, and say what changed; where it extends, how many trials still fit."""
    lines = differences(before, after)
    if extends:
        fitting = sum(fits(after.space, trial.params, trial.number) for trial in ledger.trials(row.id))
        lines.append(f"{fitting} of {len(ledger.trials(row.id))} trials fit and are told to the sampler")
    elif not lines:
        return
    ledger.redeclare(row.id, after.model_dump(mode="json"))
    writer = LedgerWriter(ledger, row.id)
    for line in lines:
        writer.event("extended" if extends else "redeclared", line)
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
        _Session(study, splits, ledger, recorder, control, paths, view).run()
        if study.refits and not control.exit_code:
            from search.refits import refit_best

            refit_best(study, ledger, study_id, splits, control, view.say)
        ending = INTERRUPTED if control.exit_code else DONE
    finally:
        try:
            ledger.end_session(session, ending)
        except StorageError:
            if ending != FAILED:  # else the reason is on its way, and the session counts as one that died
                raise
        finally:
            if tracker is not None:
                view.say("sending the last of the runs to MLflow ...")
                untracked = tracker.finish()
    facts = ledger.study(study.name).facts
    found = answer(study, ledger.trials_frame(study_id), ledger.epochs_frame(study_id), facts)
    return Result(
        found,
        ending,
        untracked,
        time.monotonic() - started,
        recorder.progress.training_s,
        control.exit_code,
        kept_on_disk(paths.checkpoints, found.best),
        splits.facts(),
        longest_stall_s=recorder.progress.longest_stall_s,
    )


def _warm_tracker(study: Study, stack: ExitStack) -> TrackerProcess | None:
    """Start the tracker's process, so that it imports MLflow while this one loads the data."""
    return stack.enter_context(TrackerProcess()) if study.tracking.enabled else None


def _begin_tracking(tracker: TrackerProcess, study: Study, paths: Paths) -> None:
    uri = study.tracking.uri or paths.mlflow_uri
    artifacts = paths.mlflow_artifacts if uri.startswith("sqlite:") else None
    tracker.begin(paths.ledger_url, study.name, uri, artifacts=artifacts, log=paths.tracking_log)


@dataclass(frozen=True)
class _Session:
    """What one session of a study works with."""

    study: Study
    splits: Splits
    ledger: Ledger
    recorder: Recorder
    control: Control
    paths: Paths
    view: View

    def run(self) -> None:
        """Train what is left of the study, then once more, alone, what ran out of memory."""
        row, recorder, view = self.ledger.study(self.study.name), self.recorder, self.view
        trials, epochs = self.ledger.trials(row.id), self.ledger.epochs(row.id)
        if trials:
            with self._replaying(trials, epochs):
                recorder.replay(trials, epochs)
            view.say(resumed_text(trials, epochs))
        tried = alone.tried(self.ledger.messages(row.id, alone.TRIED_ALONE))
        open_trials = {t.number for t in trials if t.state.resumable}

        def remember(name: str, value: Any) -> None:
            self.ledger.add_fact(row.id, name, value)

        search = self._prepared(self.study, trials, epochs, open_trials - tried)
        search.sweep(trials)
        executor = _executor(self.study, view)
        try:
            executor.run(replace(search, facts=row.facts, remember=remember))
            self._say_what_is_used_up(search)
            if self.control.stopping is None and (recorder.out_of_memory or open_trials & tried):
                self._run_alone(executor, row.id)
            if self.control.unsaved is not None:
                recorder.event("aborted", self.control.unsaved, level="error")
                raise StorageError(self.control.unsaved)
            if self.control.aborted is not None:
                recorder.event("aborted", self.control.aborted, level="error")
                raise RunError(f"the search was ended: {self.control.aborted}; what was recorded: {self.paths.ledger}")
            if not recorder.progress.ended and self.control.stopping is None:
                raise RunError(f"no trial was started; see {self.paths.folder}")
        finally:
            recorder.flush()
            search.janitor.shutdown()

    def _say_what_is_used_up(self, search: Search) -> None:
        """Say that the space, or a choice's part of it, has no more points."""
        lines = []
        if search.sampler.exhausted:
            ended = self.recorder.progress.ended
            lines.append(("space_exhausted", f"the space has no more points after {ended} trials"))
        for choice, count in search.sampler.handed_on.items():
            message = f"{self.study.balanced}={choice} has no more points after {count} trials"
            lines.append(("share_used_up", f"{message}; the others had its share"))
        for kind, line in lines:
            self.recorder.event(kind, line)
            self.view.say(line)

    def _run_alone(self, executor: Executor, study_id: int) -> None:
        """Run the trials that ran out of memory among others, one after the other.

        Sampler and scheduler are built anew from the ledger, as a later session would build them, with
        these trials as ones that go on: so they stand at the end where such a session will find them.
        """
        self.recorder.flush()
        trials = self.ledger.trials(study_id)
        tried = alone.tried(self.ledger.messages(study_id, alone.TRIED_ALONE))
        if numbers := alone.due(self.study, trials, tried):
            self.view.say(f"{len(numbers)} trials ran out of memory; they are tried once more, one at a time")
            epochs = self.ledger.epochs(study_id)
            search = self._prepared(alone.for_one(self.study), trials, epochs, numbers)
            search.sampler.exhausted = True  # it proposes these and no others
            self.recorder.alone = True
            try:
                executor.run(search)
            finally:
                search.janitor.shutdown()

    def _replaying(self, trials: Sequence[TrialRow], epochs: Sequence[EpochRow]) -> AbstractContextManager[None]:
        return replaying(trials, epochs, metric=self.study.objective.metric, ledger=self.paths.ledger)

    def _prepared(
        self, study: Study, trials: Sequence[TrialRow], epochs: Sequence[EpochRow], goes_on: Collection[int]
    ) -> Search:
        """Return a search that has taken up what the ledger has."""
        # Ray's classes are imported here, so that what needs no search starts without them.
        from search.executors.base import Search
        from search.sampler import OptunaSampler
        from search.scheduler import build_scheduler

        scheduler = build_scheduler(study)
        sampler = OptunaSampler(study, scheduler)
        with self._replaying(trials, epochs):
            scheduler.replay(epochs, trials)
            sampler.replay(trials, _values(epochs, study), goes_on=goes_on)
        return Search(study, self.splits, sampler, scheduler, self.recorder, self.control, self.paths.folder)


def _executor(study: Study, view: View) -> Executor:
    """Return the executor that the study names or that fits it, and say which."""
    choice = choose_executor(study)
    view.say(f"executor {choice.executor}: {choice.reason}")
    if choice.executor == "lanes":
        from search.executors.lanes import LanesExecutor

        return LanesExecutor(view.say)
    from search.executors.tune import TuneExecutor

    return TuneExecutor(view.say)


def resumed_text(trials: Sequence[TrialRow], epochs: Sequence[EpochRow]) -> str:
    """Return in one line what a resume found in the ledger."""
    open_trials = sum(t.state.resumable for t in trials)
    return f"the ledger has {len(trials)} trials and {len(epochs)} epochs; {open_trials} trials go on"


def _values(epochs: Sequence[EpochRow], study: Study) -> dict[int, dict[int, tuple[float, ...]]]:
    """Return every objective by trial and epoch."""
    values: dict[int, dict[int, tuple[float, ...]]] = defaultdict(dict)
    for row in epochs:
        metrics = {**row.metrics, SECONDS: row.seconds}
        values[row.number][row.epoch] = tuple(float(metrics[o.metric]) for o in study.objectives)
    return values
