"""What an event of a study is: its kind, how much it matters, and the sentence it is shown as."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class EventKind(StrEnum):
    """The kinds of events, as the ledger names them."""

    ABORTED = "aborted"
    ACTOR_LOST = "actor_lost"
    AUDIT_ENDED = "audit_ended"
    CHECKPOINT = "checkpoint"
    CHOICES_WEIGHED = "choices_weighed"
    CONFIRM_BEGUN = "confirm_begun"
    CONFIRM_ENDED = "confirm_ended"
    CREDENTIALS_REMOVED = "credentials_removed"
    CURVES_SMOOTHED = "curves_smoothed"
    EXTENDED = "extended"
    GAIN_BELOW = "gain_below"
    LANE_MODE = "lane_mode"
    LANES = "lanes"
    LANES_HALVED = "lanes_halved"
    LEDGER_MIGRATED = "ledger_migrated"
    MODEL_CHANGED = "model_changed"
    PROPOSALS_SLOW = "proposals_slow"
    REDECLARED = "redeclared"
    REFITS_MISSING = "refits_missing"
    SCHEDULER_REPLACED = "scheduler_replaced"
    SHARE_USED_UP = "share_used_up"
    SPACE_EXHAUSTED = "space_exhausted"
    SURROGATE_FAILED = "surrogate_failed"
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
