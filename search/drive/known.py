"""What earlier sessions of a study decided for the search as a whole, and how a session notes more of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from search.executors.recorder import Recorder
from search.ledger import Ledger
from search.ledger.events import ChoicesWeighed, Event, EventKind, GainBelow


@dataclass(frozen=True)
class Known:
    """What earlier sessions decided, which a later one keeps to.

    Attributes:
        ended_by: the decisions to end the search, oldest first.
        epochs_a_choice: for how many epochs each choice of the scheduler is, where that was weighed.
    """

    ended_by: tuple[GainBelow, ...] = ()
    epochs_a_choice: int | None = None

    @classmethod
    def of(cls, ledger: Ledger, study_id: int) -> Known:
        """Return what the ledger has."""
        events = [row.event for row in ledger.events(study_id, EventKind.GAIN_BELOW, EventKind.CHOICES_WEIGHED)]
        each = [event.epochs_a_choice for event in events if isinstance(event, ChoicesWeighed)]
        return cls(tuple(event for event in events if isinstance(event, GainBelow)), each[-1] if each else None)


NOTHING = Known()
"""Of a search without earlier sessions."""


def recorded_and_said(recorder: Recorder, say: Callable[[str], None]) -> Callable[[Event], None]:
    """Return what records an event, and prints it where it is the first of its kind."""
    said: set[EventKind] = set()

    def note(event: Event) -> None:
        recorder.event(event)
        if event.kind not in said:
            said.add(event.kind)
            say(event.sentence)

    return note
