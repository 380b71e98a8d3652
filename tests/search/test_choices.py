"""What each choice of a categorical parameter came to, beside what a plain loop over the trials finds."""

import json
import math
from statistics import fmean, median

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from search.face.grid import print_grid
from search.face.present import epochs_text
from search.face.tables import choices_table
from search.ledger import LedgerWriter
from search.ledger.outcome import Outcome, StopReason
from search.report.answer import answer
from search.report.choices import MOST_CHOICES, MOST_SHOWN, influence
from spaces import Space, category, float_, when
from tests.search.conftest import make_study
from tests.support.facts import FACTS

SPACE = Space(
    (
        category("schedule", ("none", "step", "cosine"), baseline="none"),
        category("norm", (False, True), baseline=False),
        category("patience", (0, 1), baseline=0),
        category("drop", ("a", "b"), baseline="a", when=when("schedule", "step")),
        float_("rate", 0.1, 1.0, baseline=0.5),
    )
)
DONE = Outcome(StopReason.MAX_EPOCHS)
PRUNED = Outcome(StopReason.RUNG, rung=1)


def found(ledger, trials, space=SPACE, **values):
    """Record (params, outcome, values by epoch) as trials and return the answer."""
    study_id = ledger.create_study(f"s{len(ledger.studies())}", {}, fingerprint="", facts=FACTS)
    writer = LedgerWriter(ledger, study_id)
    for number, (params, outcome, curve) in enumerate(trials):
        writer.trial_started(number, params, config_hash=str(number), seed=0, sampler_attrs={}, repeats=[])
        for epoch, value in enumerate(curve, 1):
            writer.epoch(number, epoch, seconds=0.1, metrics={"val_loss": value})
        if outcome is not None:
            writer.trial_ended(number, outcome)
    writer.flush()
    return answer(make_study(space, **values), ledger.trials_frame(study_id), ledger.epochs_frame(study_id), FACTS)


TRIALS = [
    ({"schedule": "none", "norm": False, "patience": 0}, DONE, [0.9, 0.5, 0.6]),
    ({"schedule": "none", "norm": True, "patience": 1}, PRUNED, [0.4]),
    ({"schedule": "step", "norm": True, "patience": 0, "drop": "b"}, PRUNED, [0.8]),
    ({"schedule": "step", "norm": True, "patience": 0, "drop": "a"}, PRUNED, [0.6, 0.7]),
    ({"schedule": "none", "norm": False, "patience": 1}, DONE, [0.7]),
    ({"schedule": "none", "norm": False, "patience": 1}, Outcome(StopReason.DIVERGED), [math.nan]),
]


def rows(answered, name):
    return [(c.choice, c.trials, c.completed, c.best, c.median, c.epochs) for c in answered.choices[name]]


def test_every_choice_is_counted_and_the_median_is_of_the_completed_trials(ledger):
    result = found(ledger, TRIALS)
    assert rows(result, "schedule") == [
        ("none", 4, 2, 0.4, 0.6, 1.5),  # the pruned 0.4 is the best; the median is that of 0.5 and 0.7
        ("step", 2, 0, 0.6, 0.7, 1.5),  # none completed: of all
        ("cosine", 0, 0, None, None, 0.0),
    ]
    assert rows(result, "norm") == [(False, 3, 2, 0.5, 0.6, 5 / 3), (True, 3, 0, 0.4, 0.6, 4 / 3)]
    assert rows(result, "drop") == [("a", 1, 0, 0.6, 0.6, 2.0), ("b", 1, 0, 0.8, 0.8, 1.0)]
    assert "rate" not in result.choices


def test_true_and_one_are_two_choices(ledger):
    space = Space((category("x", (1, True), baseline=1),))
    result = found(ledger, [({"x": 1}, DONE, [0.5]), ({"x": True}, DONE, [0.25])], space)
    assert [(c.choice is True, c.best) for c in result.choices["x"]] == [(False, 0.5), (True, 0.25)]


def test_a_maximum_is_the_best_where_more_is_better(ledger):
    result = found(ledger, TRIALS[:2], objective={"metric": "val_loss", "mode": "max"})
    assert result.choices["schedule"][0].best == 0.9


def test_a_value_from_outside_the_space_comes_last(ledger):
    space = SPACE.with_parameters({"schedule": category("schedule", ("step", "cosine"), baseline="none")})
    assert [c.choice for c in found(ledger, TRIALS, space).choices["schedule"]] == ["step", "cosine", "none"]


def test_a_parameter_that_was_fixed_is_no_choice(ledger):
    space = SPACE.with_parameters({"schedule": SPACE["schedule"].fixed_at("none")})
    assert "schedule" not in found(ledger, TRIALS[:1], space, shown=("schedule",)).choices


