"""The difference of two means over re-splits that were not the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, variance

from search.report.paired import Interval


def unpaired(a: Sequence[float], b: Sequence[float], *, shares: tuple[float, float], level: float) -> Interval:
    """Return the mean of ``a`` minus that of ``b``, with Welch's interval (1947, unequal variances).

    The variance of each mean is that of ``half_width``: re-splits of the same data vary less than fresh data would.

    Args:
        a: values over re-splits.
        b: the same of the other, over its own.
        shares: scored examples / training examples, of each.
        level: 1 - the interval's confidence.

    Returns:
        Without an interval where a side has fewer than two values, or none of them has a spread.
    """
    centre = fmean(a) - fmean(b)
    if min(len(a), len(b)) < 2:
        return Interval(centre)
    from scipy.special import stdtr, stdtrit

    own = [variance(side) * (1 / len(side) + share) for side, share in zip((a, b), shares, strict=True)]
    if not sum(own):
        return Interval(centre)
    freedom = sum(own) ** 2 / sum(v**2 / (len(side) - 1) for v, side in zip(own, (a, b), strict=True))
    error = sum(own) ** 0.5
    half = float(stdtrit(freedom, 1 - level / 2)) * error
    return Interval(centre, centre - half, centre + half, 2 * float(stdtr(freedom, -abs(centre) / error)))
