import json
import math

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.declaration.study import Objective
from search.face.present import verdict
from search.ledger import LedgerWriter
from search.ledger.outcome import Outcome, StopReason
from search.report.answer import SHOWN, answer
from search.report.leaderboard import leaderboard
from tests.search.conftest import make_study
from tests.support.facts import FACTS
from trainables.report import SECONDS

ENDINGS = {
    "max": Outcome(StopReason.MAX_EPOCHS),
    "rung": Outcome(StopReason.RUNG, rung=3),
    "patience": Outcome(StopReason.PATIENCE),
    "diverged": Outcome(StopReason.DIVERGED),
    "error": Outcome(StopReason.ERROR, message="ValueError: no"),
    "oom": Outcome(StopReason.OUT_OF_MEMORY, message="OutOfMemoryError: no"),
    "running": None,
}


def record(ledger, study_id, curves, *, metric="val_loss"):
    """Write trials with these (ending, values by epoch) to the ledger; return its frames."""
    writer = LedgerWriter(ledger, study_id)
    for number, (ending, values) in enumerate(curves):
        params = {"dropout": number / 10, "schedule": "none"} if number % 2 == 0 else {"dropout": number / 10}
        writer.trial_started(number, params, config_hash=str(number), seed=number, sampler_attrs={}, repeats=[])
        for epoch, value in enumerate(values, 1):
            if metric == SECONDS:
                writer.epoch(number, epoch, seconds=value, metrics={"val_loss": 1.0})
            else:
                writer.epoch(number, epoch, seconds=0.5, metrics={metric: value})
        if ENDINGS[ending] is not None:
            writer.trial_ended(number, ENDINGS[ending])
    writer.flush()
    return ledger.trials_frame(study_id), ledger.epochs_frame(study_id)


CURVES = [
    ("max", [0.9, 0.5, 0.6]),  # baseline: best 0.5 at epoch 2
    ("rung", [0.8, 0.7]),
    ("patience", [0.4, 0.2, 0.2]),  # 0.2 first at epoch 2
    ("error", [0.3]),
    ("diverged", [0.6, math.nan]),
    ("diverged", [math.nan]),  # never finite: in no leaderboard
    ("oom", []),
]


def found(ledger, study_id, curves=CURVES, **values):
    study = make_study(**{"budget": {"max_epochs": 5}, **values})
    frames = record(ledger, study_id, curves, metric=study.objective.metric)
    return answer(study, *frames, FACTS)


def test_trials_rank_by_their_best_epoch_and_it_is_named(ledger, study_id):
    board = leaderboard(*record(ledger, study_id, CURVES), Objective())
    assert board["rank"].tolist() == [1, 2, 3, 4, 5]
    assert board[["number", "value", "epoch", "epochs"]].values.tolist() == [
        [2, 0.2, 2, 3],
        [3, 0.3, 1, 1],
        [0, 0.5, 2, 3],
        [4, 0.6, 1, 2],
        [1, 0.7, 2, 2],
    ]
    assert board["state"].tolist() == ["COMPLETE", "FAILED", "COMPLETE", "PRUNED", "PRUNED"]
    assert board["stop_reason"].tolist() == ["patience", "error", "max_epochs", "diverged", "rung_3"]


def test_an_objective_to_maximise_ranks_the_highest_value_first(ledger, study_id):
    board = leaderboard(*record(ledger, study_id, CURVES, metric="lr"), Objective(metric="lr", mode="max"))
    assert board[["number", "value", "epoch"]].values.tolist() == [
        [0, 0.9, 1],
        [1, 0.8, 1],
        [4, 0.6, 1],
        [2, 0.4, 1],
        [3, 0.3, 1],
    ]


def test_equal_values_rank_by_number(ledger, study_id):
    board = leaderboard(*record(ledger, study_id, [("max", [0.5]), ("max", [0.7, 0.5]), ("max", [0.5])]), Objective())
    assert board["number"].tolist() == [0, 1, 2]
    assert board["epoch"].tolist() == [1, 2, 1]


VALUES = st.lists(st.sampled_from([0.1, 0.2, 0.3, math.nan, math.inf, -math.inf]), max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=6), st.sampled_from(["min", "max"]))
def test_the_leaderboard_is_what_a_plain_loop_finds(ledger, curves, mode):
    study_id = ledger.create_study(f"s{len(ledger.studies())}", {}, fingerprint="", facts=FACTS)
    board = leaderboard(*record(ledger, study_id, [("max", c) for c in curves]), Objective(mode=mode))
    best = max if mode == "max" else min
    expected = []
    for number, curve in enumerate(curves):
        finite = [v for v in curve if math.isfinite(v)]
        if finite:
            value = best(finite)
            expected.append((number, value, curve.index(value) + 1, len(curve)))
    expected.sort(key=lambda row: (-row[1] if mode == "max" else row[1], row[0]))
    assert [tuple(r) for r in board[["number", "value", "epoch", "epochs"]].itertuples(index=False)] == expected


def test_the_answer_names_the_best_the_baseline_and_the_states(ledger, study_id):
    result = found(ledger, study_id)
    assert (result.best.trial, result.best.value, result.best.epoch, result.best.epochs) == (2, 0.2, 2, 3)
    assert result.best.params == {"dropout": 0.2, "schedule": "none"}
    assert (result.baseline.trial, result.baseline.value) == (0, 0.5)
    assert result.states == {"COMPLETE": 2, "PRUNED": 3, "FAILED": 2}
    assert result.trials == 7
    assert result.failures == {"ValueError: no": 1, "OutOfMemoryError: no": 1}
    assert (result.study, result.kind, result.metric, result.mode) == ("here", "loose", "val_loss", "min")


