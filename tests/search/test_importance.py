"""Importance: which trials count at which epoch, what is planted is found, and what is not comes to nothing."""

import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmarks.importance import EFFECTS, declared, simulated
from search.face.present import say_importance
from search.report.comparable import FEWEST, comparable
from search.report.importance import importance
from spaces import Space, category, float_, when
from tests.search.conftest import make_study

SPACE = Space(
    (
        float_("dropout", 0.0, 1.0, baseline=0.0),
        float_("weight_decay", 1e-4, 1e-1, log=True, baseline=0.0),
        category("batch_norm", (False, True), baseline=False),
        float_("own", 0.0, 1.0, baseline=0.5, when=when("batch_norm", True)),
    )
)


def frames(trials):
    """Return frames of (params, state, reason, losses by epoch); the training loss is 1 less than dropout's gap."""
    rows, epochs = [], []
    for number, (params, state, reason, losses) in enumerate(trials):
        rows.append({"number": number, "state": state, "stop_reason": reason, "message": None, "params": params})
        for epoch, loss in enumerate(losses, 1):
            train = loss - params["dropout"]
            epochs.append({"number": number, "epoch": epoch, "seconds": 1.0, "val_loss": loss, "train_loss": train})
    return pd.DataFrame(rows), pd.DataFrame(epochs)


def drawn(count, loss, seed=0):
    rng, points = np.random.default_rng(seed), []
    for _ in range(count):
        norm = bool(rng.integers(2))
        point = {"dropout": rng.random(), "weight_decay": 10 ** -rng.uniform(1, 4), "batch_norm": norm}
        points.append(point | ({"own": rng.random()} if norm else {}))
    return frames([(p, "COMPLETE", "max_epochs", [loss(p, rng)] * 3) for p in points])


def by_name(found):
    return {row.parameter: row for row in found.parameters}


def test_the_epoch_is_the_highest_that_enough_trials_reached_or_ended_themselves_before():
    point = {"dropout": 0.5, "weight_decay": 0.01, "batch_norm": False}
    trials = [
        *[(point, "COMPLETE", "max_epochs", [3.0, 2.0, 1.0, 4.0])] * 6,
        *[(point, "PRUNED", "rung_3", [3.0, 2.0, 1.5])] * 5,
        (point, "COMPLETE", "patience", [0.5, 0.7]),
        (point, "PRUNED", "diverged", [0.1, math.nan]),
        (point, "PRUNED", "rung_2", [9.0, 9.0]),
        (point, "FAILED", "error", []),
    ]
    at = comparable(make_study(SPACE), *frames(trials))
    assert (at.epoch, len(at.params), at.diverged) == (3, 13, 1)
    assert at.left_out == {"did not reach epoch 3": 2}
    assert at.ranks[11] == 1 and at.ranks[12] == 13, "patience ended the best; a diverged one is last"
    assert at.ranks[0] < at.ranks[6], "the best up to the epoch"
    assert math.isnan(at.gaps[12]) and at.gaps[0] == pytest.approx(0.5)


def test_a_trial_of_another_category_does_not_count_and_a_number_moves_to_the_nearest():
    inside = {"dropout": 0.5, "weight_decay": 0.0, "batch_norm": False}
    trials = [(inside, "COMPLETE", "max_epochs", [1.0 + i]) for i in range(FEWEST)]
    trials.append(({**inside, "batch_norm": "group"}, "COMPLETE", "max_epochs", [0.0]))
    at = comparable(make_study(SPACE), *frames(trials))
    assert len(at.params) == FEWEST and at.left_out == {"outside the space": 1}
    assert at.params[0]["weight_decay"] == 1e-4


def test_what_is_planted_is_found_and_the_same_seed_says_the_same():
    study, found_in = make_study(SPACE), drawn(60, lambda p, rng: 3 * p["dropout"] + 0.2 * rng.normal(), seed=1)
    found = importance(study, *found_in)
    assert found == importance(study, *found_in)
    first, *others = found.parameters
    assert first.parameter == "dropout" and first.stands_out and first.variance.low > 0.5
    assert not any(row.stands_out for row in others)
    assert first.among_best.value > 0.5
    own = by_name(found)["own"]
    assert own.condition == "batch_norm = on" and own.trials < 60
    assert any("own" in line for line in found.warnings)


def test_an_interaction_is_told_from_none():
    def crossed(p, rng):
        return (p["dropout"] - 0.5) * (1 if p["batch_norm"] else -1) + 0.05 * rng.normal()

    def additive(p, rng):
        return p["dropout"] + p["batch_norm"] + 0.05 * rng.normal()

    shares = [
        {i.parameters: i.share for i in importance(make_study(SPACE), *drawn(80, loss)).interactions}
        for loss in (crossed, additive)
    ]
    pair = ("dropout", "batch_norm")
    assert shares[0][pair].low > 0.3 and abs(shares[1][pair].value) < 0.1
    assert not shares[0]["dropout", "weight_decay"].is_settled


def test_the_gap_follows_the_parameter_that_makes_it():
    gaps = importance(make_study(SPACE), *drawn(40, lambda p, rng: rng.normal())).gaps
    assert gaps[0].parameter == "dropout" and gaps[0].effect.value == pytest.approx(1.0)
    assert all(abs(gap.effect.value) < 0.5 for gap in gaps[1:]), "what does not make it"
    assert [gap.choice for gap in gaps if gap.parameter == "batch_norm"] == [True]


def test_with_few_trials_it_says_so_and_below_ten_it_says_nothing():
    study = make_study(SPACE)
    assert importance(study, *drawn(9, lambda p, rng: rng.normal())) is None
    assert "12 trials are few" in importance(study, *drawn(12, lambda p, rng: rng.normal())).warnings[0]
    same = importance(study, *drawn(12, lambda p, rng: 1.0))
    assert same.parameters == () and same.problem == "all 12 trials came to the same val_loss"
    rows, epochs = drawn(12, lambda p, rng: rng.normal())
    assert "fewer than 10" in importance(study, rows, epochs[epochs["number"] < 5]).problem


def test_it_is_printed_within_80_columns():
    found = importance(make_study(SPACE), *drawn(60, lambda p, rng: p["dropout"] + 0.2 * rng.normal()))
    console = Console(width=80, force_terminal=True, color_system=None, record=True)
    say_importance(console, found)
    text = console.export_text()
    assert "dropout x batch_norm" in text and "of 60 trials at epoch 3" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
def test_a_known_function_is_ranked_rightly_in_nine_searches_of_ten():
    studies = [declared(seed, 64, "random") for seed in range(10)]
    ranked = [[row.parameter for row in importance(study, *simulated(study)).parameters] for study in studies]
    assert sum(names[:3] == list(EFFECTS) for names in ranked) >= 9
