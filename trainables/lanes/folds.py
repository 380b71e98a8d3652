"""Trials of a cross-validation in the lanes of one device: a lane a fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from trainables.folded import FoldedConfig, FoldMean
from trainables.lane_event import LaneEvent
from trainables.lanes.seat import Seat
from trainables.lanes.worker import LaneWorker
from trainables.notice import Notice
from trainables.weights_snapshot import WeightsSnapshot


class FoldSeat:
    """A trial in its lanes, one a fold; handled as a ``Seat``.

    Args:
        seats: in the order of the folds.
        config: the trial's.
        leave: lets go of this handle.
    """

    def __init__(self, seats: Sequence[Seat], config: FoldedConfig, leave: Callable[[], object]) -> None:
        self._seats = tuple(seats)
        self._leave = leave
        self._mean = FoldMean(config)

    def retire(self) -> list[Notice]:
        """Free the lanes; return what there is to say of the trial's end."""
        self._leave()
        return _once([seat.retire() for seat in self._seats])

    def hold(self, held: bool) -> bool:
        """Have the trial stand still while others train, or go on; say whether its lanes can do that."""
        done = [seat for seat in self._seats if seat.hold(held)]
        if len(done) == len(self._seats):
            return True
        for seat in done:
            seat.hold(not held)
        return False

    def take_notices(self) -> list[Notice]:
        """Return, once, what the trial has to say beside its reports."""
        return _once([seat.take_notices() for seat in self._seats])

    def state(self) -> dict[str, Any]:
        """Return the trial's checkpoint, in the format of ``FoldedRun``."""
        return self._mean.state_dict([seat.state() for seat in self._seats])

    def load(self, state: dict[str, Any]) -> None:
        """Continue where ``state`` was taken; a state that does not fit raises."""
        for seat, saved in zip(self._seats, self._mean.load_state_dict(state, folds=len(self._seats)), strict=True):
            seat.load(saved)

    def weights(self) -> WeightsSnapshot:
        """Return what makes the state of the model of the first fold as it is now."""
        return self._seats[0].weights()

    def together(self, events: Sequence[LaneEvent]) -> LaneEvent:
        """Return what came of an epoch of the trial, given what came of it in its lanes.

        What one fold raised ends the trial as far as it is its own; a stack's is nobody's.
        """
        reports = [event.report for event in events if event.report is not None]
        if len(reports) == len(events):
            return LaneEvent(self._mean.report(reports))
        raised = [event for event in events if event.error is not None]
        if not raised:
            return next(event for event in events if event.report is None)
        return min(raised, key=lambda event: event.shared)


class FoldLanes:
    """The lanes of one device for trials of a cross-validation; used as a ``LaneWorker``.

    Each trial has a lane for each fold. Lanes of one fold, which train on the same examples, share stacks; all stacks
    of an epoch are spread over the cores together.

    Args:
        worker: the lanes, as many for each trial as there are folds.
        data: of each fold what the trainable's ``prepare`` returned.
    """

    def __init__(self, worker: LaneWorker, data: Sequence[Any]) -> None:
        self._worker = worker
        self._data = tuple(data)
        self._seats: dict[int, FoldSeat] = {}
        self.choices = worker.choices

    @property
    def lanes(self) -> int:
        """How many trials at once."""
        return self._worker.lanes // len(self._data)

    def seat(self, number: int, config: FoldedConfig, *, seed: int, state: dict[str, Any] | None = None) -> FoldSeat:
        """Put a trial into free lanes, and return its handle; see ``LaneWorker.seat``."""
        seats: list[Seat] = []
        try:
            for i, data in enumerate(self._data):
                lane = number * len(self._data) + i
                seats.append(self._worker.seat(lane, config.of_a_fold, seed=seed, data=data))
            seat = FoldSeat(seats, config, partial(self._seats.pop, number, None))
            if state is not None:
                seat.load(state)
        except BaseException:
            for taken in seats:
                taken.retire()
            raise
        self._seats[number] = seat
        return seat

    def learn(self, modes: Mapping[str, str]) -> None:
        """Take up how groups train; see ``LaneWorker.learn``."""
        self._worker.learn(modes)

    def advance(self) -> dict[int, LaneEvent]:
        """Train one epoch of every seated trial, all of its folds; return an event for each."""
        events = self._worker.advance()
        found: dict[int, LaneEvent] = {}
        for lane in events:
            number = lane // len(self._data)
            if number not in found:
                first = number * len(self._data)
                own = [events[first + i] for i in range(len(self._data))]
                found[number] = self._seats[number].together(own)
        return found

    def compact(self, lanes: int) -> None:
        """Shrink to lanes for so many trials; see ``LaneWorker.compact``."""
        self._worker.compact(lanes * len(self._data))

    def close(self) -> None:
        """End the threads; of no use afterwards."""
        self._worker.close()


def _once(told: Sequence[Sequence[Notice]]) -> list[Notice]:
    """Return notices of several folds; what they say alike, once."""
    return list(dict.fromkeys(notice for notices in told for notice in notices))