def test_only_what_the_scheduler_stopped_counts_as_saved(ledger, study_id):
    result = found(ledger, study_id)
    assert result.epochs_trained == 12
    assert result.epochs_saved == 3  # trial 1 trained 2 of 5; patience, divergence and failures save nothing


def test_the_top_is_the_best_five(ledger, study_id):
    result = found(ledger, study_id, [("max", [1 - n / 10]) for n in range(8)])
    assert SHOWN == 5
    assert [e.trial for e in result.top] == [7, 6, 5, 4, 3]
    assert result.top[0] == result.best


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("max", "best val_loss 0.2 (trial 1), baseline 0.5: -0.3 (-60.0%); one seed each, not yet confirmed"),
        ("patience", "best val_loss 0.2 (trial 1), baseline 0.5: -0.3 (-60.0%); one seed each, not yet confirmed"),
        ("rung", "the baseline ended early (rung_3 after 3 epochs), so that nothing is compared with it"),
        ("diverged", "the baseline ended early (diverged after 3 epochs), so that nothing is compared with it"),
        ("error", "the baseline ended early (error after 3 epochs), so that nothing is compared with it"),
        ("running", "the baseline has not ended (after 3 epochs), so that nothing is compared with it"),
    ],
)
def test_only_a_baseline_that_trained_to_its_own_end_is_compared(ledger, study_id, ending, said):
    text = verdict(found(ledger, study_id, [(ending, [0.9, 0.5, 0.6]), ("max", [0.4, 0.2])]))
    assert text.endswith(said)
    assert text.startswith("best val_loss 0.2 (trial 1)")


def test_a_baseline_without_a_finite_value_is_none(ledger, study_id):
    result = found(ledger, study_id, [("diverged", [math.nan]), ("max", [0.5])])
    assert result.baseline is None
    assert result.best.trial == 1


@pytest.mark.parametrize(
    "curves",
    [[], [("oom", []), ("error", [])], [("diverged", [math.nan]), ("diverged", [math.inf])]],
    ids=["no trial", "no epoch", "nothing finite"],
)
def test_a_study_without_a_finite_value_has_an_answer(ledger, study_id, curves):
    result = found(ledger, study_id, curves)
    assert (result.best, result.baseline, result.top) == (None, None, ())
    assert result.trials == len(curves)
    assert result.epochs_saved == 0
    assert json.loads(json.dumps(result.to_dict()))["best"] is None


@pytest.mark.parametrize("others", [[], [("max", [0.9])]], ids=["alone", "beside one that ended"])
def test_a_trial_that_still_runs_has_no_reason_yet(ledger, study_id, others):
    result = found(ledger, study_id, [("running", [0.5]), *others])
    assert result.best.state == "RUNNING"
    assert result.best.stop_reason is None
    assert result.failures == {}


def test_the_answer_is_plain_json_without_nan(ledger, study_id):
    result = found(ledger, study_id, [*CURVES, ("running", [0.1])])
    text = json.dumps(result.to_dict(), allow_nan=False)
    again = json.loads(text)
    assert again["best"] == {
        "trial": 7,
        "value": 0.1,
        "epoch": 1,
        "epochs": 1,
        "metrics": {"val_loss": 0.1},
        "state": "RUNNING",
        "stop_reason": None,
        "params": {"dropout": 0.7},
        "origin": None,
        "smoothed": None,
    }


def test_an_entry_has_no_metric_that_only_other_trials_reported(ledger, study_id):
    writer = LedgerWriter(ledger, study_id)
    for number, metrics in enumerate(({"f1": 0.5}, {"mcc": 0.25}, {"f1": math.nan})):
        writer.trial_started(number, {"dropout": 0.1}, config_hash=str(number), seed=0, sampler_attrs={}, repeats=[])
        for epoch in (1, 2):
            then = {"f1": 0.75} if epoch == 1 and "f1" in metrics else metrics
            writer.epoch(number, epoch, seconds=0.1, metrics={"val_loss": number + 1.0 / epoch, **then})
    writer.flush()
    study = make_study()
    result = answer(study, ledger.trials_frame(study_id), ledger.epochs_frame(study_id), FACTS)
    assert [set(entry.metrics) for entry in result.top] == [{"val_loss", "f1"}, {"val_loss", "mcc"}, {"val_loss", "f1"}]
    assert result.best.metrics == {"val_loss": 0.5, "f1": 0.5}
    assert math.isnan(result.top[2].metrics["f1"]), "it reported that itself"


def test_params_are_the_active_ones_only(ledger, study_id):
    result = found(ledger, study_id)
    assert {e.trial: sorted(e.params) for e in result.top} == {
        2: ["dropout", "schedule"],
        3: ["dropout"],
        0: ["dropout", "schedule"],
        4: ["dropout", "schedule"],
        1: ["dropout"],
    }


def test_seconds_can_be_the_objective(ledger, study_id):
    result = found(ledger, study_id, [("max", [3.0, 2.0]), ("max", [1.0])], objective={"metric": SECONDS})
    assert [(e.trial, e.value, e.epoch) for e in result.top] == [(1, 1.0, 1), (0, 2.0, 2)]


def test_an_empty_leaderboard_has_its_columns():
    board = leaderboard(pd.DataFrame(columns=["number", "state"]), pd.DataFrame(columns=["number"]), Objective())
    assert list(board) == ["rank", "number", "value", "epoch", "epochs", "state", "stop_reason", "params", "metrics"]
