"""The surrogate: its gradient against differences, its predictions against the textbook's formula."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import LinAlgError
from scipy.optimize import approx_fprime

from search.brain.curve_data import MOST, Scale, observations, thinned
from search.brain.curve_gp import NEW, CurveGP, Observations, _covariance, _Rows
from search.brain.encoding import SpaceCandidates, decode, dimensions, encode
from spaces import Space, category, float_, int_, when

SPACE = Space(
    (
        float_("rate", 1e-4, 1e-1, log=True, baseline=1e-3),
        category("optimizer", ("adam", "sgd", "lion"), baseline="adam"),
        float_("momentum", 0.0, 0.9, baseline=0.5, when=when("optimizer", "sgd")),
        int_("layers", 1, 5, baseline=2),
        category("norm", (False, True), baseline=False),
    )
)


def seen(n=30, dims=3, seed=0):
    rng = np.random.default_rng(seed)
    points, trials = rng.random((8, dims)), np.sort(rng.integers(0, 8, n))
    return Observations(points[trials], trials, np.log(rng.integers(1, 20, n)) / np.log(20), rng.normal(size=n))


def test_the_gradient_is_that_of_the_density():
    gp, data = CurveGP(3), seen()
    theta = gp.theta + np.random.default_rng(1).normal(0, 0.2, len(gp.theta))
    _, gradient = gp._loss(theta, _Rows.of(data))
    expected = approx_fprime(theta, lambda t: gp._loss(t, _Rows.of(data))[0], 1e-6)
    assert gradient == pytest.approx(expected, rel=1e-3, abs=1e-3)  # differences of 1e-6 in a loss of about 40


def test_a_fit_comes_nearer_to_the_highest_density():
    gp, data = CurveGP(3), seen()
    before = gp._loss(gp.theta, _Rows.of(data))[0]
    gp.fit(data, steps=10)
    assert gp._loss(gp.theta, _Rows.of(data))[0] < before - 0.1


def test_predictions_are_those_of_the_textbook():
    gp, data = CurveGP(3), seen()
    gp.condition(data)
    x = np.array([data.x[data.trials == 3][0], np.random.default_rng(2).random(3)])
    trials, times = np.array([3, NEW]), np.array([[0.2, 0.9], [1.0, 0.0]])
    mean, deviation = gp.predict(x, trials, times)
    noise = np.exp(gp.theta[3 + 5]) + 1e-6
    for k in range(2):
        for m in range(2):
            both = Observations(
                np.vstack([data.x, x[m]]), np.append(data.trials, trials[m]), np.append(data.times, times[k, m]), None
            )
            whole = _covariance(gp.theta, _Rows.of(replace(both, values=np.zeros(31))), 3)
            inverse = np.linalg.inv(whole[:30, :30])
            across = whole[30, :30]
            assert mean[k, m] == pytest.approx(across @ inverse @ data.values, abs=1e-5)
            expected = whole[30, 30] - 1e-6 - across @ inverse @ across
            assert deviation[k, m] ** 2 == pytest.approx(expected, abs=1e-5)
    assert noise > 0


def test_values_that_are_no_numbers_are_refused():
    data = seen()
    with pytest.raises((LinAlgError, ValueError)):
        CurveGP(3).condition(Observations(data.x * np.nan, data.trials, data.times, data.values))


def test_a_configuration_is_encoded_by_range_and_choice():
    found = encode(SPACE, [{"rate": 1e-2, "optimizer": "sgd", "momentum": 0.9, "layers": 3, "norm": True}])[0]
    assert found == pytest.approx([2 / 3, 0, 0.5**0.5, 0, 1, 0.5, 1])
    inactive = encode(SPACE, [{"rate": 1e-4, "optimizer": "adam", "layers": 1, "norm": False}])[0]
    assert inactive == pytest.approx([0, 0.5**0.5, 0, 0, 0.5, 0, 0])
    assert dimensions(SPACE) == len(found) == 7


@pytest.mark.parametrize("seed", range(5))
def test_what_may_begin_lies_in_the_space(seed):
    candidates, rng = SpaceCandidates(SPACE, seed), np.random.default_rng(seed)
    points = [candidates.spread(i) for i in range(8)] + candidates.draw(20, rng)
    points += candidates.near(points[0], 20, rng)
    for point in points:
        assert SPACE.validate(point) == point
    assert [candidates.spread(i) for i in range(8)] == points[:8], "the same for a seed"
    rates = sorted(encode(SPACE, points[:8])[:, 0])
    assert all(i / 8 <= rate <= (i + 1) / 8 for i, rate in enumerate(rates)), "spread evenly"


def test_near_a_point_numbers_move_a_little():
    base = decode(SPACE, np.full((1, len(SPACE)), 0.5))[0]
    moved = SpaceCandidates(SPACE, 0).near(base, 200, np.random.default_rng(0))
    steps = encode(SPACE, moved)[:, 0] - 0.5
    assert 0.3 < np.mean(steps == 0) < 0.7 and np.std(steps) < 0.12


@pytest.mark.parametrize(
    ("epochs", "kept"), [(1, [1]), (3, [1, 2, 3]), (5, [1, 2, 3, 4, 5]), (12, [1, 2, 3, 4, 6, 10, 12])]
)
def test_curves_are_thinned_towards_their_ends(epochs, kept):
    assert thinned(epochs) == kept


def test_bad_values_are_clipped_and_missing_ones_left_out():
    curves = {0: [1.0, 0.5], 1: [2.0, float("nan")], 2: [float("inf")]}
    scale = Scale.of(curves)
    points = {n: np.zeros(2) for n in curves}
    data = observations(curves, points, scale, 9)
    assert sorted(data.trials) == [0, 0, 1, 2] and np.isfinite(data.values).all()
    assert data.values.max() == pytest.approx(float(scale.to(np.array([scale.top]))[0]))
    assert scale.back(scale.best) == pytest.approx(0.5)


def test_of_many_values_the_last_of_each_trial_and_the_lowest_stay():
    curves = {n: [float(n) + 1 / e for e in range(1, 30)] for n in range(60)}
    data = observations(curves, {n: np.zeros(1) for n in curves}, Scale.of(curves), 30)
    assert len(data.values) == MOST and set(data.trials) == set(range(60))
