"""The choices side by side: intervals, order and words, from the fits of a ledger."""

import io
import json
import math
from statistics import fmean, stdev

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from search.face.grid import print_grid
from search.face.tables import comparison_table, failure_lines, time_text
from search.ledger import FitRole, FitRow
from search.ledger.outcome import StopReason, TrialState
from search.report.comparison import best_of_each, comparison, comparison_csv, student_interval
from search.report.comparison_plot import comparison_figure
from search.report.leaderboard import leaderboard
from spaces import Space, category, float_
from tests.search.conftest import make_study

SPACE = Space((category("model", ("a", "b", "c"), baseline="a"), float_("x", 0, 1, baseline=0.5)))
ACCURACY = {"metric": "val_accuracy", "mode": "max"}


def study(**values):
    return make_study(SPACE, balanced="model", refits=4, **{"objective": ACCURACY, **values})


def refit(choice, trial, split, value, *, seconds=0.5, train=60, val=20, metric="val_accuracy"):
    """Return the fit of one choice on one split; a text in the place of its value is an error."""
    failed = isinstance(value, str)
    return FitRow(
        role=FitRole.REFIT,
        trial=trial,
        config_hash=str(trial),
        params={"model": choice},
        seed=0,
        split=split,
        epochs=1,
        state=TrialState.FAILED if failed else TrialState.COMPLETE,
        reason=StopReason.ERROR if failed else None,
        message=value if failed else None,
        metrics={} if failed else {metric: value},
        seconds=None if failed else seconds,
        train_examples=train,
        scored_examples=val,
        started_at=None,
        ended_at=None,
    )


def compared(values, **changes):
    """Return the comparison of these values by choice, one for each split."""
    declared = study(**changes)
    metric = declared.objective.metric
    board = pd.DataFrame({"number": range(len(values)), "value": [0.9] * len(values)})
    fits = [
        refit(choice, trial, split, value, seconds=0.5 * (split + 1), metric=metric)
        for trial, (choice, column) in enumerate(values.items())
        for split, value in enumerate(column)
    ]
    return comparison(declared, board, fits)


THREE = {"a": [0.9, 0.8, 0.9, 0.8], "b": [0.95, 0.85, 0.95, 0.9], "c": [0.5, 0.45, 0.5, 0.4]}


def test_rows_are_ranked_by_their_mean_with_their_spread():
    found = compared(THREE)
    assert [row.choice for row in found.rows] == ["b", "a", "c"]
    assert (found.parameter, found.metric, found.splits) == ("model", "val_accuracy", 4)
    for row in found.rows:
        assert row.mean == pytest.approx(fmean(THREE[row.choice]))
        assert row.spread == pytest.approx(stdev(THREE[row.choice]))
        assert row.seconds == pytest.approx(1.25)
        assert row.seconds_spread == pytest.approx(stdev([0.5, 1.0, 1.5, 2.0]))


def test_differences_are_paired_and_their_interval_is_corrected_for_the_shared_examples():
    found = compared(THREE)
    best, a, c = found.rows
    assert (best.difference, best.low, best.high, best.larger) == (None, None, None, False)
    paired = [x - y for x, y in zip(THREE["a"], THREE["b"], strict=True)]
    half = stats.t.ppf(0.975, 3) * stdev(paired) * math.sqrt(1 / 4 + 20 / 60)
    assert a.difference == pytest.approx(fmean(paired))
    assert (a.low, a.high) == pytest.approx((fmean(paired) - half, fmean(paired) + half))
    assert not a.low <= c.high, "c is far behind"
    assert c.larger


def test_the_verdict_says_which_differences_are_larger_than_the_spread():
    noisy = {"a": [0.9, 0.8, 0.9, 0.8], "b": [0.8, 0.95, 0.9, 0.9], "c": [0.5, 0.45, 0.5, 0.4]}
    assert compared(noisy).verdict == (
        "b has the best mean val_accuracy over 4 splits, 0.8875; behind it by more than the splits' spread: "
        "c (-0.425); within the spread: a (-0.0375)"
    )


