"""What happens in a study beside its trials, epochs and decisions: a record each, and the sentence it is shown as.

The ledger stores the record; the sentence is made of it here, whenever one is shown. No code reads a sentence back.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from search.ledger.outcome import StopReason


class EventKind(StrEnum):
    """The kinds of events, as the ledger names them."""

    ABORTED = "aborted"
    ACTOR_LOST = "actor_lost"
    AUDIT_ENDED = "audit_ended"
    CHECKPOINT = "checkpoint"
    CONFIRM_BEGUN = "confirm_begun"
    CONFIRM_ENDED = "confirm_ended"
    CREDENTIALS_REMOVED = "credentials_removed"
    EXTENDED = "extended"
    GAIN_BELOW = "gain_below"
    LANE_MODE = "lane_mode"
    LANES = "lanes"
    LANES_HALVED = "lanes_halved"
    LEDGER_MIGRATED = "ledger_migrated"
    MODEL_CHANGED = "model_changed"
    REDECLARED = "redeclared"
    REFITS_MISSING = "refits_missing"
    SHARE_USED_UP = "share_used_up"
    SPACE_EXHAUSTED = "space_exhausted"
    TEST_OPENED = "test_opened"
    TRIAL_NOTE = "trial_note"
    TRIALS_KEPT = "trials_kept"
    TRIED_ALONE = "tried_alone"
    VERSIONS_CHANGED = "versions_changed"
    WORKER_LOST = "worker_lost"


class Level(StrEnum):
    """How much an event matters to a reader."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(BaseModel):
    """Something worth knowing later; each subclass is one kind, with its data as fields.

    Attributes:
        trial: the number of the one trial that it is about; None where it is about several or none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: ClassVar[EventKind]
    level: ClassVar[Level] = Level.INFO
    trial: int | None = None

    @property
    def sentence(self) -> str:
        """The event as a person reads it, in one line."""
        return self._text()

    def _text(self) -> str:
        raise NotImplementedError


class Aborted(Event):
    """The search was ended before it was done: too many failures, or a checkpoint that cannot be written."""

    kind = EventKind.ABORTED
    level = Level.ERROR
    reason: str

    def _text(self) -> str:
        return self.reason


class ActorLost(Event):
    """The process of a trial in Ray Tune died, and the trial is started again.

    Attributes:
        failures: how often that happened to this trial.
        max_failures: how often it is started again at most.
    """

    kind = EventKind.ACTOR_LOST
    level = Level.WARNING
    trial: int
    reason: str
    wait_s: float
    failures: int
    max_failures: int

    def _text(self) -> str:
        return (
            f"trial {self.trial}: its actor was lost ({self.reason}); it is started again in {self.wait_s:g} s "
            f"(failure {self.failures}, --max-failures {self.max_failures})"
        )


class AuditEnded(Event):
    """A pruned trial trained on after the search, to its end; its row and its rank are what they were.

    Attributes:
        reason: how it ended this time.
        message: what its exception said, where it failed.
    """

    kind = EventKind.AUDIT_ENDED
    trial: int
    reason: StopReason
    message: str = ""

    def _text(self) -> str:
        return f"trial {self.trial}: its audit ended ({': '.join(filter(None, (self.reason.value, self.message)))})"


class CheckpointNote(Event):
    """A checkpoint was damaged, lost or could not be written.

    Attributes:
        note: which, of which trial, and what is used in its place; in the words of ``trainables``.
    """

    kind = EventKind.CHECKPOINT
    level = Level.WARNING
    note: str

    def _text(self) -> str:
        return self.note


class ConfirmBegun(Event):
    """A confirmation was begun, or goes on.

    Attributes:
        finalists: the trials whose configurations are trained beside the baseline's.
        pairs: how many pairs were asked for; at most so many where ``auto``.
        auto: whether pairs are added until the verdict is settled.
    """

    kind = EventKind.CONFIRM_BEGUN
    finalists: tuple[int, ...]
    pairs: int
    auto: bool = False

    def _text(self) -> str:
        most = "at most " if self.auto else ""
        return f"confirming trials {list(self.finalists)} beside the baseline on {most}{self.pairs} pairs"


class ConfirmEnded(Event):
    """A confirmation or an ablation ended before it was done.

    Attributes:
        missing: runs that were not trained.
        runs: that there should be.
        reason: what ended it, the time budget or the user.
    """

    kind = EventKind.CONFIRM_ENDED
    level = Level.WARNING
    missing: int
    runs: int
    reason: StopReason

    def _text(self) -> str:
        over = self.reason is StopReason.BUDGET
        why = "the time budget is used up" if over else "it was stopped"
        return f"the confirmation lacks {self.missing} of {self.runs} runs: {why}"


class CredentialsRemoved(Event):
    """Passwords or tokens that an older Lanewise had stored were taken out of the ledger.

    Attributes:
        texts: how many declarations, events and messages held some.
    """

    kind = EventKind.CREDENTIALS_REMOVED
    level = Level.WARNING
    texts: int

    def _text(self) -> str:
        texts = "1 text" if self.texts == 1 else f"{self.texts} texts"
        return (
            f"passwords or tokens that an older Lanewise had stored were taken out of {texts} of the ledger; "
            "copies of it, and what was sent to MLflow, may still hold them: change them"
        )


class Redeclared(Event):
    """One field of the declaration changed where a study went on, and no result depends on it.

    Attributes:
        field: its dotted name.
        before, after: its values as plain data; ``absent`` where a declaration has no such field.
    """

    kind = EventKind.REDECLARED
    field: str
    before: Any
    after: Any

    def _text(self) -> str:
        return f"{self.field}: {self.before} -> {self.after}"


class Extended(Redeclared):
    """One field of the declaration was changed by ``extend``."""

    kind = EventKind.EXTENDED


class GainBelow(Event):
    """No further trial begins, for more of them are expected to bring less than the study asks for.

    Attributes:
        trials: that had ended, the baseline left out.
        planned: the trials that the declaration had then, the baseline included.
        metric: the objective.
        gain: what twice as many trials were expected to better it by.
        below: the gain that the study asks for.
    """

    kind = EventKind.GAIN_BELOW
    trials: int
    planned: int
    metric: str
    gain: float
    below: float

    def _text(self) -> str:
        return (
            f"ended after {self.trials} trials beside the baseline, of {self.planned}: twice as many are expected to "
            f"better {self.metric} by {self.gain:.3g}, less than {self.below:g} (--until-gain-below)"
        )


class TrialNote(Event):
    """Something that a trial's own code, or what drives it, has to say.

    Attributes:
        about: ``note`` or ``artifact`` (the name of a file of the trial's) of the code itself; else what kind it is.
        note: in one line.
        path: where an artifact lay when it was noted; None for anything else.
    """

    kind = EventKind.TRIAL_NOTE
    trial: int
    about: str
    note: str
    path: str | None = None

    def _text(self) -> str:
        return f"trial {self.trial}: {'artifact ' if self.about == 'artifact' else ''}{self.note}"


class TrialsKept(Event):
    """How many of the trials before an extension lie in the space after it."""

    kind = EventKind.TRIALS_KEPT
    fitting: int
    trials: int

    def _text(self) -> str:
        return f"{self.fitting} of {self.trials} trials fit and are told to the sampler"


class LaneModeMeasured(Event):
    """How trials of a group train: stacked or looped, whichever was measured faster.

    Attributes:
        group: what such trials have in common.
        mode: the faster one.
        stacked_ms, looped_ms: an epoch of the group in each mode.
    """

    kind = EventKind.LANE_MODE
    group: str
    mode: str
    stacked_ms: float
    looped_ms: float

    def _text(self) -> str:
        return f"{self.group}: {self.mode} ({self.stacked_ms:.1f} ms stacked, {self.looped_ms:.1f} ms looped)"


class LanesChosen(Event):
    """How many lanes a worker has.

    Attributes:
        choice: the number and how it came about.
    """

    kind = EventKind.LANES
    choice: str

    def _text(self) -> str:
        return self.choice


class LanesHalved(Event):
    """A worker ran out of memory with several trials at once, and has fewer lanes from now on.

    Attributes:
        together: the trials that it held.
        lanes: that it has now.
        queued: numbers of the trials that lost their lane and wait for another.
    """

    kind = EventKind.LANES_HALVED
    level = Level.WARNING
    worker: int
    together: int
    lanes: int
    queued: tuple[int, ...]
    reason: str

    def _text(self) -> str:
        return (
            f"worker {self.worker} ran out of memory with {self.together} trials at once ({self.reason}): "
            f"from now on it has {self.lanes} of {self.together} lanes; trials {list(self.queued)} are queued again"
        )


class LedgerMigrated(Event):
    """The ledger was brought to a newer version of its schema.

    Attributes:
        copy_of_old: the file that holds it as it was; None in a database server.
    """

    kind = EventKind.LEDGER_MIGRATED
    old_version: int
    new_version: int
    copy_of_old: str | None

    def _text(self) -> str:
        kept = "" if self.copy_of_old is None else f"; a copy of it as it was is in {self.copy_of_old}"
        return f"the ledger was brought from schema version {self.old_version} to {self.new_version}{kept}"


class ModelChanged(Event):
    """The study went on with a model that is not the one it began with, as the user accepted.

    Attributes:
        change: what it was and what it is.
    """

    kind = EventKind.MODEL_CHANGED
    level = Level.WARNING
    change: str

    def _text(self) -> str:
        return f"the model is not what it was: {self.change}, as was accepted"


class RefitsMissing(Event):
    """The best of each choice was not trained on all the splits that the study asks for.

    Attributes:
        parameter: whose choices they are.
        missing: splits that were not trained.
        refits: splits that the study asks for.
        reason: what ended the session, the time budget or the user.
    """

    kind = EventKind.REFITS_MISSING
    level = Level.WARNING
    parameter: str
    missing: int
    refits: int
    reason: StopReason

    def _text(self) -> str:
        over = self.reason is StopReason.BUDGET
        why = "the time budget is used up" if over else "the search was stopped"
        return f"the best of each {self.parameter} was not trained on {self.missing} of {self.refits} splits: {why}"


class ShareUsedUp(Event):
    """A choice of the balanced parameter had all its points tried, and the others had the rest of its share.

    Attributes:
        parameter, choice: the balanced parameter and its value.
        trials: that had this value.
    """

    kind = EventKind.SHARE_USED_UP
    parameter: str
    choice: bool | int | float | str
    trials: int

    def _text(self) -> str:
        return f"{self.parameter}={self.choice} has no more points after {self.trials} trials; the others had its share"


class SpaceExhausted(Event):
    """Every point of the space was tried.

    Attributes:
        trials: that have ended.
    """

    kind = EventKind.SPACE_EXHAUSTED
    trials: int

    def _text(self) -> str:
        return f"the space has no more points after {self.trials} trials"


class HeldOutOpened(Event):
    """The held-out test part was opened.

    Attributes:
        finalists: the trials whose configurations are scored on it, beside the baseline's.
        pairs: the numbers of the pairs.
    """

    kind = EventKind.TEST_OPENED
    finalists: tuple[int, ...]
    pairs: tuple[int, ...]

    def _text(self) -> str:
        return f"the test part was opened for trials {list(self.finalists)} and the baseline on {len(self.pairs)} pairs"


class TriedAlone(Event):
    """A trial that ran out of memory among others is tried once more with the device for itself."""

    kind = EventKind.TRIED_ALONE
    level = Level.WARNING
    trial: int

    def _text(self) -> str:
        return f"trial {self.trial} ran out of memory; it is tried once more, alone"


class VersionsChanged(Event):
    """The study went on with other versions of Python or of packages than it began with.

    Attributes:
        changes: those that differ, by name: the version before and now; None where it was not or is not installed.
    """

    kind = EventKind.VERSIONS_CHANGED
    level = Level.WARNING
    changes: dict[str, tuple[str | None, str | None]]

    def _text(self) -> str:
        changes = [f"{name} {old or 'absent'} -> {new or 'absent'}" for name, (old, new) in self.changes.items()]
        return (
            f"since the study began: {', '.join(changes)}; it goes on, but equality bit for bit with a search that "
            "was never interrupted is not promised"
        )


class LaneWorkerLost(Event):
    """A worker that trains in lanes died, with the trials that it held.

    Attributes:
        retried: for each of its trials that goes on, by number, the seconds until it does.
        given_up: those that do not go on.
        failed_starts: how often in a row it died before it was up, where it is not started again; else None.
    """

    kind = EventKind.WORKER_LOST
    level = Level.WARNING
    worker: int
    reason: str
    retried: dict[int, float]
    given_up: tuple[int, ...] = ()
    failed_starts: int | None = None

    def _text(self) -> str:
        parts = [f"worker {self.worker} was lost ({self.reason})"]
        for number in sorted({*self.retried, *self.given_up}):
            again = f"tried again in {self.retried[number]:g} s" if number in self.retried else "given up"
            parts.append(f"trial {number} is {again}")
        if self.failed_starts is not None:
            parts.append(f"it died {self.failed_starts} times before it was up and is given up")
        return "; ".join(parts)


EVENTS: Mapping[EventKind, type[Event]] = {
    event.kind: event
    for event in (
        Aborted,
        ActorLost,
        AuditEnded,
        CheckpointNote,
        ConfirmBegun,
        ConfirmEnded,
        CredentialsRemoved,
        Extended,
        GainBelow,
        LaneModeMeasured,
        LanesChosen,
        LaneWorkerLost,
        LanesHalved,
        LedgerMigrated,
        ModelChanged,
        Redeclared,
        RefitsMissing,
        ShareUsedUp,
        SpaceExhausted,
        HeldOutOpened,
        TrialNote,
        TrialsKept,
        TriedAlone,
        VersionsChanged,
    )
}
"""The record of each kind."""
