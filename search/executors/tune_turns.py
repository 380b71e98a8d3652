"""Who trains next on Ray Tune where a scheduler pauses trials: each slot is a worker with one lane."""

from __future__ import annotations

from collections import deque

from ray.tune.experiment import Trial

from search.brain.choice import Choice
from search.brain.order import TrialOrder
from search.executors.search import Search
from spaces import Point


class TuneTurns:
    """Carries out what the scheduler chooses for the slots, and knows Tune's trials by their numbers.

    Args:
        search: what is searched, with what.
        max_concurrent: how many trials train at once.

    Attributes:
        max_concurrent: may be changed while it runs.
        trials: those that Tune knows, by number.
        over: whether nothing is left to be trained.
    """

    def __init__(self, search: Search, *, max_concurrent: int) -> None:
        self._search = search
        self.max_concurrent = max_concurrent
        self.trials: dict[int, Trial] = {}
        self.over = False
        self._waiting = dict(search.sampler.paused)  # paused in an earlier session: Tune has no trial of theirs
        self._live: set[int] = set()
        self._to_begin: deque[Point | None] = deque()
        self._to_resume: deque[int] = deque()

    def choose(self, *seated: int) -> Choice:
        """Return what the slot of a trial that has just reported does next, or a free one."""
        fresh = self._search.sampler.fresh - len(self._to_begin)
        return self._search.scheduler.choose(1, seated, max(0, fresh), self._saving)

    def carry_out(self, choice: Choice) -> None:
        """Record a choice, and have it done as soon as Tune asks what to run."""
        recorder = self._search.recorder
        for number, decision in choice.pause.items():
            self._live.discard(number)
            if number in recorder.running:
                recorder.paused(number, decision)
            self._search.sampler.pause(number)
        for number, decision in choice.go_on.items():
            recorder.decided(number, decision)
        for number, decision in choice.resume.items():
            self._live.add(number)
            recorder.unpaused(number, decision)
            self._to_resume.append(number)
        self._to_begin.extend(choice.begin)

    def ended(self, number: int) -> None:
        """Take note that a trial ended: its slot is free."""
        self._live.discard(number)

    def next_order(self) -> TrialOrder | None:
        """Return a trial that Tune does not know yet and that a slot is free for; None where there is none now."""
        while True:
            order = self._ordered()
            if order is not None:
                return order
            if self.over or self._free <= 0 or self._to_resume:
                return None
            if self._search.sampler.goes_on:
                self._take_up()
                continue
            choice = self.choose()
            if not choice:
                self.over = not self._live and not self._saving
                return None
            self.carry_out(choice)

    def next_paused(self) -> Trial | None:
        """Return, once, a trial that Tune paused and that comes back, with what it goes on from in its order."""
        if not self._to_resume or self._to_resume[0] not in self.trials or self._room < 0:
            return None
        return self.trials[self._to_resume.popleft()]

    @property
    def _saving(self) -> list[int]:
        """The paused trials whose actors still write their states."""
        paused = self._search.scheduler.paused
        return [n for n in paused if n in self.trials and self.trials[n].status != Trial.PAUSED]

    @property
    def _room(self) -> int:
        """How many slots nobody holds; a trial that is paused holds its own until its state is written."""
        return self.max_concurrent - len(self._live) - len(self._saving)

    @property
    def _free(self) -> int:
        return self._room - len(self._to_begin)

    def _ordered(self) -> TrialOrder | None:
        """Return a trial that was chosen and that Tune has to be told of."""
        if self._to_resume and self._to_resume[0] in self._waiting and self._room >= 0:
            return self._waiting.pop(self._to_resume.popleft())
        while self._to_begin and self._room > 0:
            order = self._search.sampler.ask(self._to_begin.popleft())
            if order is not None:
                self._live.add(order.number)
                self._search.scheduler.add(order.number, order.params)
                return order
        return None

    def _take_up(self) -> None:
        """Go on with a trial of an earlier session, unless it is paused now: it may have ended before it was chosen."""
        order = self._search.sampler.ask()
        if order is None:
            return
        self._live.add(order.number)
        self._waiting[order.number] = order
        self._search.scheduler.add(order.number, order.params)
        self._search.recorder.started(order)
        choice = self.choose(order.number)
        if order.number not in choice.pause:
            self._to_resume.appendleft(order.number)
        self.carry_out(choice)