def test_where_less_is_better_the_lowest_mean_is_the_best():
    found = compared(THREE, objective={"metric": "val_loss", "mode": "min"})
    assert [row.choice for row in found.rows] == ["c", "a", "b"]
    assert found.rows[1].difference > 0


def test_choices_that_are_equal_on_every_split_do_not_differ():
    found = compared({"a": [0.9, 0.8, 1.0], "b": [0.9, 0.8, 1.0]})
    assert [row.choice for row in found.rows] == ["a", "b"]
    assert (found.rows[1].low, found.rows[1].high, found.rows[1].larger) == (0.0, 0.0, False)
    assert found.verdict.endswith("behind it by more than the splits' spread: none; within the spread: b (+0)")


def test_one_split_has_no_spread():
    found = compared({"a": [0.9], "b": [0.8]})
    assert [(row.spread, row.low, row.larger) for row in found.rows] == [(None, None, False)] * 2
    assert found.verdict.endswith("over 1 of 4 splits, 0.9; one split has no spread, and nothing more can be said")


@pytest.mark.parametrize("bad", ["ValueError: no", math.nan])
def test_a_choice_that_failed_on_a_split_comes_last_without_numbers(bad):
    found = compared({"a": [0.9, bad, 0.9], "b": [0.8, 0.9, 0.8]})
    assert [row.choice for row in found.rows] == ["b", "a"]
    last = found.rows[-1]
    assert (last.mean, last.values, last.difference) == (None, (), None)
    assert last.error == (bad if isinstance(bad, str) else "a value that is not finite")
    assert found.verdict.endswith("within the spread: none; failed: a")
    json.dumps(compared({"a": ["no"], "b": ["no"]}).verdict)
    assert compared({"a": ["no"]}).verdict == "no choice could be trained on every split"


def test_only_splits_that_every_choice_was_trained_on_count():
    found = compared({"a": [0.9, 0.8, 0.7], "b": [0.8, 0.9]})
    assert found.splits == 2
    assert {row.choice: row.values for row in found.rows} == {"a": (0.9, 0.8), "b": (0.8, 0.9)}
    fits = [refit("a", 0, 0, 0.9), refit("b", 1, 1, 0.9)]
    assert comparison(study(), pd.DataFrame({"number": [0, 1], "value": [0.9, 0.9]}), fits) is None


def test_without_a_refit_there_is_no_comparison():
    assert compared({}) is None


def test_of_each_choice_the_trial_that_was_trained_last_counts():
    board = pd.DataFrame({"number": [0, 1, 2], "value": [0.9, 0.8, 0.95]})
    both = [refit(c, t, s, v) for s in (0, 1) for c, t, v in (("a", 0, 0.9), ("b", 1, 0.8))]
    found = comparison(study(), board, [*both, refit("a", 2, 0, 0.95)])
    assert found.splits == 1, "the new best was trained on one split yet"
    assert [(row.choice, row.trial, row.searched, row.values) for row in found.rows] == [
        ("a", 2, 0.95, (0.95,)),
        ("b", 1, 0.8, (0.8,)),
    ]


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(0, 1))
def test_the_interval_is_students_with_the_variance_of_nadeau_and_bengio(differences, share):
    low, high = student_interval(differences, share=share)
    n = len(differences)
    scale = stdev(differences) * math.sqrt(1 / n + share)
    if scale == 0:
        assert low == high == pytest.approx(fmean(differences))
    else:
        expected = stats.t.interval(0.95, n - 1, loc=fmean(differences), scale=scale)
        assert (low, high) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    plain = student_interval(differences, share=0.0)
    assert high - low >= plain[1] - plain[0]


def test_a_single_paired_difference_has_no_student_interval():
    assert student_interval([0.5], share=0.3) is None


