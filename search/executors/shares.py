"""Which of a worker's processes has which trial: cuts orders into a part for each, and joins what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from search.brain.order import TrialOrder
from search.executors.lane_host import Advance, Orders


class Shares:
    """Shares the trials of a worker out among its processes.

    Args:
        count: how many processes there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._home: dict[int, int] = {}
        self._seated: set[int] = set()

    def clear(self) -> None:
        """Forget all trials: their processes are gone."""
        self._home.clear()
        self._seated.clear()

    def seated(self, process: int) -> tuple[int, ...]:
        """Return the trials that have a lane in a process."""
        return tuple(sorted(number for number in self._seated if self._home[number] == process))

    def by_process(self, numbers: Iterable[int]) -> dict[int, list[int]]:
        """Return trials by their process; those that are in none are left out."""
        found: dict[int, list[int]] = {}
        for number in numbers:
            if number in self._home:
                found.setdefault(self._home[number], []).append(number)
        return found

    def cut(self, orders: Orders) -> dict[int, Orders]:
        """Return what each process is to do, those with nothing to do left out.

        A trial begins where the fewest are, which no clock decides; one that was paused goes on where its state is.
        """
        retire, pause = self.by_process(orders.retire), self.by_process(orders.pause)
        self._seated -= {*orders.retire, *orders.pause}
        for number in orders.retire:
            self._home.pop(number, None)
        seat: dict[int, list[TrialOrder]] = {}
        for order in orders.seat:
            if order.number not in self._home:
                counts = self._counts()
                self._home[order.number] = min(range(self._count), key=lambda process: (counts[process], process))
            self._seated.add(order.number)
            seat.setdefault(self._home[order.number], []).append(order)
        counts = self._counts()
        return {
            process: Orders(
                tuple(retire.get(process, ())),
                {number: orders.pause[number] for number in pause.get(process, ())},
                None if orders.compact is None else max(1, counts[process]),
                tuple(seat.get(process, ())),
            )
            for process in range(self._count)
            if counts[process] or process in retire or process in pause
        }

    def _counts(self) -> Counter[int]:
        return Counter(self._home[number] for number in self._seated)


def joined(parts: Mapping[int, Advance], *, unsaved: str = "") -> Advance:
    """Return what came of orders in all processes, given what came of each part.

    Args:
        parts: by process; where several measured the same group the first counts.
        unsaved: why a checkpoint could not be written before.
    """
    found: Sequence[Advance] = [parts[process] for process in sorted(parts)]
    measured = {event.group: event for part in reversed(found) for event in part.measured}
    return Advance(
        {number: event for part in found for number, event in part.events.items()},
        tuple(note for part in found for note in part.notes),
        tuple(told for part in found for told in part.notices),
        tuple(measured.values()),
        next((part.unsaved for part in found if part.unsaved), unsaved),
        saved=any(part.saved for part in found),
    )
