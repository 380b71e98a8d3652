"""What pruning saved and cost by outcome, and how the ranks at the rungs agree with those at the end."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, spearmanr

from search.brain.audit import is_drawn
from search.ledger.outcome import StopReason
from search.report.audit import Audited
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


def audited(drawn, curves, ended):
    """Return what a ledger has of an audit: values by epoch and ends, by number."""
    rows = [
        {"number": number, "epoch": epoch, "seconds": 0.25, "val_loss": value}
        for number, values in curves.items()
        for epoch, value in enumerate(values, 1)
    ]
    return Audited(drawn, pd.DataFrame(rows, columns=["number", "epoch", "seconds", "val_loss"]), ended)


def audit_found(ledger, study_id, records, pruned=10):
    """Return the audit of a search whose best is 0.5."""
    study = make_study(**STUDY)
    trials, epochs = record(ledger, study_id, [("max", [0.6, 0.5]), *[("rung", [0.9])] * pruned])
    return pruning(study, trials, epochs, leaderboard(trials, epochs, study.objective), records)


END = StopReason.MAX_EPOCHS


def test_regret_is_what_a_pruned_trial_would_have_bettered_the_best_by(ledger, study_id):
    curves = {1: [0.9, 0.3, 0.4], 2: [0.9, 0.8, 0.7], 3: [0.9, 0.45], 4: [0.9, 0.6], 5: [0.9]}
    ends = {1: END, 2: END, 3: StopReason.PATIENCE, 4: END, 5: StopReason.ERROR}
    found = audit_found(ledger, study_id, audited([1, 2, 3, 4, 5, 6], curves, ends)).audit
    assert (found.drawn, found.trained, found.failed, found.better) == (6, 4, 1, 2)
    assert found.regret == pytest.approx((0.2 + 0.05) / 4)
    assert 0 <= found.low < found.regret < found.high <= 0.2
    exact = binomtest(2, 4).proportion_ci(method="exact")
    assert (found.share_low, found.share_high) == pytest.approx((exact.low, exact.high))
    assert (found.epochs, found.seconds) == (11, 2.75)


def test_where_none_was_better_there_is_no_interval_but_of_the_share(ledger, study_id):
    found = audit_found(
        ledger, study_id, audited([1, 2, 3], {n: [0.9, 0.6] for n in (1, 2, 3)}, dict.fromkeys((1, 2, 3), END))
    )
    assert (found.audit.better, found.audit.regret, found.audit.low, found.audit.high) == (0, 0.0, None, None)
    assert found.audit.share_low == 0
    assert found.audit.share_high == pytest.approx(1 - 0.025 ** (1 / 3))


def test_an_audited_trial_that_diverged_counts_with_what_was_finite_and_without_with_nothing(ledger, study_id):
    curves = {1: [math.nan], 2: [0.4, math.nan]}
    found = audit_found(ledger, study_id, audited([1, 2], curves, dict.fromkeys(curves, StopReason.DIVERGED))).audit
    assert (found.trained, found.better) == (2, 1)
    assert found.regret == pytest.approx(0.05)


@pytest.mark.parametrize("drawn", [[], [1, 2]])
def test_an_audit_of_which_nothing_has_ended_has_no_regret(ledger, study_id, drawn):
    found = audit_found(ledger, study_id, audited(drawn, {}, {})).audit
    assert (found.drawn, found.trained, found.regret, found.share_low, found.share_high) == (len(drawn), 0, *[None] * 3)


def test_audited_trials_are_compared_at_the_rungs_and_cost_nothing_of_what_was_saved(ledger, study_id):
    numbers = range(1, LEAST_TRIALS)
    records = audited(numbers, {n: [n / 10, n / 20, n / 30] for n in numbers}, dict.fromkeys(numbers, END))
    found = audit_found(ledger, study_id, records)
    assert [(r.epoch, r.trials) for r in found.rungs] == [(1, 8), (2, 8), (4, 0)]
    pruned = {row.outcome: row for row in found.outcomes}["pruned"]
    assert (pruned.trials, pruned.epochs, pruned.epochs_left) == (10, 10, 40)


def test_each_trial_is_drawn_with_the_share_that_was_asked_for_whatever_else_is_declared():
    def drawn(share, **values):
        scheduler = {"grace": 1, "audit_fraction": share}
        study = make_study(scheduler=scheduler, **values)
        return {number for number in range(4000) if is_drawn(study, number)}

    assert drawn(0.0) == set() and drawn(1.0) == set(range(4000))
    assert abs(len(drawn(0.05)) - 200) < 4 * math.sqrt(4000 * 0.05 * 0.95)  # 4 standard deviations
    assert drawn(0.05) <= drawn(0.2)
    assert drawn(0.05) == drawn(0.05, budget={"trials": 9}) != drawn(0.05, seed=1)
