"""PED-ANOVA of many resamples at once, beside Optuna's evaluator on each."""

import numpy as np
import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator

from search.report.ped_anova import on_grid, ped_anova
from spaces import Space, category, float_, int_, when
from spaces.regularization import SPACE as REGULARIZATION
from spaces.sklearn_comparison import SPACE as ESTIMATORS

MIXED = Space(
    (
        float_("rate", 1e-4, 1e-1, log=True, baseline=1e-3),
        int_("units", 2, 300, log=True, baseline=64),
        int_("layers", 1, 3, baseline=1),
        int_("wide", 0, 1000, baseline=1),
        category("kind", ("a", "b", "c"), baseline="a"),
        float_("own", 0.0, 1.0, baseline=0.5, when=when("kind", "b", "c")),
    )
)


def sampled(space, trials, seed):
    """Return points of the space at random, and costs of which the first parameter decides a part."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    points = []
    for _ in range(trials):
        trial, point = study.ask(), {}
        for p in space:
            if p.when is None or p.when.holds(point):
                point[p.name] = trial._suggest(p.name, p.distribution)
        points.append(point)
    return points, np.random.default_rng(seed).normal(size=trials).round(1)  # rounded: some are equal


def by_optuna(space, points, costs, *, quantile):
    study = optuna.create_study()
    for point, cost in zip(points, costs, strict=True):
        distributions = {name: space[name].distribution for name in point}
        study.add_trial(optuna.create_trial(value=float(cost), params=point, distributions=distributions))
    return PedAnovaImportanceEvaluator(target_quantile=quantile).evaluate(study)


@pytest.mark.filterwarnings("ignore:Some regimes")
@pytest.mark.parametrize("space", [MIXED, REGULARIZATION, ESTIMATORS], ids=["mixed", "regularization", "estimators"])
@pytest.mark.parametrize("quantile", [0.1, 0.25])
def test_every_resample_is_what_optuna_makes_of_it(space, quantile):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    points, costs = sampled(space, 40, seed=3)
    columns = [on_grid(p, [point.get(p.name) for point in points]) for p in space]
    rng = np.random.default_rng(0)
    counts = np.vstack([np.ones((1, 40), dtype=int), rng.multinomial(40, np.full(40, 1 / 40), size=5)])
    found = ped_anova(columns, costs, counts, quantile=quantile)
    for row, count in zip(found, counts, strict=True):
        chosen = np.repeat(np.arange(40), count)
        expected = by_optuna(space, [points[i] for i in chosen], costs[chosen], quantile=quantile)
        # 1e-9: both sum the same terms, Optuna in logarithms
        np.testing.assert_allclose(row, [expected.get(name, 0.0) for name in space.names], rtol=1e-9, atol=1e-12)
    assert found.max() > 0.01
