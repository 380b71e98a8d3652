"""How a trial ended, and how a session did: enums, each with its one mapping to Optuna and MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class TrialState(StrEnum):
    """Where a trial stands."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    INTERRUPTED = "INTERRUPTED"

    @property
    def ended(self) -> bool:
        """Whether the trial will not go on by itself (a resume may still continue it)."""
        return self not in (TrialState.RUNNING, TrialState.PAUSED)

    @property
    def resumable(self) -> bool:
        """Whether a resume continues the trial."""
        return self in (TrialState.RUNNING, TrialState.PAUSED, TrialState.INTERRUPTED, TrialState.CANCELLED)


class StopReason(StrEnum):
    """Why a trial ended."""

    MAX_EPOCHS = "max_epochs"
    PATIENCE = "patience"
    RETURNED = "returned"
    RUNG = "rung"
    NOT_RESUMED = "not_resumed"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    ERROR = "error"
    BUDGET = "budget"
    USER = "user"
    DIED = "died"


STATES: dict[StopReason, TrialState] = {
    StopReason.MAX_EPOCHS: TrialState.COMPLETE,
    StopReason.PATIENCE: TrialState.COMPLETE,
    StopReason.RETURNED: TrialState.COMPLETE,
    StopReason.RUNG: TrialState.PRUNED,
    StopReason.NOT_RESUMED: TrialState.PRUNED,
    StopReason.DIVERGED: TrialState.PRUNED,
    StopReason.OUT_OF_MEMORY: TrialState.FAILED,
    StopReason.ERROR: TrialState.FAILED,
    StopReason.BUDGET: TrialState.CANCELLED,
    StopReason.USER: TrialState.CANCELLED,
    StopReason.DIED: TrialState.INTERRUPTED,
}
"""The state that each reason leaves a trial in."""

MLFLOW_STATUS: dict[TrialState, str] = {
    TrialState.RUNNING: "RUNNING",
    TrialState.PAUSED: "SCHEDULED",
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
    TrialState.CANCELLED: "KILLED",
    TrialState.INTERRUPTED: "RUNNING",
}
"""The status of a trial's MLflow run."""

DIVERGED = StopReason.DIVERGED.value
"""What a reader is told of a trial that diverged in place of its state, which is ``PRUNED``."""

OPTUNA_STATE: dict[TrialState, str] = {
    TrialState.RUNNING: "RUNNING",
    TrialState.PAUSED: "RUNNING",
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAILED: "FAIL",
    TrialState.CANCELLED: "FAIL",
    TrialState.INTERRUPTED: "RUNNING",
}
"""The name of the Optuna ``TrialState``."""


def shown_counts(states: Mapping[TrialState, int], diverged: int) -> dict[str, int]:
    """Return the numbers of trials by what a reader is told: ``running``, ``complete``, ``pruned``, ``diverged`` ...

    Args:
        states: the trials by state.
        diverged: how many of the pruned ones diverged.
    """
    counts: dict[str, int] = {}
    for state in TrialState:
        counts[state.value.lower()] = states.get(state, 0) - (diverged if state is TrialState.PRUNED else 0)
        if state is TrialState.PRUNED:
            counts[DIVERGED] = diverged
    return {word: count for word, count in counts.items() if count}


class SessionEnding(StrEnum):
    """How a session of a study ended: a process that drove it."""

    DONE = "done"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DIED = "died"
    """Without a word (``kill -9``, say); a later session found it so."""


MLFLOW_PARENT_STATUS: dict[SessionEnding, str] = {
    SessionEnding.DONE: "FINISHED",
    SessionEnding.INTERRUPTED: "KILLED",
    SessionEnding.FAILED: "FAILED",
    SessionEnding.DIED: "KILLED",
}
"""The status of a study's parent run in MLflow once its last session ended."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a trial.

    Attributes:
        reason: why.
        rung: the epoch at which the scheduler pruned it, for ``StopReason.RUNG``.
        message: what the exception of a failed trial said, in one line.
        traceback: that exception in full.
    """

    reason: StopReason
    rung: int | None = None
    message: str = ""
    traceback: str = ""

    @property
    def state(self) -> TrialState:
        """The state it leaves the trial in."""
        return STATES[self.reason]

    @property
    def label(self) -> str:
        """The reason as recorded and shown: ``patience``, ``rung_9``."""
        return reason_label(self.reason, self.rung)


def reason_label(reason: StopReason, rung: int | None) -> str:
    """Return a reason as it is recorded and shown: ``patience``, ``rung_9``."""
    return f"{StopReason.RUNG}_{rung}" if reason is StopReason.RUNG else reason.value


def parse_reason(label: str) -> tuple[StopReason, int | None]:
    """Return the reason and the rung that ``reason_label`` made a label of; raises ValueError where it did not."""
    name, _, rung = label.rpartition("_")
    if name == StopReason.RUNG:
        return StopReason.RUNG, int(rung)
    reason = StopReason(label)
    if reason is StopReason.RUNG:
        raise ValueError(f"{label!r} names no rung")
    return reason, None
