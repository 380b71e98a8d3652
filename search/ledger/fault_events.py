"""Events of workers, actors and checkpoints: where trials ran, and what went wrong there."""

from __future__ import annotations

from search.ledger.event import Event, EventKind, Level


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


MODE_WORDS = {
    "stacked": "stacked",
    "looped": "side by side, a core each",
    "in turn": "in turn",
    "rebuilt": "in turn, each built again before its epochs",
}
"""What each mode of a group is, to a reader."""


class LaneModeMeasured(Event):
    """How trials of a group train: stacked or looped, whichever was measured faster, or what was found of a module.

    Attributes:
        group: what such trials have in common.
        mode: the faster one; ``in turn`` where looped trials may not train at the same time.
        stacked_ms, looped_ms, in_turn_ms: an epoch of the group in each mode; 0 where it was not measured. Of modules
            looped trials are measured side by side, and in turn.
        reason: why the mode is what it is, where no measurement says so.
    """

    kind = EventKind.LANE_MODE
    group: str
    mode: str
    stacked_ms: float
    looped_ms: float
    reason: str = ""
    in_turn_ms: float = 0.0

    def _text(self) -> str:
        looped = "side by side" if self.in_turn_ms else "looped"
        modes = ((self.stacked_ms, "stacked"), (self.looped_ms, looped), (self.in_turn_ms, "in turn"))
        measured = ", ".join(f"{ms:.1f} ms {words}" for ms, words in modes if ms)
        shown = f" ({measured})" if measured else ""
        if self.stacked_ms:
            return f"{self.group}: {self.mode if self.mode != 'looped' else looped}{shown}"
        why = f": {self.reason}" if self.reason else ""
        return f"{self.group}: trials train {MODE_WORDS[self.mode]}{shown}{why}"


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


class TriedAlone(Event):
    """A trial that ran out of memory among others is tried once more with the device for itself."""

    kind = EventKind.TRIED_ALONE
    level = Level.WARNING
    trial: int

    def _text(self) -> str:
        return f"trial {self.trial} ran out of memory; it is tried once more, alone"


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