CURVE = st.lists(st.sampled_from([0.1, 0.2, 0.3, math.nan]), min_size=1, max_size=3)
TRIAL = st.tuples(
    st.fixed_dictionaries({"schedule": st.sampled_from(("none", "step", "cosine")), "norm": st.booleans()}),
    st.sampled_from([DONE, PRUNED, None]),
    CURVE,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TRIAL, min_size=1, max_size=8))
def test_the_table_is_what_a_plain_loop_finds(ledger, trials):
    result = found(ledger, trials)
    for choice in result.choices["schedule"]:
        own = [t for t in trials if t[0]["schedule"] == choice.choice]
        bests = [(o, min(v for v in c if math.isfinite(v))) for _, o, c in own if any(map(math.isfinite, c))]
        complete = [b for o, b in bests if o is DONE]
        assert choice.trials == len(own)
        assert choice.completed == sum(o is DONE for _, o, _ in own)
        assert choice.best == (min(b for _, b in bests) if bests else None)
        assert choice.median == (median(complete or [b for _, b in bests]) if bests else None)
        assert choice.epochs == pytest.approx(fmean(len(c) for _, _, c in own) if own else 0.0)
    json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("groups", "ranks", "share"),
    [
        (["a", "a", "b", "b"], [1, 2, 3, 4], 0.8),  # 4 of 5: by hand
        (["a", "b", "a", "b"], [1, 1, 2, 2], 0.0),
        (["a", "b"], [1, 2], 1.0),
        (["a", None, "b", None], [1, 7, 2, 9], 1.0),
        ([None, None], [1, 2], 0.0),
        (["a", "b"], [1, 1], 0.0),
        ([], [], 0.0),
        ([1, True], [1, 2], 1.0),
    ],
)
def test_influence_is_the_share_of_variance_between_the_groups(groups, ranks, share):
    assert influence(groups, ranks) == pytest.approx(share)


def test_influence_is_kruskals_h_by_n_minus_one():
    from scipy.stats import kruskal

    groups = ["a", "b", "c", "a", "b", "c", "a", "b", "a"]
    ranks = [1, 7, 9, 2, 5, 8, 4, 3, 6]
    h = kruskal(*([r for g, r in zip(groups, ranks, strict=True) if g == name] for name in "abc")).statistic
    assert influence(groups, ranks) == pytest.approx(h / 8)


def test_the_two_most_influential_are_shown_unless_the_study_names_its_own(ledger):
    assert MOST_SHOWN == 2
    trials = [
        ({"schedule": ("none", "step")[i % 2], "norm": i < 4, "patience": int(i in (0, 1, 2, 5))}, DONE, [i / 10])
        for i in range(8)
    ]
    assert found(ledger, trials).shown == ("norm", "patience")
    assert found(ledger, trials, shown=("schedule",)).shown == ("schedule",)


def test_a_parameter_with_many_choices_is_shown_only_where_it_is_named(ledger):
    space = Space((category("wide", tuple(range(MOST_CHOICES + 1)), baseline=0),))
    trials = [({"wide": i}, DONE, [i / 10]) for i in range(MOST_CHOICES + 1)]
    assert found(ledger, trials, space).shown == ()
    assert found(ledger, trials, space, shown=("wide",)).shown == ("wide",)


@pytest.mark.parametrize("trials", [[], [({"schedule": "none", "norm": False}, DONE, [math.nan])]])
def test_nothing_finite_shows_nothing(ledger, trials):
    assert found(ledger, trials).shown == ()


def test_the_printed_table_has_a_row_for_each_choice(ledger):
    console = Console(width=110, record=True)
    print_grid(console, choices_table(found(ledger, TRIALS, shown=("schedule", "norm"))))
    lines = [line.split() for line in console.export_text().splitlines() if line.strip()]
    assert lines[0] == [
        "parameter",
        "choice",
        "trials",
        "complete",
        "best",
        "val_loss",
        "median",
        "epochs",
        "a",
        "trial",
    ]
    assert ["schedule", "none", "4", "2", "0.4", "0.6", "1.5"] in lines
    assert ["cosine", "0", "0", "-", "-", "-"] in lines
    assert ["norm", "off", "3", "2", "0.5", "0.6", "1.7"] in lines


def test_a_study_without_a_scheduler_says_that_nothing_was_stopped(ledger):
    study = make_study(SPACE, scheduler={"name": "none", "grace": 1, "reduction_factor": 2})
    text = epochs_text(found(ledger, TRIALS), study)
    assert text == "epochs     9 trained; no scheduler stopped any trial"
