"""A trial in its lane, as whoever seated it handles it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainables.lanes.trial import LaneTrial
from trainables.notice import Notice
from trainables.protocols import Closes, Run, TellsNotices
from trainables.weights_snapshot import WeightsSnapshot, snapshot_weights


class Seat:
    """A trial in its lane: what ``LaneWorker.seat`` gives out, good until the trial is retired.

    Args:
        number: the caller's number for the trial.
        trial: what trains in the lane.
        leave: frees the lane.
        full_state: makes the state of the trial's whole model from the state of what trains in the lane; None
            where that is the whole model.
        hold: has the lane stand still, or go on; None where it cannot.
    """

    def __init__(
        self,
        number: int,
        trial: LaneTrial | Run,
        leave: Callable[[], None],
        *,
        full_state: Callable[[Any], Any] | None = None,
        hold: Callable[[bool], None] | None = None,
    ) -> None:
        self.number = number
        self._held: tuple[LaneTrial | Run, Callable[[], None]] | None = (trial, leave)
        self._full_state = full_state
        self._hold = hold

    def retire(self) -> list[Notice]:
        """Free the lane, whatever became of the trial; a seat that is kept holds none of its tensors.

        Returns:
            What there is to say of the trial's end.

        Raises:
            KeyError: the trial was retired before; so do all other methods.
        """
        trial, leave = self._holding()
        self._held = None
        leave()
        if isinstance(trial, Closes):
            trial.close()
        return trial.take_notices() if isinstance(trial, TellsNotices) else []

    def move_to(self, other: Seat) -> None:
        """Leave this lane for that of ``other``, whose handle this one becomes; ``other`` is of no use afterwards."""
        self._holding()[1]()
        self._held, self._hold = other._held, other._hold
        other._held = None

    def hold(self, held: bool) -> bool:
        """Have the trial stand still while others train, or go on; say whether its lane can do that."""
        self._holding()
        if self._hold is None:
            return False
        self._hold(held)
        return True

    def take_notices(self) -> list[Notice]:
        """Return, once, what the trial has to say beside its reports."""
        trial = self._holding()[0]
        return trial.take_notices() if isinstance(trial, TellsNotices) else []

    def state(self) -> dict[str, Any]:
        """Return the trial's checkpoint, in the format of the plain loop."""
        return self._holding()[0].state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Continue where ``state`` was taken, in a lane or in the plain loop; a state that does not fit raises."""
        self._holding()[0].load_state_dict(state)

    def weights(self) -> WeightsSnapshot:
        """Return what makes the state of the trial's model as it is now, in the names of the plain loop."""
        trial, full_state = self._holding()[0], self._full_state
        weights = trial.weights() if isinstance(trial, LaneTrial) else snapshot_weights(trial)
        return weights if full_state is None else lambda: full_state(weights())

    def _holding(self) -> tuple[LaneTrial | Run, Callable[[], None]]:
        if self._held is None:
            raise KeyError(f"trial {self.number} holds no lane")
        return self._held
