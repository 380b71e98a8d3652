"""A Gaussian process over learning curves: what a trial, begun or not, will come to after so many epochs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from search.brain.encoding import Array

ROOT5 = 5**0.5
JITTERS = (1e-8, 1e-6, 1e-4, 1e-2)
SINGULAR = 1e10
"""What the negative logarithm of the density is said to be where the covariance cannot be factored."""
NEW = -1
"""The number of a trial that has not begun."""


@dataclass(frozen=True, eq=False)
class Observations:
    """Values of curves, a row each.

    Attributes:
        x: the encoded configurations, between 0 and 1  # [N, D].
        trials: the numbers of the trials  # [N].
        times: the logarithms of the epochs over that of the last one  # [N].
        values: standardised; lower is better  # [N].
    """

    x: Array
    trials: NDArray[np.int64]
    times: Array
    values: Array


class CurveGP:
    """Freeze-thaw (Swersky et al. 2014, arXiv:1406.3896) with the kernel of a product and a trial's own term.

    The covariance of two values is ``kx (a + b kt) + same (c + e kt) + d kt`` and noise: ``kx`` Matern 5/2 with a
    length for each dimension, ``kt`` squared exponential in log epochs, ``same`` 1 within a trial. So a configuration
    has a level and a shape, a trial a level and a shape of its own, and all share a trend. The logarithms of these
    numbers are those of the highest posterior density under normal priors.

    Args:
        dims: D, how many numbers a configuration is encoded as.
    """

    def __init__(self, dims: int) -> None:
        lengths = np.full(dims, np.log(0.7 * max(1.0, dims / 4) ** 0.5))
        self._dims = dims
        self._prior = np.concatenate([lengths, np.log([0.6, 0.3, 0.1, 0.05, 0.3, 0.01, 0.5])])
        self._width = np.concatenate([np.ones(dims), [1.0, 1.0, 1.0, 1.0, 1.0, 1.5, 0.5]])
        self.theta = self._prior.copy()
        self._rows: _Rows | None = None

    def fit(self, seen: Observations, *, steps: int) -> None:
        """Move the numbers of the kernel towards the highest posterior density, from where they are.

        Raises:
            LinAlgError: the covariance is singular, whatever is added to its diagonal.
        """
        bounds = list(zip(self._prior - 5, self._prior + 5, strict=True))
        found = minimize(
            self._loss, self.theta, (_Rows.of(seen),), "L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": steps}
        )
        if found.fun >= SINGULAR:
            raise LinAlgError(f"a covariance of {len(seen.values)} values is singular")
        if np.isfinite(found.fun):
            self.theta = found.x

    def condition(self, seen: Observations) -> None:
        """Take the values that predictions are made from; raises as ``fit``."""
        self._rows = _Rows.of(seen)
        self._factor = _factor(_covariance(self.theta, self._rows, self._dims))
        self._alpha: Array = cho_solve((self._factor, True), seen.values, check_finite=False)
        if not np.isfinite(self._alpha).all():
            raise LinAlgError("the surrogate's weights are not finite")

    def predict(self, x: Array, trials: NDArray[np.int64], times: Array) -> tuple[Array, Array]:
        """Return mean and deviation of trials at some times each  # [K, M] and [K, M].

        Args:
            x: the encoded configurations  # [M, D].
            trials: their numbers; ``NEW`` where one has not begun  # [M].
            times: as of ``Observations``  # [K, M].
        """
        assert self._rows is not None, "condition first"
        rows, dims = self._rows, self._dims
        a, b, c, e, d, noise, reach = np.exp(self.theta[dims:])
        kx = _matern(_distances(x, rows.x, np.exp(self.theta[:dims]))).take(rows.trial, 1)
        same = trials[:, None] == rows.trials[None, :]
        level, shape = a * kx + c * same, b * kx + e * same + d
        kt = np.exp(-0.5 * ((times[:, :, None] - rows.times) / reach) ** 2).take(rows.time, 2)
        k = (level + shape * kt).reshape(-1, len(rows.values))
        mean = k @ self._alpha
        half = solve_triangular(self._factor, k.T, lower=True, check_finite=False)
        variance = a + b + c + e + d + noise - np.einsum("nm,nm->m", half, half)
        return mean.reshape(times.shape), np.sqrt(np.maximum(variance, 1e-8)).reshape(times.shape)

    def _loss(self, theta: Array, rows: _Rows) -> tuple[float, Array]:
        """Return the negative logarithm of the posterior density, and its gradient."""
        dims, n, y = self._dims, len(rows.values), rows.values
        lengths, (a, b, c, e, d, noise, reach) = np.exp(theta[:dims]), np.exp(theta[dims:])
        apart = _distances(rows.x, rows.x, lengths)
        falling = np.exp(-ROOT5 * apart)
        kx = rows.by_trial((1 + ROOT5 * apart + 5 / 3 * apart**2) * falling)
        kt = rows.by_time(np.exp(-0.5 * rows.gaps / reach**2))
        over, own = a + b * kt, c + e * kt
        k = kx * over + rows.same * own + d * kt
        k.flat[:: n + 1] += noise + 1e-6
        off = (theta - self._prior) / self._width
        try:
            factor = _factor(k)
        except LinAlgError:
            return SINGULAR, np.zeros_like(theta)
        inverse, _ = dpotri(factor, lower=1)
        inverse += np.tril(inverse, -1).T
        alpha = inverse @ y
        loss = 0.5 * y @ alpha + np.log(np.diag(factor)).sum() + 0.5 * off @ off
        w = np.outer(alpha, alpha) - inverse
        pulled = rows.of_trials(w * over) * (5 / 3) * (1 + ROOT5 * apart) * falling
        x = rows.x
        by_length = 2 * (pulled.sum(1) @ x**2 - ((pulled @ x) * x).sum(0)) / lengths**2
        wt, ws = w * kt, w * rows.same
        by_reach = (wt * (kx * b + rows.same * e + d) * rows.by_time(rows.gaps)).sum() / reach**2
        scales = [a * (w * kx).sum(), b * (wt * kx).sum(), c * ws.sum(), e * (ws * kt).sum(), d * wt.sum()]
        gradient = 0.5 * np.concatenate([by_length, scales, [noise * np.trace(w), by_reach]])
        return float(loss), off / self._width - gradient


@dataclass(frozen=True, eq=False)
class _Rows:
    """Observations of T trials at U different times: what depends on these alone is computed T x T and U x U.

    Attributes:
        x: the configurations of the trials  # [T, D].
        times: the different ones  # [U].
        gaps: squared, between the times  # [U, U].
        trial, time: of each value, which of them  # [N].
        trials, values: as of ``Observations``  # [N].
        same: 1 where two values are of one trial  # [N, N].
    """

    x: Array
    times: Array
    gaps: Array
    trial: NDArray[np.intp]
    time: NDArray[np.intp]
    trials: NDArray[np.int64]
    values: Array
    same: Array

    @classmethod
    def of(cls, seen: Observations) -> _Rows:
        _, first, trial = np.unique(seen.trials, return_index=True, return_inverse=True)
        times, time = np.unique(seen.times, return_inverse=True)
        gaps, same = (times[:, None] - times) ** 2, (trial[:, None] == trial).astype(float)
        return cls(seen.x[first], times, gaps, trial, time, seen.trials, seen.values, same)

    def by_trial(self, pairs: Array) -> Array:
        """Return what there is of each two trials for each two values  # [T, T] to [N, N]."""
        return pairs.take(self.trial, 0).take(self.trial, 1)

    def by_time(self, pairs: Array) -> Array:
        """Return what there is of each two times for each two values  # [U, U] to [N, N]."""
        return pairs.take(self.time, 0).take(self.time, 1)

    def of_trials(self, pairs: Array) -> Array:
        """Return the sums over the values of each two trials  # [N, N] to [T, T]."""
        order = np.argsort(self.trial, kind="stable")
        starts = np.flatnonzero(np.diff(self.trial[order], prepend=-1))
        rows = np.add.reduceat(pairs.take(order, 0), starts, axis=0)
        return np.add.reduceat(rows.take(order, 1), starts, axis=1)


