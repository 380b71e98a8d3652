"""What may be said of configurations that trained on the same re-splits: intervals, p-values, several at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

LEVEL = 0.05
"""The share of true nulls that may be called a difference."""

LOOKS = (5, 8, 12, 18, 27, 40)
"""How many pairs there are at each look of a confirmation that adds some until its verdict is settled."""


@dataclass(frozen=True)
class Interval:
    """A mean over re-splits, with the interval of what it stands for.

    Attributes:
        mean: of the values.
        low, high: the interval; None where there are too few values for one.
        p: two-sided, of the mean being 0; None likewise, and where examples add a variance of their own.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


def half_width(values: Sequence[float], *, share: float, level: float = LEVEL) -> float:
    """Return half of the Student interval of the mean of two or more values over re-splits of the same data.

    Re-splits share most of their examples, so that their values vary less than those of fresh data would: the variance
    of the mean is their own times 1/n + ``share`` in place of 1/n (Nadeau and Bengio 2003, Inference for the
    Generalization Error).

    Args:
        values: n of them.
        share: scored examples / training examples.
        level: 1 - the interval's confidence.
    """
    from scipy.special import stdtrit

    return float(stdtrit(len(values) - 1, 1 - level / 2)) * _error(values, share)


def _error(values: Sequence[float], share: float) -> float:
    return stdev(values) * math.sqrt(1 / len(values) + share)


def interval(
    values: Sequence[float],
    *,
    share: float,
    level: float = LEVEL,
    variance_of_examples: float = 0.0,
    exact: bool = False,
) -> Interval:
    """Return the mean of values over n re-splits of the same data, with its interval, half of which is ``half_width``.

    A part that is the same for every value adds the variance that its examples alone make.

    Args:
        values: n of them.
        share: scored examples / training examples.
        level: 1 - the interval's confidence.
        variance_of_examples: variance of the mean that is due to which examples were scored, where these were the
            same each time.
        exact: whether a value is the same whatever was drawn, so that values without a spread are a fact. Else they
            are too few, or too coarse, to have one, as accuracies on a few examples are: there is no interval, and p
            is that of n differences with the same sign (the sign test).
    """
    n = len(values)
    centre = fmean(values) if n else math.nan
    if n < 2:
        return Interval(centre)
    from scipy.special import ndtri, stdtr

    error, half = _error(values, share), half_width(values, share=share, level=level)
    if variance_of_examples:  # known from many examples, unlike the spread of a few values
        half = math.hypot(half, float(ndtri(1 - level / 2)) * math.sqrt(variance_of_examples))
        return Interval(centre, centre - half, centre + half)
    if error == 0 and centre and not exact:
        return Interval(centre, p=2.0 ** (1 - n))
    if error == 0:
        p = 0.0 if centre else 1.0
    else:
        p = 2 * float(stdtr(n - 1, -abs(centre) / error))
    return Interval(centre, centre - half, centre + half, p)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Return the p-values corrected for being several (Holm 1979); those that are None stay so, and do not count."""
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        corrected[i] = highest
    return corrected


def level_at(pairs: int) -> float:
    """Return the level at which a look at so many pairs may settle a verdict, where it is looked at again and again.

    The level is spent over the looks, half of what is left at each: the chance that any of them, however many there
    are, calls a true null a difference is at most ``LEVEL`` (a union bound, so that looking often does no harm and the
    intervals at these levels are a confidence sequence).
    """
    looks = sum(1 for look in LOOKS if look <= pairs)
    return LEVEL / 2.0 ** max(1, looks)
