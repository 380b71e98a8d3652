"""The Pareto front: which trials no other beats in everything."""

import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from search.declaration.study import Objective
from search.face.grid import print_grid
from search.face.tables import FRONT_SHOWN, front_table, front_text
from search.ledger import LedgerWriter
from search.ledger.outcome import Outcome, StopReason
from search.report.answer import answer
from search.report.leaderboard import leaderboard
from search.report.pareto import non_dominated, pareto
from tests.search.conftest import make_study
from tests.support.facts import FACTS

LOSS, SIZE, SECONDS = Objective(), Objective(metric="parameters"), Objective(metric="epoch_seconds")
STUDY = make_study(further=(SIZE.model_dump(),), budget={"max_epochs": 5})
DONE, PRUNED = Outcome(StopReason.MAX_EPOCHS), Outcome(StopReason.RUNG, rung=2)
FAILED = Outcome(StopReason.ERROR, message="ValueError: no")


def record(ledger, study_id, trials):
    """Write trials, each an outcome and its (loss, parameters) by epoch; return the ledger's frames."""
    writer = LedgerWriter(ledger, study_id)
    for number, (outcome, epochs) in enumerate(trials):
        params = {"width": number}
        writer.trial_started(number, params, config_hash=str(number), seed=number, sampler_attrs={}, repeats=[])
        for epoch, (loss, size) in enumerate(epochs, 1):
            metrics = {"val_loss": loss, "parameters": size}
            writer.epoch(number, epoch, seconds=float(epoch), metrics=metrics)
        writer.trial_ended(number, outcome)
    writer.flush()
    return ledger.trials_frame(study_id), ledger.epochs_frame(study_id)


TRIALS = [
    (DONE, [(0.9, 50.0), (0.5, 50.0), (0.6, 50.0)]),  # beaten by 1 in both
    (DONE, [(0.4, 40.0), (0.45, 40.0)]),
    (PRUNED, [(0.8, 7.0), (0.7, 7.0)]),  # small: what a rung stops first counts too
    (FAILED, [(0.3, 60.0)]),
    (DONE, [(0.7, 7.0)]),  # the same as 2: neither beats the other
    (DONE, [(0.7, 8.0)]),  # as good in the loss, larger
    (DONE, [(0.1, math.nan)]),
    (Outcome(StopReason.DIVERGED), [(math.nan, 1.0)]),
]


def test_the_front_is_what_nothing_beats_in_everything(ledger, study_id):
    frames = record(ledger, study_id, TRIALS)
    front = pareto(leaderboard(*frames, LOSS), frames[1], [LOSS, SIZE])
    assert front[["number", "value_val_loss", "value_parameters", "epoch"]].values.tolist() == [
        [3, 0.3, 60.0, 1],
        [1, 0.4, 40.0, 1],
        [2, 0.7, 7.0, 2],
        [4, 0.7, 7.0, 1],
    ]
    assert front["state"].tolist() == ["FAILED", "COMPLETE", "PRUNED", "COMPLETE"]


def test_the_other_values_are_those_of_the_best_epoch_and_directions_count(ledger, study_id):
    trials = [(DONE, [(0.5, 9.0), (0.2, 3.0), (0.2, 99.0)]), (DONE, [(0.3, 4.0)]), (DONE, [(0.4, 2.0)])]
    frames = record(ledger, study_id, trials)
    most = Objective(metric="parameters", mode="max")
    front = pareto(leaderboard(*frames, LOSS), frames[1], [LOSS, most])
    assert front[["number", "value_val_loss", "value_parameters"]].values.tolist() == [[0, 0.2, 3.0], [1, 0.3, 4.0]]


def test_seconds_can_be_weighed(ledger, study_id):
    frames = record(ledger, study_id, [(DONE, [(0.5, 1.0), (0.2, 1.0)]), (DONE, [(0.3, 1.0)])])
    front = pareto(leaderboard(*frames, LOSS), frames[1], [LOSS, SECONDS])
    assert front[["number", "value_epoch_seconds"]].values.tolist() == [[0, 2.0], [1, 1.0]]


@pytest.mark.parametrize("trials", [[], [(FAILED, [])], [(DONE, [(math.nan, 1.0)])], [(DONE, [(0.1, math.inf)])]])
def test_where_no_trial_has_all_values_the_front_is_empty(ledger, study_id, trials):
    frames = record(ledger, study_id, trials)
    front = pareto(leaderboard(*frames, LOSS), frames[1], [LOSS, SIZE])
    assert len(front) == 0
    assert {"number", "value_val_loss", "value_parameters", "params"} <= set(front.columns)
    assert answer(STUDY, *frames, FACTS).front == ()


POINTS = st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), max_size=12)


@given(POINTS)
def test_a_point_is_free_unless_another_dominates_it(points):
    costs = np.array(points, dtype=float).reshape(-1, 3)
    expected = [
        not any(all(b <= a for a, b in zip(p, q, strict=True)) and q != p for q in points if q is not p) for p in points
    ]
    assert non_dominated(costs).tolist() == expected


@given(st.permutations(range(len(TRIALS))))
def test_the_order_of_the_points_does_not_matter(order):
    costs = np.array([[0.5, 50], [0.4, 40], [0.7, 7], [0.3, 60], [0.7, 7], [0.7, 8], [0.3, 61], [0.2, 99]], float)
    assert np.array_equal(non_dominated(costs[order]), non_dominated(costs)[order])


def test_the_answer_has_the_front_beside_the_ranking(ledger, study_id):
    found = answer(STUDY, *record(ledger, study_id, TRIALS), FACTS)
    assert [e.trial for e in found.front] == [3, 1, 2, 4]
    assert found.best.trial == 6  # by its loss alone; it has no size
    assert found.further == {"parameters": "min"}
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["front"][2] == {
        "trial": 2,
        "values": {"val_loss": 0.7, "parameters": 7.0},
        "epoch": 2,
        "state": "PRUNED",
        "stop_reason": "rung_2",
        "params": {"width": 2},
    }


def test_one_objective_has_no_front(ledger, study_id):
    found = answer(make_study(), *record(ledger, study_id, TRIALS), FACTS)
    assert (found.front, found.further) == ((), {})


def test_the_front_is_printed_in_full_up_to_a_point(ledger, study_id):
    many = FRONT_SHOWN + 3
    found = answer(STUDY, *record(ledger, study_id, [(DONE, [(1.5 + n, 123456.0 - n)]) for n in range(many)]), FACTS)
    console = Console(width=110, file=io.StringIO())
    print_grid(console, front_table(found))
    text = console.file.getvalue()
    assert "123,456" in text and "width=0" in text
    assert sum("max_epochs" in line for line in text.splitlines()) == FRONT_SHOWN
    assert front_text(found) == (
        f"Pareto front of val_loss against parameters: {many} of {many} trials that no other beats in everything "
        "(the last 3 are in --json)"
    )
