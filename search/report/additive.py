"""The functional ANOVA of an additive model: what share of the trials' differences each parameter has by itself.

fANOVA (Hutter, Hoos and Leyton-Brown 2014) splits the variance of a fitted model over the space among its parameters.
Theirs is a random forest. At the 64 trials of a search a forest sees a weak parameter only behind all stronger ones,
and Optuna's weighs a logarithmic range by its plain values, so that nine tenths of a learning rate's are its largest.
Here the model is a sum of one curve for each parameter (Stone 1994, smoothing-spline ANOVA), of which ridge regression
fits all at once; ``python -m benchmarks.importance`` has what each of these ranks rightly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.report.ped_anova import GridColumn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KNOTS = 5
"""Of each number's curve, evenly over its range (or its logarithm's), straight in between."""

PENALTY = 1.0
"""Of the squares of a curve's coefficients, in trials: one that bends pays as one more trial would. Chosen from the
trials by cross-validation it varies more from search to search than what it is to weigh."""

TINY = 1e-12


class AdditiveModel:
    """A sum of one curve for each parameter, fitted to the trials.

    Args:
        columns: P parameters, each with its places of the N trials.
        y: finite, and not all equal  # [N].
    """

    def __init__(self, columns: Sequence[GridColumn], y: NDArray[np.float64]) -> None:
        import numpy as np

        self._curves = [_curves(column) for column in columns]
        self._active = [column.places >= 0 for column in columns]
        placed = zip(columns, self._curves, strict=True)
        self._x = np.hstack([np.where(c.places[:, None] >= 0, curve[c.places], 0.0) for c, curve in placed])
        self._y = y

    def shares(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the variance of ``y`` that each parameter has by itself, in each resample.

        It is the variance of its curve where all its values are as likely, whatever the sampler made of that; of a
        conditional parameter, times the share of the trials that have it.

        Args:
            counts: how often each trial is in each resample  # [R, N].

        Returns:
            0 to 1; together about 1 at most, the rest being noise and what parameters have only together  # [R, P].
        """
        import numpy as np

        found = np.empty((len(counts), len(self._curves)))
        for r, weights in enumerate(counts):
            share = weights / weights.sum()
            x, y = self._x - share @ self._x, self._y - share @ self._y
            fit = _ridge(x, weights, y)
            found[r] = self._variances(fit) / max(float(share @ y**2), TINY)
        return np.minimum(found, 1.0)

    def p_values(self, rng: np.random.Generator, deals: int) -> NDArray[np.float64]:
        """Return how often noise would make some parameter stand out as much as each does.

        What the other parameters leave over is dealt anew among the trials that have the parameter (Freedman and Lane
        1983), and its curve is fitted to that. The most conspicuous parameter of each deal counts for all of them
        (Westfall and Young 1993), so that of parameters that do nothing, however many, none is below 0.05 in 95% of
        searches.

        Returns:
            [P].
        """
        import numpy as np

        keys = rng.random((deals, len(self._y)))
        ends = np.cumsum([0, *(curve.shape[1] for curve in self._curves)])
        x, y = self._x - self._x.mean(axis=0), self._y - self._y.mean()
        scores = np.zeros((1 + deals, len(self._curves)))
        for j, active in enumerate(self._active):
            own = slice(ends[j], ends[j + 1])
            others = np.delete(x, own, axis=1)
            left = (y - others @ _ridge(others, np.ones(len(y)), y))[active]
            left = left - left.mean()
            curve = self._x[active, own] - self._x[active, own].mean(axis=0)
            u, sizes, _ = np.linalg.svd(curve, full_matrices=False)
            dealt = left[np.vstack([np.arange(len(left)), keys[:, active].argsort(axis=1)])]
            explained = ((dealt @ u[:, sizes > TINY * len(y)]) ** 2).sum(axis=1)
            scores[:, j] = (explained - explained.mean()) / max(float(explained.std()), TINY)
        return np.asarray((scores.max(axis=1)[:, None] >= scores[0]).mean(axis=0))

    def _variances(self, fit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance of each parameter's curve  # [P]."""
        import numpy as np

        parts = np.split(fit, np.cumsum([curve.shape[1] for curve in self._curves])[:-1])
        pairs = zip(self._curves, parts, self._active, strict=True)
        variances = [active.mean() * (curve @ part).var() for curve, part, active in pairs]
        return np.array(variances, dtype=np.float64)


def _ridge(
    x: NDArray[np.float64], weights: NDArray[np.float64] | NDArray[np.int64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    import numpy as np

    weighted = (x * weights[:, None]).T
    return np.asarray(np.linalg.solve(weighted @ x + PENALTY * np.eye(x.shape[1]), weighted @ y), dtype=np.float64)


def _curves(column: GridColumn) -> NDArray[np.float64]:
    """Return what a parameter's curve is a sum of, at each place: one hat a knot, or one step a choice  # [G, K].

    Each has mean 0 over the places, and all together mean square 1, so that a penalty means the same to all parameters.
    """
    import numpy as np

    if column.ordered:
        apart = np.linspace(0, KNOTS - 1, column.size)[:, None] - np.arange(KNOTS)
        basis = np.maximum(0.0, 1 - abs(apart))
    else:
        basis = np.eye(column.size)
    basis = basis - basis.mean(axis=0)
    return np.asarray(basis / np.sqrt((basis**2).mean(axis=0).sum()))
