"""One session of a study: what the ledger has is read and checked, then what is left is trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.drive import memory_retry
from search.drive.history import refuse_untrainable, replaying
from search.errors import RunError, StorageError
from search.executors.choice import ExecutorChoice
from search.executors.control import Control
from search.executors.progress import View
from search.executors.recorder import Recorder
from search.ledger import EpochRow, Ledger, LedgerWriter, TrialRow
from search.ledger.events import TRIED_ALONE
from search.ledger.paths import Paths
from trainables.report import SECONDS

if TYPE_CHECKING:
    from search.executors.search import Executor, Search
    from trainables.data import Splits


@dataclass(frozen=True)
class Session:
    """What one session of a study works with.

    Attributes:
        writer: of its facts; it has no session in the ledger before ``begin``.
        trials, epochs: what the ledger had when it was prepared.
        tried: the trials that had been tried alone.
        search: has taken all of that up.
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
    tried: frozenset[int]
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
        row = ledger.study(study.name)
        study_id = row.id
        ledger.refuse_while_driven_elsewhere(study_id)
        trials, epochs = ledger.trials(study_id), ledger.epochs(study_id)
        if study.budget.time_s is not None:
            control.allow(study.budget.time_s - ledger.seconds_used(study_id))
        writer = LedgerWriter(ledger, study_id)
        recorder = Recorder(study, writer, watch=view.update)
        going_on = {t.number for t in trials if t.state.resumable}
        with replaying(trials, epochs, metric=study.objective.metric, ledger=paths.ledger):
            _refuse_misshapen(row.facts)
            tried = memory_retry.tried(ledger.messages(study_id, TRIED_ALONE))
            recorder.replay(trials, epochs)
            search = _search(study, splits, trials, epochs, going_on - tried, recorder, control, paths)
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

    def end(self, ending: str) -> None:
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

        def remember(name: str, value: Any) -> None:
            self.ledger.add_fact(self.study_id, name, value)

        facts = self.ledger.study(self.study.name).facts
        open_alone = any(t.state.resumable and t.number in self.tried for t in self.trials)
        try:
            self.executor.run(replace(search, facts=facts, remember=remember))
            self._say_what_is_used_up(search)
            if self.control.stopping is None and (recorder.out_of_memory or open_alone):
                self._run_alone()
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

    def _run_alone(self) -> None:
        """Run the trials that ran out of memory among others, one after the other.

        Sampler and scheduler are built anew from the ledger, as a later session would build them, with
        these trials as ones that go on: so they stand at the end where such a session will find them.
        """
        self.recorder.flush()
        trials = self.ledger.trials(self.study_id)
        tried = memory_retry.tried(self.ledger.messages(self.study_id, TRIED_ALONE))
        if numbers := memory_retry.due(self.study, trials, tried):
            self.view.say(f"{len(numbers)} trials ran out of memory; they are tried once more, one at a time")
            epochs, study = self.ledger.epochs(self.study_id), memory_retry.for_one(self.study)
            with replaying(trials, epochs, metric=study.objective.metric, ledger=self.paths.ledger):
                search = _search(study, self.splits, trials, epochs, numbers, self.recorder, self.control, self.paths)
            search.sampler.exhausted = True  # it proposes these and no others
            self.recorder.alone = True
            try:
                self.executor.run(search)
            finally:
                search.janitor.shutdown()

    def refit(self) -> None:
        """Train the best of each choice once more, as far as time and signals allow."""
        from search.drive.refits import refit_best

        refit_best(self.study, self.ledger, self.study_id, self.splits, self.control, self.paths, self.view.say)


def _search(
    study: Study,
    splits: Splits,
    trials: Sequence[TrialRow],
    epochs: Sequence[EpochRow],
    goes_on: Collection[int],
    recorder: Recorder,
    control: Control,
    paths: Paths,
) -> Search:
    """Return a search that has taken up what the ledger has."""
    # Ray's classes are imported here, so that what needs no search starts without them.
    from search.brain.sampler import OptunaSampler
    from search.brain.scheduler import build_scheduler
    from search.executors.search import Search

    scheduler = build_scheduler(study)
    sampler = OptunaSampler(study)
    scheduler.replay(epochs, trials)
    sampler.replay(trials, _values(epochs, study), goes_on=goes_on)
    return Search(study, splits, sampler, scheduler, recorder, control, paths.folder)


def _refuse_misshapen(facts: Mapping[str, Any]) -> None:
    """Look at what an executor will take from earlier sessions; raises ValueError where it cannot be that."""
    from search.executors.search import LANES_FACT, MODES_FACT

    lanes, modes = facts.get(LANES_FACT, 1), facts.get(MODES_FACT, {})
    if type(lanes) is not int or lanes < 1:
        raise ValueError(f"{LANES_FACT} {lanes!r:.40}")
    if not isinstance(modes, dict):
        raise ValueError(f"{MODES_FACT} {modes!r:.40}")


def _build_executor(choice: ExecutorChoice, say: Callable[[str], None]) -> Executor:
    """Return the executor that was chosen."""
    if choice.executor == "lanes":
        from search.executors.lanes import LanesExecutor

        return LanesExecutor(say)
    from search.executors.tune import TuneExecutor

    return TuneExecutor(say)


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


def with_scratch(splits: Splits, paths: Paths, *, shared: bool) -> Splits:
    """Say where trials may keep what they compute from the data, and whether several processes do."""
    return replace(splits, scratch=str(paths.scratch), shared=shared)
