"""What pruning saved by outcome, and how the ranks at the rungs agree with those at the end."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from search.report.leaderboard import leaderboard
from search.report.pruning import LEAST_TRIALS, pruning, rungs_of
from tests.search.conftest import make_study
from tests.search.test_answer import CURVES, record

STUDY = {"budget": {"max_epochs": 5}, "scheduler": {"grace": 1, "reduction_factor": 2}}


def found(ledger, study_id, curves, **values):
    study = make_study(**{**STUDY, **values})
    trials, epochs = record(ledger, study_id, curves, metric=study.objective.metric)
    return pruning(study, trials, epochs, leaderboard(trials, epochs, study.objective))


def test_each_outcome_has_what_it_trained_and_what_it_did_not(ledger, study_id):
    rows = {row.outcome: row for row in found(ledger, study_id, [*CURVES, ("running", [0.9, 0.8])]).outcomes}
    assert list(rows) == ["complete", "pruned", "diverged", "failed", "running"]
    plain = {name: (r.trials, r.epochs, r.seconds, r.epochs_left, r.seconds_left) for name, r in rows.items()}
    assert plain == {  # each epoch took half a second
        "complete": (2, 6, 3.0, 4, 2.0),
        "pruned": (1, 2, 1.0, 3, 1.5),
        "diverged": (2, 3, 1.5, 7, 3.5),
        "failed": (2, 1, 0.5, 9, 2.0),  # the one without an epoch has no pace
        "running": (1, 2, 1.0, 0, 0.0),  # it goes on
    }


def test_a_study_without_a_trial_has_nothing_to_say_and_one_without_an_epoch_no_seconds(ledger, study_id):
    assert found(ledger, study_id, []) is None
    (row,) = found(ledger, study_id, [("oom", [])]).outcomes
    assert (row.outcome, row.epochs, row.seconds, row.epochs_left, row.seconds_left) == ("failed", 0, 0.0, 5, 0.0)


@pytest.mark.parametrize(
    ("grace", "factor", "longest", "rungs"),
    [(3, 3, 30, [3, 9, 27]), (1, 2, 5, [1, 2, 4]), (3, 3, 27, [3, 9]), (5, 3, 5, [])],
)
def test_the_rungs_are_those_of_asha_below_the_last_epoch(grace, factor, longest, rungs):
    scheduler = {"grace": grace, "reduction_factor": factor}
    assert rungs_of(make_study(budget={"max_epochs": longest}, scheduler=scheduler)) == rungs


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_correlation_is_spearmans_of_the_value_at_the_rung_with_the_best(ledger, study_id, mode):
    curves = np.random.default_rng(0).random((20, 5))
    kinds = ["max"] * 18 + ["rung", "diverged"]  # whose ends are not known
    objective = {"metric": "lr", "mode": mode}
    rungs = found(ledger, study_id, list(zip(kinds, curves.tolist(), strict=True)), objective=objective).rungs
    whole = curves[:18]
    final = whole.min(axis=1) if mode == "min" else whole.max(axis=1)
    assert [(r.epoch, r.trials) for r in rungs] == [(1, 18), (2, 18), (4, 18)]
    for rung in rungs:
        assert rung.correlation == pytest.approx(spearmanr(whole[:, rung.epoch - 1], final).statistic)
        assert -1 < rung.low < rung.correlation < rung.high < 1


def test_a_trial_that_ended_by_patience_before_a_rung_is_not_there(ledger, study_id):
    curves = [("max", [v / 10, v / 20, v / 30, v / 40, v / 50]) for v in range(1, LEAST_TRIALS)]
    curves.append(("patience", [0.05, 0.01, 0.015]))
    rungs = found(ledger, study_id, curves).rungs
    assert [(r.epoch, r.trials) for r in rungs] == [(1, 8), (2, 8), (4, 7)]
    assert rungs[0].correlation == 1 == rungs[0].low == rungs[0].high
    assert rungs[2].correlation is None


def test_equal_values_have_no_ranks_to_compare(ledger, study_id):
    (first, *_) = found(ledger, study_id, [("max", [0.5] * 5)] * 10).rungs
    assert (first.trials, first.correlation, first.low, first.high) == (10, None, None, None)


def test_the_interval_holds_the_true_correlation_about_as_often_as_it_says():
    """Of normal pairs whose rank correlation is 0.6, 400 samples of 20."""
    from search.report.pruning import _interval

    rng, rank_correlation = np.random.default_rng(0), 0.6
    rho = 2 * np.sin(np.pi * rank_correlation / 6)
    hits = 0
    for _ in range(400):
        x, y = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=20).T
        low, high = _interval(spearmanr(x, y).statistic, 20)
        hits += low <= rank_correlation <= high
    assert 0.92 < hits / 400 < 0.99  # binomial error 1.1%
