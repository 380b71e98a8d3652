import json
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.report import (
    DIVERGED,
    MAX_EPOCHS,
    PATIENCE,
    EpochReport,
    all_finite,
    from_result,
    stop_reason,
    to_result,
)

REPORTS = st.builds(
    EpochReport,
    epoch=st.integers(1, 1000),
    metrics=st.dictionaries(st.sampled_from(["train_loss", "val_loss", "lr", "val_accuracy"]), st.floats(width=64)),
    seconds=st.floats(0, 1e6),
    stop=st.sampled_from([None, MAX_EPOCHS, PATIENCE, DIVERGED]),
)


@pytest.mark.parametrize(
    ("epoch", "finite", "out_of_patience", "reason"),
    [
        (4, True, False, None),
        (4, True, True, PATIENCE),
        (5, True, False, MAX_EPOCHS),
        (6, True, False, MAX_EPOCHS),
        (5, True, True, MAX_EPOCHS),
        (4, False, False, DIVERGED),
        (4, False, True, DIVERGED),
        (5, False, True, DIVERGED),
    ],
)
def test_the_reason_why_a_trial_ends_itself_is_told_from_its_epoch(epoch, finite, out_of_patience, reason):
    assert stop_reason(epoch=epoch, max_epochs=5, finite=finite, out_of_patience=out_of_patience) == reason


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_loss_that_is_not_finite_is_enough_to_diverge(bad):
    assert all_finite(0.0, 1e300)
    assert not all_finite(0.0, bad)
    assert not all_finite(bad, 0.0)


@given(REPORTS)
def test_a_report_survives_the_journey_as_a_flat_mapping(report):
    travelled = pickle.loads(pickle.dumps(to_result(report)))
    travelled["training_iteration"] = 7  # executors add their own beside it
    again = from_result(travelled)
    assert (again.epoch, again.seconds, again.stop) == (report.epoch, report.seconds, report.stop)
    assert json.dumps(again.metrics) == json.dumps(dict(report.metrics))  # as text: NaN is not equal to itself


def test_metrics_are_found_by_name_at_the_top():
    result = to_result(EpochReport(3, {"val_loss": 0.5, "lr": 0.1}, 0.25, PATIENCE))
    assert result == {
        "val_loss": 0.5,
        "lr": 0.1,
        "metrics": {"val_loss": 0.5, "lr": 0.1},
        "epoch": 3,
        "epoch_seconds": 0.25,
        "stop": "patience",
    }


def test_a_report_cannot_be_changed():
    report = EpochReport(1, {}, 0.0)
    with pytest.raises(AttributeError):
        report.epoch = 2
