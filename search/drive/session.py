"""One session of a study: what the ledger has is read and checked, then what is left is trained."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from search.brain.replaced import replaced
from search.declaration.study import Study
from search.drive import memory_retry
from search.drive.audit import audited_study, audits_left
from search.drive.history import checked_history, refuse_untrainable
from search.drive.known import NOTHING, Known, recorded_and_said
from search.errors import RunError, StorageError
from search.executors.choice import ExecutorChoice
from search.executors.control import Control
from search.executors.progress import View
from search.executors.recorder import Recorder
from search.ledger import DecisionRow, EpochRow, Ledger, LedgerWriter, TrialRow
from search.ledger.audits import AuditWriter
from search.ledger.events import Aborted, CurvesSmoothed, Event, ShareUsedUp, SpaceExhausted
from search.ledger.outcome import SessionEnding, StopReason, TrialState
from search.ledger.paths import Paths
from search.ledger.printed_commands import extend_command
from trainables.data.parts import counted
from trainables.stage import stage

if TYPE_CHECKING:
    from search.executors.search import Executor, Search
    from trainables.data import Splits


SEARCH_SHARE = 0.8
"""Of a time budget, what the search may use where it is confirmed; the rest, and what it leaves, is for that."""


@dataclass(frozen=True)
class Session:
    """What one session of a study works with.

    Attributes:
        writer: records what happens in it; it has no session in the ledger before ``begin``.
        trials, epochs: what the ledger had when the session was prepared.
        tried_alone: the trials that had been, each because it ran out of memory among others.
        search: what the executor runs; it has taken up all that the ledger had.
        choice: which executor suits the study.
        executor: runs the trials.
    """

    study: Study
    study_id: int
    splits: Splits
    ledger: Ledger
    writer: LedgerWriter
    recorder: Recorder
    control: Control
    paths: Paths
    view: View
    trials: Sequence[TrialRow]
    epochs: Sequence[EpochRow]
    tried_alone: frozenset[int]
    search: Search
    choice: ExecutorChoice
    executor: Executor

    @classmethod
    def prepare(
        cls,
        study: Study,
        splits: Splits,
        ledger: Ledger,
        control: Control,
        paths: Paths,
        view: View,
        choice: ExecutorChoice,
        executor: Executor | None = None,
    ) -> Session:
        """Read what the ledger has of the study, and take it up. Nothing is written yet.

        Args:
            study: the declaration.
            splits: its examples.
            ledger: holds the study.
            control: says whether to go on.
            paths: of the study.
            view: shows the search.
            choice: which executor suits the study.
            executor: runs the trials in its place.

        Raises:
            RunError: a process on another host drives the study.
            LedgerError: what was read is damaged or contradicts itself.
        """
        study_id = ledger.study(study.name).id
        ledger.refuse_while_driven_elsewhere(study_id)
        trials, epochs = ledger.trials(study_id), ledger.epochs(study_id)
        if study.budget.time_s is not None:
            share = SEARCH_SHARE if study.confirm.pairs else 1.0
            control.allow(share * study.budget.time_s - ledger.seconds_used(study_id))
        writer = LedgerWriter(ledger, study_id)
        recorder = Recorder(study, writer, watch=view.update)
        going_on = {t.number for t in trials if t.state.resumable}
        tried = memory_retry.tried_alone(ledger, study_id)
        search = _search(study, splits, recorder, control, paths, view.say, known=Known.of(ledger, study_id))
        with checked_history(trials, epochs, metric=study.objective.metric, ledger=paths.ledger):
            recorder.replay(trials, epochs)
            _take_up(search, trials, epochs, going_on - tried, ledger.decisions(study_id))
            refuse_untrainable(study, trials, paths.ledger)
        return cls(
            study,
            study_id,
            splits,
            ledger,
            writer,
            recorder,
            control,
            paths,
            view,
            trials,
            epochs,
            tried,
            search,
            choice,
            executor or _build_executor(choice, view.say),
        )

    def begin(self) -> None:
        """Record that this process drives the study from now on."""
        self.ledger.end_lost_sessions(self.study_id)
        self.writer.session = self.ledger.start_session(self.study_id)

    def end(self, ending: SessionEnding) -> None:
        """Record how the session ended."""
        assert self.writer.session is not None
        self.ledger.end_session(self.writer.session, ending)

    def run(self) -> None:
        """Train what is left of the study, then once more, alone, what ran out of memory."""
        search, recorder, view = self.search, self.recorder, self.view
        if self.trials:
            view.say(resumed_text(self.trials, self.epochs))
        search.sweep(self.trials)
        view.say(f"executor {self.choice.executor}: {self.choice.reason}")
        facts = self.ledger.study(self.study.name).facts
        open_alone = any(t.state.resumable and t.number in self.tried_alone for t in self.trials)
        if (event := replaced(self.study)) is not None:
            view.say(event.sentence)
            if not self.trials:
                recorder.event(event)
        if self.study.scheduler.pauses and self.study.scheduler.paused_mb == 0 and self.choice.executor == "lanes":
            view.say("trials that wait are written to the checkpoint store at once (--paused-mb 0)")
        try:
            self.executor.run(replace(search, lanes=facts.lanes, lane_modes=facts.lane_modes))
            self._say_why_no_more(search)
            if search.scheduler.cost:
                view.say(search.scheduler.cost)
            self._keep_smoothed(search)
            if self.control.stopping is None and (recorder.out_of_memory or open_alone):
                self._run_alone()
            self._refuse_what_ended_it(recorder)
            if not recorder.progress.ended and self.control.stopping is None:
                raise RunError(f"no trial was started; see {self.paths.folder}")
        finally:
            recorder.flush()
            with stage("removing checkpoints that no trial needs"):
                search.janitor.shutdown()

    def _refuse_what_ended_it(self, recorder: Recorder) -> None:
        """Refuse to go on after too many failures, or without room for checkpoints.

        Raises:
            StorageError, RunError: with what it was.
        """
        if self.control.unsaved is not None:
            recorder.event(Aborted(reason=self.control.unsaved))
            raise StorageError(self.control.unsaved)
        if self.control.aborted is not None:
            recorder.event(Aborted(reason=self.control.aborted))
            if self.control.details:
                self.view.say(self.control.details)
            raise RunError(f"the search was ended: {self.control.aborted}; what was recorded: {self.paths.ledger}")

    def _keep_smoothed(self, search: Search) -> None:
        """Record what a model of the curves holds of each trial, unless a signal asks for a quick end."""
        if self.control.stopping in (None, StopReason.BUDGET) and (means := search.scheduler.means()):
            metric, epochs = self.study.objective.metric, self.recorder.progress.epochs
            self.recorder.event(CurvesSmoothed(epochs=epochs, metric=metric, means=means))

    def _say_why_no_more(self, search: Search) -> None:
        """Say that more trials would bring too little, or that the space, or a choice's part, has no more points."""
        events: list[Event] = []
        if search.sampler.settled is not None:
            self.view.say(f"{search.sampler.settled.sentence}; go on with: {extend_command(self.paths, '--trials 16')}")
        if search.sampler.exhausted:
            events.append(SpaceExhausted(trials=self.recorder.progress.ended))
        if self.study.balanced is not None:
            for choice, count in search.sampler.handed_on.items():
                events.append(ShareUsedUp(parameter=self.study.balanced, choice=choice, trials=count))
        for event in events:
            self.recorder.event(event)
            self.view.say(event.sentence)

    def _run_alone(self) -> None:
        """Run the trials that ran out of memory among others, one after the other.

        Sampler and scheduler are built anew from the ledger, as a later session would build them, with
        these trials as ones that go on: so they stand at the end where such a session will find them.
        """
        self.recorder.flush()
        trials = self.ledger.trials(self.study_id)
        tried = memory_retry.tried_alone(self.ledger, self.study_id)
        if numbers := memory_retry.trials_to_retry(self.study, trials, tried):
            self.view.say(f"{len(numbers)} trials ran out of memory; they are tried once more, one at a time")
            epochs, study = self.ledger.epochs(self.study_id), memory_retry.with_one_trial(self.study)
            known = replace(Known.of(self.ledger, self.study_id), ended_by=())
            search = _search(study, self.splits, self.recorder, self.control, self.paths, self.view.say, known=known)
            with checked_history(trials, epochs, metric=study.objective.metric, ledger=self.paths.ledger):
                _take_up(search, trials, epochs, numbers, self.ledger.decisions(self.study_id))
            search.sampler.exhausted = True  # it proposes these and no others
            self.recorder.alone = True
            try:
                with stage("training, one at a time, what ran out of memory"):
                    self.executor.run(search)
            finally:
                search.janitor.shutdown()

    @property
    def has_trials_left(self) -> bool:
        """Whether trials were still to be trained when the session was prepared."""
        return len(self.trials) < self.study.budget.trials or any(t.state.resumable for t in self.trials)

    def allow_the_rest(self) -> None:
        """Let what comes after the search use what is left of the time budget."""
        if self.study.budget.time_s is not None:
            self.control.allow(self.study.budget.time_s - self.ledger.seconds_used(self.study_id))

    def confirm(self) -> str | None:
        """Train what confirms the answer, as far as time and signals allow; return why there is nothing to confirm."""
        from search.drive.confirm import Confirming

        return Confirming(self.study, self.ledger, self.study_id, self.control, self.paths, self.view.say).run()

    def audit(self) -> None:
        """Train the pruned trials that were drawn for it to their end, as far as time and signals allow.

        In a folder of their own, and from their first epoch on: the curve is the one of the search, whose states and
        models stay untouched. What was trained of one before an interruption is gone on from.
        """
        left = audits_left(self.study, self.ledger, self.study_id)
        if not left or self.control.stopping is not None:
            return
        self.view.say(f"audit: {counted(len(left), 'pruned trial')} drawn for it train to their end ...")
        study, facts = audited_study(self.study, len(left)), self.ledger.study(self.study.name).facts
        writer = AuditWriter(self.ledger, self.study_id, session=self.writer.session)
        recorder = Recorder(study, writer, watch=self.view.update)
        lanes = None if facts.lanes is None else min(facts.lanes, len(left))
        search = replace(
            _search(study, self.splits, recorder, self.control, self.paths, self.view.say),
            folder=self.paths.audit,
            lanes=lanes,
            lane_modes=facts.lane_modes,
        )
        numbers = {trial.number for trial in left}
        epochs = [row for row in self.ledger.audit_epochs(self.study_id) if row.number in numbers]
        try:
            with checked_history(left, epochs, metric=study.objective.metric, ledger=self.paths.ledger):
                recorder.replay(left, epochs)
                _take_up(search, left, epochs, numbers)
            search.sampler.exhausted = True  # it orders these and no others
            search.sweep(left)
            with stage("training the audit's trials"):
                self.executor.run(search)
            self._refuse_what_ended_it(recorder)
        finally:
            recorder.flush()
            search.janitor.shutdown()
        if not audits_left(self.study, self.ledger, self.study_id):
            shutil.rmtree(self.paths.audit, ignore_errors=True)

    def refit(self) -> None:
        """Train the best of each choice once more, as far as time and signals allow."""
        from search.drive.refits import refit_best

        refit_best(self.study, self.ledger, self.study_id, self.splits, self.control, self.paths, self.view.say)


