"""What resamples of the same trials say of two parameters together, and of the gap between validation and training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.distributions import CategoricalDistribution

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spaces import Parameter, Value

Z = 1.959964
"""Standard errors from a centre to an end of its 95% interval."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% interval: 1.96 standard errors to each side, these being its deviation over resamples.

    A figure that cannot leave a range, a share say, has an interval that ends there. Percentiles of the resamples are
    no better here: of a figure that noise can only raise, a resample has more than the trials had.
    """

    value: float
    low: float
    high: float

    @staticmethod
    def of(value: float, resampled: NDArray[np.float64], *, within: tuple[float, float]) -> Interval:
        """Return ``value`` with what its resamples say of it; those that are NaN say nothing."""
        import numpy as np

        half = Z * float(np.nanstd(resampled, ddof=1))
        return Interval(value, max(within[0], value - half), min(within[1], value + half))

    @property
    def is_settled(self) -> bool:
        """Whether 0 lies outside of the interval."""
        return not self.low <= 0 <= self.high


def interaction(
    first: Parameter,
    second: Parameter,
    params: Sequence[Mapping[str, Value]],
    ranks: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> tuple[Interval, int] | None:
    """Return the share of the variance of the ranks that two parameters have only together, and of how many trials.

    A two-way analysis of variance, unbalanced (type II), of the trials that have both: what a mean for each cell
    explains beyond one for each row and column, less what as many means explain of noise (epsilon squared, Kelley
    1935), so that it is about 0, also below, where there is no interaction. Numbers are cut at their median. Ranks
    tame losses of all sizes (Conover and Iman 1981); of two strong parameters they may make a small interaction.

    Returns:
        None where a cell has fewer than three trials.
    """
    import numpy as np

    both = np.array([first.name in p and second.name in p for p in params])
    having = [p for p, b in zip(params, both, strict=True) if b]
    if not having:
        return None
    rows, columns = _levels(first, having), _levels(second, having)
    cells = np.unique(np.stack([rows, columns]), axis=1, return_inverse=True)[1].ravel()
    possible = len(set(rows)) * len(set(columns))
    if min(len(set(rows)), len(set(columns))) < 2 or np.bincount(cells, minlength=possible).min() < 3:
        return None
    additive = np.column_stack([np.ones(len(having)), _dummies(rows), _dummies(columns)])
    full = np.column_stack([np.ones(len(having)), _dummies(cells)])
    every = np.vstack([np.ones((1, len(having)), dtype=int), counts[:, both]])
    shares = _beyond(additive, full, ranks[both], every)
    return Interval.of(float(shares[0]), shares[1:], within=(-1.0, 1.0)), len(having)


def correlation(x: NDArray[np.float64], y: NDArray[np.float64], counts: NDArray[np.int64]) -> Interval | None:
    """Return Spearman's rank correlation of two columns; None where one is constant.

    A resample keeps the ranks that its trials have among all, so that it is one weighted correlation.
    """
    import numpy as np
    import pandas as pd

    u, v = (pd.Series(column).rank().to_numpy(float) for column in (x, y))
    if len(u) < 2 or not np.ptp(u) or not np.ptp(v):
        return None
    w = np.vstack([np.ones((1, len(u)), dtype=int), counts])
    w = w / np.maximum(w.sum(axis=1, keepdims=True), 1)
    du, dv = u - (w @ u)[:, None], v - (w @ v)[:, None]
    spread = np.sqrt((w * du**2).sum(axis=1) * (w * dv**2).sum(axis=1))
    found = (w * du * dv).sum(axis=1) / np.where(spread > 0, spread, np.nan)
    return Interval.of(float(found[0]), found[1:], within=(-1.0, 1.0))


def difference(y: NDArray[np.float64], group: NDArray[np.bool_], counts: NDArray[np.int64]) -> Interval | None:
    """Return the mean of ``y`` in the group less that of the others; None where either has fewer than two trials."""
    import numpy as np

    if min(group.sum(), (~group).sum()) < 2:
        return None
    inside, outside = counts * group, counts * ~group
    sizes = inside.sum(axis=1), outside.sum(axis=1)
    both = np.where((sizes[0] > 0) & (sizes[1] > 0), 1.0, np.nan)
    resampled = both * (inside @ y / np.maximum(sizes[0], 1) - outside @ y / np.maximum(sizes[1], 1))
    return Interval.of(float(y[group].mean() - y[~group].mean()), resampled, within=(-np.inf, np.inf))


def _levels(parameter: Parameter, having: Sequence[Mapping[str, Value]]) -> NDArray[np.intp]:
    import numpy as np

    values = [p[parameter.name] for p in having]
    if isinstance(parameter.distribution, CategoricalDistribution):
        return np.array([parameter.distribution.to_internal_repr(v) for v in values], dtype=np.intp)
    numbers = np.array(values, dtype=float)
    return np.asarray(numbers > np.median(numbers), dtype=np.intp)


def _dummies(levels: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return a column of 0 and 1 for each level but the first."""
    import numpy as np

    return np.asarray(levels[:, None] == np.unique(levels)[1:], dtype=np.float64)


def _beyond(
    additive: NDArray[np.float64], full: NDArray[np.float64], y: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the share of the variance of ``y`` that ``full`` explains beyond ``additive``, in each resample  # [R]."""
    import numpy as np

    n = counts.sum(axis=1)
    mean = counts @ y / np.maximum(n, 1)
    total = (counts * (y - mean[:, None]) ** 2).sum(axis=1)
    smaller, larger = (_unexplained(x, y, counts) for x in (additive, full))
    freedom = np.maximum(n - full.shape[1], 1)
    beyond = smaller - larger - (full.shape[1] - additive.shape[1]) * larger / freedom
    return np.where(total > 0, beyond / np.where(total > 0, total, 1.0), np.nan)


def _unexplained(x: NDArray[np.float64], y: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of squares that the least squares fit leaves, in each resample  # [R]."""
    import numpy as np

    squares = np.einsum("rn,np,nq->rpq", counts, x, x, optimize=True)
    fit = np.einsum("rpq,rq->rp", np.linalg.pinv(squares, hermitian=True), (counts * y) @ x)
    return np.asarray((counts * (y - fit @ x.T) ** 2).sum(axis=1))
