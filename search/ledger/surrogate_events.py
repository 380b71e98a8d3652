"""Events of a scheduler that has a model of the curves: it does not fit, it takes long, what it holds of trials."""

from __future__ import annotations

from search.ledger.event import Event, EventKind, Level


class SurrogateFailed(Event):
    """The surrogate of the curves could not be fitted, and a round was chosen by the values so far.

    Attributes:
        epochs: how many were trained by then.
    """

    kind = EventKind.SURROGATE_FAILED
    level = Level.WARNING
    epochs: int
    reason: str

    def _text(self) -> str:
        return f"after {self.epochs} epochs the surrogate failed ({self.reason}): the best so far and new ones train"


class SchedulerReplaced(Event):
    """A scheduler cannot do its work in a study, and another one does it.

    Attributes:
        scheduler: what the study asks for.
        by: what decides in its place.
    """

    kind = EventKind.SCHEDULER_REPLACED
    level = Level.WARNING
    scheduler: str
    by: str
    reason: str

    def _text(self) -> str:
        return f"{self.scheduler}: {self.reason}; {self.by} decides in its place"


class ChoicesWeighed(Event):
    """For how many epochs each choice is made from now on, by what a choice takes beside an epoch.

    Attributes:
        epochs: how many were trained by then, all trials together.
        choice_ms, epoch_ms: what one takes, by the clock.
        epochs_a_choice: what came of it.
    """

    kind = EventKind.CHOICES_WEIGHED
    epochs: int
    choice_ms: float
    epoch_ms: float
    epochs_a_choice: int

    def _text(self) -> str:
        each = "1 epoch" if self.epochs_a_choice == 1 else f"{self.epochs_a_choice} epochs"
        took = f"a choice took {self.choice_ms:.3g} ms, an epoch {self.epoch_ms:.3g} ms"
        return f"after {self.epochs} epochs {took}: from here on each choice is for {each}"


class CurvesSmoothed(Event):
    """What the surrogate of the curves holds of each trial at the end of a session: its best value without the noise.

    Attributes:
        epochs: how many were trained by then.
        metric: the objective, in whose units the values are.
        means: the lowest (or highest) mean over the epochs that a trial trained, by number.
    """

    kind = EventKind.CURVES_SMOOTHED
    epochs: int
    metric: str
    means: dict[int, float]

    def _text(self) -> str:
        trials = len(self.means)
        return f"after {self.epochs} epochs the model of the curves has a smoothed {self.metric} of {trials} trials"