def _search(
    study: Study,
    splits: Splits,
    recorder: Recorder,
    control: Control,
    paths: Paths,
    say: Callable[[str], None],
    *,
    known: Known = NOTHING,
) -> Search:
    """Return a search that has taken up nothing yet.

    Raises:
        RunError: sampler or scheduler cannot be built as declared.
    """
    # Optuna's classes are imported here, so that what needs no search starts without them.
    from search.brain.sampler import OptunaSampler
    from search.brain.scheduler import build_scheduler
    from search.executors.search import Search

    try:
        scheduler, sampler = (
            build_scheduler(study, note=recorded_and_said(recorder, say), weighed=known.epochs_a_choice),
            OptunaSampler(study, ended_by=known.ended_by, note=recorder.event),
        )
    except (ArithmeticError, ValueError, TypeError) as error:  # of a number that is too large
        raise RunError(
            f"the scheduler {study.scheduler.name} or the sampler {study.sampler} cannot be built as declared "
            f"({type(error).__name__}: {error}); nothing was started"
        ) from error
    return Search(study, splits, sampler, scheduler, recorder, control, paths.folder, say=say)


def _take_up(
    search: Search,
    trials: Sequence[TrialRow],
    epochs: Sequence[EpochRow],
    goes_on: Collection[int],
    decisions: Sequence[DecisionRow] = (),
) -> None:
    """Have scheduler and sampler take up what the ledger has."""
    search.scheduler.replay(epochs, trials, decisions)
    paused_at = {row.number: row.epoch for row in decisions if row.action == "pause"}
    search.sampler.replay(trials, _values(epochs, search.study), goes_on=goes_on, paused_at=paused_at)