def frames(trials):
    """Return the frames of (model, state, [(accuracy, loss) an epoch])."""
    rows = [
        {
            "number": n,
            "state": state,
            "stop_reason": "",
            "message": None,
            "params": {"model": model},
            "params_model": model,
        }
        for n, (model, state, _) in enumerate(trials)
    ]
    epochs = [
        {"number": n, "epoch": e, "seconds": 0.1, "at": 0.0, "val_accuracy": accuracy, "val_loss": loss}
        for n, (_, _, curve) in enumerate(trials)
        for e, (accuracy, loss) in enumerate(curve, 1)
    ]
    return pd.DataFrame(rows), pd.DataFrame(epochs)


def chosen_of(trials, **values):
    declared = study(**values)
    table, epochs = frames(trials)
    board = leaderboard(table, epochs, declared.objective)
    return {f.choice: (f.trial, f.epoch, f.value) for f in best_of_each(declared, board, epochs)}


def test_the_best_of_each_choice_is_taken_and_ties_go_to_the_lower_loss():
    trials = [
        ("a", "COMPLETE", [(0.8, 0.5)]),
        ("a", "COMPLETE", [(0.9, 0.9), (0.9, 0.3), (0.9, 0.4)]),
        ("a", "COMPLETE", [(0.9, 0.35)]),
        ("b", "COMPLETE", [(0.5, 1.0)]),
        ("b", "PRUNED", [(0.99, 0.1)]),
        ("b", "FAILED", [(0.99, 0.1)]),
    ]
    assert chosen_of(trials) == {"a": (1, 2, 0.9), "b": (3, 1, 0.5)}


def test_of_trials_with_equal_value_and_loss_the_first_is_the_best_of_its_choice():
    assert chosen_of([("a", "COMPLETE", [(0.9, 0.5)])] * 3) == {"a": (0, 1, 0.9)}


def test_a_minimum_is_the_best_where_less_is_better():
    trials = [("a", "COMPLETE", [(0.8, 0.5), (0.7, 0.2)]), ("a", "COMPLETE", [(0.9, 0.3)])]
    assert chosen_of(trials, objective={"metric": "val_loss", "mode": "min"}) == {"a": (0, 2, 0.2)}


def test_the_printed_comparison_has_every_row():
    console = Console(width=110, record=True)
    with_failure = compared({**THREE, "d": ["ValueError: [no] room"] * 4})
    print_grid(console, comparison_table(with_failure))
    text = console.export_text()
    assert "val_accuracy, 4 splits" in text
    assert "minus the best [95%]" in text
    assert "0.85 ± 0.058" in text
    assert "1.25 ± 0.65 s" in text
    assert "-0.45 [" in text
    assert failure_lines(with_failure) == ["failed     model d: ValueError: [no] room"]


@pytest.mark.parametrize(
    ("mean", "spread", "text"),
    [(2.5, 0.25, "2.5 ± 0.25 s"), (0.0125, 0.001, "12.5 ± 1 ms"), (0.5, None, "500 ms"), (None, None, "-")],
)
def test_short_times_are_in_milliseconds(mean, spread, text):
    assert time_text(mean, spread) == text


def test_the_comparison_csv_has_a_column_for_each_split():
    table = pd.read_csv(io.StringIO(comparison_csv(compared(THREE))))
    assert table["choice"].tolist() == ["b", "a", "c"]
    assert table[[f"split_{i}" for i in range(4)]].values.tolist() == [THREE[c] for c in ("b", "a", "c")]


def test_the_comparison_figure_has_a_point_for_each_split_and_leaves_out_what_failed(tmp_path):
    figure = comparison_figure(compared({**THREE, "d": ["no"] * 4}))
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["b", "a", "c"]
    assert left.yaxis_inverted(), "the best on top"
    drawn = [list(line.get_xdata()) for line in left.lines if len(line.get_xdata()) == 4]
    assert drawn == [THREE[c] for c in ("b", "a", "c")]
    assert right.get_xscale() == "log"
    figure.savefig(tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes()[1:4] == b"PNG"
