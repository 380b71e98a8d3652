"""What every executor is given, and the one thing it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from search.brain.order import TrialOrder
from search.brain.recording_scheduler import RecordingScheduler
from search.brain.sampler import OptunaSampler
from search.declaration.study import Study
from search.declaration.unread import judge_unread
from search.executors.control import Control
from search.executors.recorder import Recorder
from search.ledger import TrialRow
from search.ledger.events import CheckpointNote, TrialNote
from search.ledger.outcome import Outcome, StopReason, TrialState
from search.ledger.paths import CHECKPOINTS
from spaces import BASELINE_TRIAL
from trainables.checkpoint_store import ARTIFACTS, CheckpointStore
from trainables.errors import CheckpointError
from trainables.notice import ARTIFACT, SOUGHT, UNREAD, Notice, TryOut
from trainables.registry import is_train_function
from trainables.user_code import own_traceback, place_in_traceback

if TYPE_CHECKING:
    from trainables.data import Splits


@dataclass(frozen=True)
class Search:
    """A search about to run.

    Attributes:
        folder: of the study; executors keep their own files below it.
        lanes: of a worker in the study's first session; None where there was none.
        lane_modes: how groups of trials trained whose mode earlier sessions measured.
        say: prints one line for the user.
        janitor: removes files, which may wait for the disk.
    """

    study: Study
    splits: Splits
    sampler: OptunaSampler
    scheduler: RecordingScheduler
    recorder: Recorder
    control: Control
    folder: Path
    lanes: int | None = None
    lane_modes: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = lambda line: None
    janitor: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="tidy"))
    _said: set[str] = field(default_factory=set)

    @property
    def checkpoints(self) -> CheckpointStore:
        """What its trials left on disk."""
        return CheckpointStore(self.folder / CHECKPOINTS)

    def sweep(self, trials: Sequence[TrialRow]) -> None:
        """Remove what earlier sessions of the study left behind and no trial needs."""
        retention = self.recorder.retention
        retention.take_settled()
        going_on = {row.number for row in trials if row.state.resumable}
        self.checkpoints.remove_leftovers(going_on=going_on, kept=retention.kept)

    def tidy(self) -> None:
        """Remove what the trials that have ended need no more; the ledger says first that they have."""
        store, retention = self.checkpoints, self.recorder.retention
        settled = [number for number in retention.take_settled() if store.holds(number)]
        if settled:
            self.recorder.flush()
        for number in settled:
            self.janitor.submit(store.trim, number, keep_best=retention.keeps(number))

    def leave(self, number: int) -> None:
        """Record that a paused trial does not come back: the search is over."""
        outcome = Outcome(StopReason.NOT_RESUMED)
        self.scheduler.leave(number)
        self.sampler.tell(number, outcome)
        self.recorder.unpaused(number)
        self.recorder.ended(number, outcome)

    def check_best(self, order: TrialOrder) -> list[CheckpointNote]:
        """Remove the best model of a trial where it is of another epoch than the ledger's; return what to record."""
        number, known = order.number, None if order.best is None else order.best[0]
        try:
            found = self.checkpoints.best(number)
        except CheckpointError:
            found = None
        if known is None or (found is not None and found["epoch"] == known):
            return []
        self.checkpoints.remove_best(number)
        lost = f"trial {number}: its best model, of epoch {known}, was lost while it was paused, and is not kept"
        return [CheckpointNote(trial=number, note=lost)]

    def failed(self, number: int, outcome: Outcome, *, epochs: int) -> None:
        """Ask for an end where more trials failed than the study allows, or where all others would fail alike.

        Args:
            number: of a trial that has just failed.
            outcome: how.
            epochs: how many it had reported.
        """
        first = number == BASELINE_TRIAL and not epochs and outcome.traceback
        if first and outcome.reason is StopReason.ERROR and is_train_function(self.study.trainable):
            place = place_in_traceback(outcome.traceback)
            line = outcome.message if place is None else f"{place}: {outcome.message}"
            why = f"{line} (trial 0, before its first report, as every other would)"
            self.control.abort(why, details=own_traceback(outcome.traceback))
        limit = self.study.faults.abort_after
        failed = self.recorder.progress.states[TrialState.FAILED]
        if limit is not None and failed >= limit:
            self.control.abort(f"{failed} trials failed (--abort-after-failures {limit})")

    def noticed(self, number: int, notices: Sequence[Notice]) -> None:
        """Record what a trial has to say, and print, once each, what a person may have expected otherwise.

        A parameter that a training function never reads ends the search.
        """
        for notice in notices:
            if notice.warning and notice.kind != UNREAD and notice.text not in self._said:
                self._said.add(notice.text)
                self.say(f"trial {number}: {notice.text}")
            if notice.kind not in (UNREAD, SOUGHT):
                path = None
                if notice.kind == ARTIFACT:
                    path = str((self.checkpoints.files_folder(number) / ARTIFACTS / notice.text).absolute())
                self.recorder.event(TrialNote(trial=number, about=notice.kind, note=notice.text, path=path))
        named = {notice.kind: notice.names for notice in notices}
        if number != BASELINE_TRIAL or UNREAD not in named:
            return
        found = judge_unread(self.study, TryOut(unread=named[UNREAD], sought=named.get(SOUGHT, ())))
        for known in found.notices:
            self.recorder.event(TrialNote(trial=number, about=known.kind, note=known.text))
        if found.errors:
            self.control.abort("; ".join(found.errors))


class Executor(Protocol):
    """Runs trials until the sampler has no more, or the control says stop."""

    def run(self, search: Search) -> None:
        """Ask, train, report, decide, record.

        Every trial that started has ended in the recorder when this returns.
        """
