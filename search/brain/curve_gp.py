"""A Gaussian process over learning curves: what a trial, begun or not, will come to after so many epochs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.optimize import minimize

from search.brain.encoding import Array

ROOT5 = 5**0.5
JITTERS = (1e-8, 1e-6, 1e-4, 1e-2)
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
        self._seen: Observations | None = None

    def fit(self, seen: Observations, *, steps: int) -> None:
        """Move the numbers of the kernel towards the highest posterior density, from where they are.

        Raises:
            LinAlgError: the covariance is singular, whatever is added to its diagonal.
        """
        _factor(_covariance(self.theta, seen, self._dims))
        bounds = list(zip(self._prior - 5, self._prior + 5, strict=True))
        found = minimize(
            self._loss, self.theta, (seen,), "L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": steps}
        )
        if np.isfinite(found.fun):
            self.theta = found.x

    def condition(self, seen: Observations) -> None:
        """Take the values that predictions are made from; raises as ``fit``."""
        factor = _factor(_covariance(self.theta, seen, self._dims))
        self._inverse: Array = solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False)
        self._alpha: Array = self._inverse.T @ (self._inverse @ seen.values)
        self._seen = seen
        if not np.isfinite(self._alpha).all():
            raise LinAlgError("the surrogate's weights are not finite")

    def predict(self, x: Array, trials: NDArray[np.int64], times: Array) -> tuple[Array, Array]:
        """Return mean and deviation of trials at some times each  # [K, M] and [K, M].

        Args:
            x: the encoded configurations  # [M, D].
            trials: their numbers; ``NEW`` where one has not begun  # [M].
            times: as of ``Observations``  # [K, M].
        """
        assert self._seen is not None, "condition first"
        seen, dims = self._seen, self._dims
        a, b, c, e, d, noise, reach = np.exp(self.theta[dims:])
        kx = _matern(_distances(x, seen.x, np.exp(self.theta[:dims])))
        same = (trials[:, None] == seen.trials[None, :]).astype(float)
        level, shape = a * kx + c * same, b * kx + e * same + d
        kt = np.exp(-0.5 * ((times[:, :, None] - seen.times) / reach) ** 2)
        k = (level + shape * kt).reshape(-1, len(seen.values))
        mean = k @ self._alpha
        variance = a + b + c + e + d + noise - ((k @ self._inverse.T) ** 2).sum(1)
        return mean.reshape(times.shape), np.sqrt(np.maximum(variance, 1e-8)).reshape(times.shape)

    def _loss(self, theta: Array, seen: Observations) -> tuple[float, Array]:
        """Return the negative logarithm of the posterior density, and its gradient."""
        dims, n, y = self._dims, len(seen.values), seen.values
        lengths, (a, b, c, e, d, noise, reach) = np.exp(theta[:dims]), np.exp(theta[dims:])
        apart = _distances(seen.x, seen.x, lengths)
        kx, same = _matern(apart), (seen.trials[:, None] == seen.trials[None, :]).astype(float)
        gaps = (seen.times[:, None] - seen.times[None, :]) ** 2
        kt = np.exp(-0.5 * gaps / reach**2)
        k = kx * (a + b * kt) + same * (c + e * kt) + d * kt + (noise + 1e-6) * np.eye(n)
        off = (theta - self._prior) / self._width
        try:
            factor = _factor(k)
        except LinAlgError:
            return 1e10, np.zeros_like(theta)
        inverse = solve_triangular(factor, np.eye(n), lower=True, check_finite=False)
        inverse = inverse.T @ inverse
        alpha = inverse @ y
        loss = 0.5 * y @ alpha + np.log(np.diag(factor)).sum() + 0.5 * off @ off
        w = np.outer(alpha, alpha) - inverse
        pulled = w * (a + b * kt) * (5 / 3) * (1 + ROOT5 * apart) * np.exp(-ROOT5 * apart)
        x = seen.x
        by_length = 2 * (pulled.sum(1) @ x**2 - ((pulled @ x) * x).sum(0)) / lengths**2
        wt = w * kt
        by_reach = (wt * (kx * b + same * e + d) * gaps).sum() / reach**2
        scales = [a * (w * kx).sum(), b * (wt * kx).sum(), c * (w * same).sum(), e * (wt * same).sum(), d * wt.sum()]
        gradient = 0.5 * np.concatenate([by_length, scales, [noise * np.trace(w), by_reach]])
        return float(loss), off / self._width - gradient


def _covariance(theta: Array, seen: Observations, dims: int) -> Array:
    a, b, c, e, d, noise, reach = np.exp(theta[dims:])
    kx = _matern(_distances(seen.x, seen.x, np.exp(theta[:dims])))
    kt = np.exp(-0.5 * ((seen.times[:, None] - seen.times[None, :]) / reach) ** 2)
    same = (seen.trials[:, None] == seen.trials[None, :]).astype(float)
    found: Array = kx * (a + b * kt) + same * (c + e * kt) + d * kt + (noise + 1e-6) * np.eye(len(seen.values))
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
