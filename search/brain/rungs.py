"""What a trial is compared with, kept in order: a decision costs the same after ten thousand trials as after ten."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import defaultdict

import numpy as np


class Rung(dict[int, float]):
    """The values that trials had at one rung, by number: what Ray's bracket keeps in a plain dict.

    Ray sorts all of them for each decision; here each value finds its place once. A value is set once and
    stays, as in Ray's bracket.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ordered: list[float] = []

    def __setitem__(self, number: int, value: float) -> None:
        if number in self:
            raise KeyError(f"trial {number} was recorded at this rung before")
        super().__setitem__(number, value)
        if not math.isnan(value):
            insort(self._ordered, value)

    def quantile(self, share: float) -> float:
        """Return the value below which ``share`` of the values lie, bit for bit as ``numpy.nanquantile`` does.

        Linear between neighbours (Hyndman and Fan, 1996, type 7); NaN where no value is a number.
        """
        values = self._ordered
        if not values:
            return math.nan
        place = (len(values) - 1) * share
        below = math.floor(place)
        if below >= len(values) - 1:
            return values[-1]
        a, b, t = values[below], values[below + 1], place - below
        return a + (b - a) * t if t < 0.5 else b - (b - a) * (1 - t)


class RunningMeans:
    """The trials' running averages of the objective, epoch by epoch: what Ray's median rule compares with.

    A trial counts at an epoch once it has got there. Ray takes the averages of all trials anew for each
    decision; here each is taken once, and a median is read off.

    Args:
        first: the epoch from which on the averages are taken.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._ordered: defaultdict[int, list[float]] = defaultdict(list)
        self._values: dict[int, list[tuple[int, float]]] = {}
        self._last: dict[int, tuple[int, float]] = {}

    def values(self, number: int) -> list[float]:
        """Return what was added of a trial that goes on, in order."""
        return [value for _, value in self._values[number]]

    def add(self, number: int, epoch: int, value: float) -> None:
        """Add an epoch later than the last one, or the last one once more.

        Raises:
            ValueError: an earlier epoch.
        """
        before, mean = self._last.get(number, (0, math.nan))
        if epoch < before:
            raise ValueError(f"trial {number} reported epoch {epoch} after epoch {before}")
        self._values.setdefault(number, []).append((epoch, value))
        if epoch == before and math.isfinite(mean):
            ordered = self._ordered[epoch]
            del ordered[bisect_left(ordered, mean)]
        for at in range(epoch if epoch == before else before + 1, epoch + 1):
            mean = self._mean(number, at)
            if math.isfinite(mean):
                insort(self._ordered[at], mean)
        self._last[number] = epoch, mean

    def _mean(self, number: int, at: int) -> float:
        scoped = [value for epoch, value in self._values[number] if self._first <= epoch <= at]
        return float(np.mean(scoped)) if scoped else math.nan  # numpy adds in an order of its own, as in Ray's

    def others(self, number: int) -> tuple[int, float]:
        """Return how many other trials have a finite average at a trial's last epoch, and their median.

        The median is NaN where there are none.
        """
        epoch, mean = self._last[number]
        ordered = self._ordered[epoch]
        own = bisect_left(ordered, mean) if math.isfinite(mean) else len(ordered)
        n = len(ordered) - (own < len(ordered))
        if n == 0:
            return 0, math.nan
        low, high = (ordered[k + (k >= own)] for k in ((n - 1) // 2, n // 2))
        return n, low if n % 2 else (low + high) / 2

    def forget(self, number: int) -> None:
        """Let go of the values of a trial that has ended; its averages stay."""
        self._values.pop(number, None)
        self._last.pop(number, None)
