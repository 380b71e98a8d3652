"""A rung that keeps its values in order, so that its cutoff costs the same after ten thousand trials as after ten."""

from __future__ import annotations

import math
from bisect import insort


class Rung(dict[str, float]):
    """The values that trials had at one rung, by trial id: what Ray's bracket keeps in a plain dict.

    Ray sorts all of them for each decision; here each value finds its place once. A value is set once and
    stays, as in Ray's bracket.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ordered: list[float] = []

    def __setitem__(self, trial_id: str, value: float) -> None:
        if trial_id in self:
            raise KeyError(f"trial {trial_id} was recorded at this rung before")
        super().__setitem__(trial_id, value)
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
