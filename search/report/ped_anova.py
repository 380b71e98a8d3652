"""PED-ANOVA of many resamples of the same trials at once, as Optuna 5 computes it of one.

Optuna's evaluator takes 5 ms at 64 trials and 12 parameters, and importing it 0.7 s (it brings scikit-learn): too
much for intervals, which need hundreds, in an answer that is printed in less. The formulas here are its own, in
arrays; ``tests/search/test_ped_anova.py`` holds both together to 9 digits, so that another version cannot drift away.

Watanabe, Bansal, Hutter (2023), arXiv 2304.10255; conditional parameters: arXiv 2601.20800, Theorem 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spaces import Parameter, Value

STEPS = 50
"""Points of the grid that a range of numbers is laid on."""

PRIOR = 1.0
"""Weight of the prior in each density, in trials."""

NARROWEST = 0.5 / 1.64
"""Least width of a kernel: 90% of it then lie on its own grid point."""

TINY = 1e-12


@dataclass(frozen=True)
class GridColumn:
    """One parameter's values on its grid.

    Attributes:
        places: of each trial; -1 where inactive  # [N].
        size: G, how many places there are.
        ordered: whether the places are numbers, and not choices.
    """

    places: NDArray[np.intp]
    size: int
    ordered: bool


def on_grid(parameter: Parameter, values: Sequence[Value | None]) -> GridColumn:
    """Lay a parameter's values, None where it is inactive, on its grid.

    Args:
        parameter: one whose distribution has more than one value.
        values: all inside of the distribution.
    """
    import numpy as np

    d = parameter.distribution
    active = np.array([v is not None for v in values])
    places = np.full(len(values), -1)
    given = [v for v in values if v is not None]
    if isinstance(d, CategoricalDistribution):
        places[active] = [int(d.to_internal_repr(v)) for v in given]
        return GridColumn(places, len(d.choices), ordered=False)
    assert isinstance(d, FloatDistribution | IntDistribution), "a space has no others"
    size = STEPS
    if isinstance(d, IntDistribution) and d.log:
        size = min(math.ceil(math.log2(d.high - d.low + 1)) + 1, STEPS)
    elif d.step is not None:
        size = min(round((d.high - d.low) / d.step) + 1, STEPS)
    scale = np.log if d.log else np.asarray
    low, high = float(scale(d.low)), float(scale(d.high))
    nearest = np.ceil((scale(np.array(given, dtype=float)) - low) / ((high - low) / (size - 1)) - 0.5)
    places[active] = np.clip(nearest, 0, size - 1).astype(int)
    return GridColumn(places, size, ordered=True)


def ped_anova(
    columns: Sequence[GridColumn], ranks: NDArray[np.float64], counts: NDArray[np.int64], *, quantile: float
) -> NDArray[np.float64]:
    """Return how much each parameter decides whether a trial is among the best, in each resample.

    Args:
        columns: P parameters.
        ranks: the less, the better  # [N].
        counts: how often each trial is in each resample  # [R, N].
        quantile: the share of the trials that are the best; of equals, all are.

    Returns:
        Not normalised  # [R, P].
    """
    import numpy as np

    order = np.argsort(ranks, kind="stable")
    needed = np.ceil(quantile * counts.sum(axis=1))
    cutoffs = ranks[order][(counts[:, order].cumsum(axis=1) < needed[:, None]).sum(axis=1)]
    top = counts * (ranks <= cutoffs[:, None])
    n, n_top = counts.sum(axis=1), top.sum(axis=1)
    found = np.zeros((len(counts), len(columns)))
    for i, column in enumerate(columns):
        among_all, among_top = _histogram(column, counts), _histogram(column, top)
        active, active_top = among_all.sum(axis=1), among_top.sum(axis=1)
        some = (active >= 2) & (active_top >= 1)
        local, best = _density(among_all[some], column), _density(among_top[some], column)
        divergence = (local * (best / local - 1) ** 2).sum(axis=1)
        weight = (active_top / n_top)[some] ** 2 / (active / n)[some] * (n_top / n)[some] ** 2
        found[some, i] = weight * divergence
    return found


def _histogram(column: GridColumn, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how many trials lie at each place  # [R, G]."""
    import numpy as np

    resamples, size = len(weights), column.size
    active = column.places >= 0
    cells = column.places[active] + size * np.arange(resamples)[:, None]
    flat = np.bincount(cells.ravel(), weights=weights[:, active].ravel(), minlength=resamples * size)
    return np.asarray(flat.reshape(resamples, size), dtype=np.float64)


def _density(histogram: NDArray[np.float64], column: GridColumn) -> NDArray[np.float64]:
    """Return the kernel density of each histogram at each place  # [R, G]."""
    import numpy as np

    total, size = histogram.sum(axis=1, keepdims=True), column.size
    if column.ordered:
        spread = _smoothed(histogram, _widths(histogram)) + PRIOR * _prior(size)
    else:
        prior = PRIOR / ((histogram > 0).sum(axis=1, keepdims=True) + 1)
        spread = (histogram + total * prior) / (1 + size * prior) + PRIOR / size
    return np.asarray(spread / (total + PRIOR) + TINY)


def _widths(histogram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Scott's kernel width of each histogram  # [R]."""
    import numpy as np

    places, total, below = np.arange(histogram.shape[1]), histogram.sum(axis=1), histogram.cumsum(axis=1)
    mean = histogram @ places / total
    deviation = np.sqrt((histogram * (places - mean[:, None]) ** 2).sum(axis=1) / np.maximum(1, total - 1))
    first = (below < np.maximum(total // 4, 1)[:, None]).sum(axis=1)
    third = (below <= (total * 3 // 4)[:, None]).sum(axis=1)
    width = 1.059 * np.minimum((third - first) / 1.34, deviation) * total**-0.2
    return np.asarray(np.maximum(width, NARROWEST))


def _smoothed(histogram: NDArray[np.float64], widths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each histogram with every trial spread as a normal, cut at the grid's ends and whole there  # [R, G]."""
    import numpy as np

    size = histogram.shape[1]
    edges = np.arange(-size, size) + 0.5  # of the places' distances
    below = _normal_cdf(edges / widths[:, None])
    apart = np.arange(size)[:, None] - np.arange(size) + size - 1
    whole = below[:, ::-1][:, :size] - below[:, size - 1 :: -1]
    return np.asarray(np.einsum("rgh,rh->rg", np.diff(below, axis=1)[:, apart], histogram / whole))


def _prior(size: int) -> NDArray[np.float64]:
    """Return the density of nothing known: a normal as wide as the grid  # [G]."""
    import numpy as np

    edges = _normal_cdf((np.arange(size + 1) - size / 2) / size)
    return np.asarray(np.diff(edges) / (edges[-1] - edges[0]))


def _normal_cdf(z: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return 0.5 * (1 + np.asarray(np.frompyfunc(math.erf, 1, 1)(z / math.sqrt(2)), dtype=np.float64))