def _build_executor(choice: ExecutorChoice, say: Callable[[str], None]) -> Executor:
    """Return the executor that was chosen."""
    if choice.executor == "lanes":
        from search.executors.lanes import LanesExecutor, open_pool

        return LanesExecutor(say, open_pool=partial(open_pool, say=say))
    from search.executors.tune import TuneExecutor

    return TuneExecutor(say)


def resumed_text(trials: Sequence[TrialRow], epochs: Sequence[EpochRow]) -> str:
    """Return in one line what a resume found in the ledger."""
    paused = sum(t.state is TrialState.PAUSED for t in trials)
    open_trials = sum(t.state.resumable for t in trials) - paused
    waiting = f", {paused} are paused" if paused else ""
    return f"the ledger has {len(trials)} trials and {len(epochs)} epochs; {open_trials} trials go on{waiting}"


def _values(epochs: Sequence[EpochRow], study: Study) -> dict[int, dict[int, tuple[float, ...]]]:
    """Return every objective by trial and epoch."""
    values: dict[int, dict[int, tuple[float, ...]]] = defaultdict(dict)
    for row in epochs:
        reported = row.values
        values[row.number][row.epoch] = tuple(float(reported[o.metric]) for o in study.objectives)
    return values


def with_scratch(splits: Splits, paths: Paths, *, shared: bool) -> Splits:
    """Say where trials may keep what they compute from the data, and whether several processes do."""
    return replace(splits, scratch=str(paths.scratch), shared=shared)
