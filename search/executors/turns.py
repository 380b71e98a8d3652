"""Who trains next where a scheduler pauses trials: in the lanes of a worker, once a round."""

from __future__ import annotations

from search.brain.choice import Choice
from search.brain.order import TrialOrder
from search.executors.running import RunningTrial, RunningWorker
from search.executors.search import Search


class Turns:
    """Carries out what the scheduler chooses, and knows the paused trials.

    Args:
        search: what is searched, with what.

    Attributes:
        paused: the trials that have no lane and may come back, by number.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._away: dict[int, int] = {}  # paused trials whose states a worker has yet to take out, with its index
        self.paused = {
            number: RunningTrial(order, reported=order.epochs) for number, order in search.sampler.paused.items()
        }

    def fill(self, worker: RunningWorker, seat: dict[int, TrialOrder]) -> None:
        """Pause trials of an idle worker, bring others back, and begin new ones, as the scheduler chooses.

        Args:
            worker: its seated trials may be paused, and others are seated.
            seat: the orders that are about to be seated, by number; changed likewise.
        """
        fresh = self._search.sampler.fresh
        while True:
            away = [number for number, index in self._away.items() if index != worker.index]
            choice = self._search.scheduler.choose(worker.lanes, sorted(worker.seated), fresh, away)
            self._pause(worker, seat, choice)
            for number, decision in choice.go_on.items():
                self._search.recorder.decided(number, decision)
            for number, decision in choice.resume.items():
                trial = self.paused.pop(number)
                self._away.pop(number, None)
                self._search.recorder.unpaused(number, decision)
                worker.seated[number], seat[number] = trial, trial.order
            if self._begin(worker, seat, choice):
                return
            fresh = 0  # the space, or the gain, has no more: who comes back in their place?

    def settled(self, index: int) -> None:
        """Take note that a worker carried out its orders, or was lost: what it paused can come back anywhere."""
        self._away = {number: at for number, at in self._away.items() if at != index}

    def of(self, index: int) -> list[int]:
        """Return the paused trials whose states a worker holds, or held."""
        return sorted(number for number, trial in self.paused.items() if trial.home == index)

    def leave(self) -> list[RunningTrial]:
        """End every paused trial as one that does not come back; return them."""
        left = [self.paused[number] for number in sorted(self.paused)]
        for trial in left:
            self._search.leave(trial.number)
        self.paused.clear()
        return left

    def _pause(self, worker: RunningWorker, seat: dict[int, TrialOrder], choice: Choice) -> None:
        for number, decision in choice.pause.items():
            trial = self.paused[number] = worker.seated.pop(number)
            best = self._search.recorder.retention.best(number)
            trial.order = trial.order.continued(epochs=trial.reported, best=best)
            self._search.recorder.paused(number, decision)
            self._search.sampler.pause(number)
            if seat.pop(number, None) is None:  # else it never got there, and its state is where it was
                worker.pause[number] = self._search.recorder.retention.leads(number)
                trial.home, self._away[number] = worker.index, worker.index

    def _begin(self, worker: RunningWorker, seat: dict[int, TrialOrder], choice: Choice) -> bool:
        """Seat the trials that begin; say whether all of them did."""
        for point in choice.begin:
            order = self._search.sampler.ask(point)
            if order is None:
                return False
            self._search.scheduler.add(order.number, order.params)
            self._search.recorder.started(order)
            worker.seated[order.number], seat[order.number] = RunningTrial(order, reported=0), order
        return True