def _covariance(theta: Array, rows: _Rows, dims: int) -> Array:
    a, b, c, e, d, noise, reach = np.exp(theta[dims:])
    kx = rows.by_trial(_matern(_distances(rows.x, rows.x, np.exp(theta[:dims]))))
    kt = rows.by_time(np.exp(-0.5 * rows.gaps / reach**2))
    found: Array = kx * (a + b * kt) + rows.same * (c + e * kt) + d * kt
    found.flat[:: len(found) + 1] += noise + 1e-6
    return found


def _distances(x: Array, y: Array, lengths: Array) -> Array:
    """Return how far apart points are, in lengths of the kernel  # [M, N]."""
    u, v = x / lengths, y / lengths
    found: Array = np.sqrt(np.maximum((u**2).sum(1)[:, None] + (v**2).sum(1)[None, :] - 2 * u @ v.T, 0))
    return found


def _matern(apart: Array) -> Array:
    found: Array = (1 + ROOT5 * apart + 5 / 3 * apart**2) * np.exp(-ROOT5 * apart)
    return found


def _factor(k: Array) -> Array:
    """Return the lower Cholesky factor; raises LinAlgError where there is none."""
    for jitter in JITTERS:
        try:
            found: Array = cholesky(k + jitter * np.eye(len(k)), lower=True, check_finite=False)
        except LinAlgError:
            continue
        if np.isfinite(found).all():
            return found
    raise LinAlgError(f"a covariance of {len(k)} values is singular")
