"""A search that weighs several objectives: what the sampler is told, and that it goes on as it would have."""

import math

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from search.declaration.study import SAMPLERS
from search.ledger import LedgerWriter
from spaces import Space, category, float_, hash_params, int_
from spaces.regularization import SPACE
from tests.search.conftest import make_study
from tests.search.drive import Drive
from tests.support.marks import some_slow

WEIGHING = [name for name in SAMPLERS if name != "cmaes"]
SMALL = Space((category("c", ("x", "y", "z"), baseline="x"), int_("n", 1, 6, baseline=2)))
CONTINUOUS = Space((float_("rate", 1e-4, 1.0, log=True, baseline=1e-2), int_("n", 1, 99, baseline=5)))
BOTH = {"objective": {"metric": "val_loss", "mode": "min"}, "further": ({"metric": "parameters", "mode": "min"},)}
NONE = {"name": "none"}
KINDS = [[0.5, 0.4, 0.3, 0.2], [0.9, 0.9, 0.9, 0.9], [0.4, math.nan], [math.nan], [0.3, None], [0.2, 0.1, 0.3, 0.1]]


def mixed(params):
    """Return a curve of one of several kinds, drawn by the parameters."""
    return KINDS[int(hash_params(params), 16) % len(KINDS)]


def size(params):
    return {"parameters": float(int(hash_params(params), 16) % 997)}


def several(space, **values):
    return make_study(space, **{**BOTH, "budget": {"trials": 30, "max_epochs": 4}, "scheduler": {"grace": 2}, **values})


def told(curve, *, state_of="max_epochs", beside=size, **values):
    """Return the Optuna trial of one trial with ``curve``."""
    drive = Drive(several(SMALL, **values), lambda params: curve, beside=beside).run(1)
    assert drive.ended[0] == state_of
    (trial,) = drive.optuna_trials
    return trial


def test_optuna_has_a_direction_for_each_objective():
    study = several(SMALL, further=({"metric": "val_accuracy", "mode": "max"}, {"metric": "parameters"}))
    directions = Drive(study).sampler._optuna.study.directions
    assert directions == [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]


def test_a_complete_trial_is_told_the_others_at_the_epoch_of_its_best():
    values = iter([5.0, 6.0, 7.0, 8.0])
    trial = told([0.5, 0.2, 0.2, 0.4], beside=lambda params: {"parameters": next(values)}, scheduler=NONE)
    assert (trial.state, trial.values) == (TrialState.COMPLETE, [0.2, 6.0])
    assert trial.intermediate_values == {}  # Optuna takes none in such a study


def test_a_trial_pruned_at_a_rung_is_told_as_complete_with_what_it_had():
    curves = iter([[0.3, 0.3, 0.3, 0.3], [0.7, 0.8, None]])
    drive = Drive(several(SMALL, scheduler={"grace": 2, "reduction_factor": 2}), lambda params: next(curves))
    drive.beside = size
    drive.run(2)
    assert drive.ended == {0: "max_epochs", 1: "rung_2"}
    first, second = (t for t in drive.optuna_trials if t.state is TrialState.COMPLETE)
    assert first.values == [0.3, size(drive.params[0])["parameters"]]
    assert second.values == [0.7, size(drive.params[1])["parameters"]]


def test_a_diverged_trial_is_told_as_pruned_without_values():
    trial = told([0.4, math.nan], state_of="diverged")
    assert (trial.state, trial.values, trial.intermediate_values) == (TrialState.PRUNED, None, {})


def test_a_failed_trial_is_told_as_failed():
    trial = told([0.4, None], state_of="error")
    assert (trial.state, trial.values) == (TrialState.FAIL, None)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_trial_without_a_value_of_another_objective_is_told_as_failed(value):
    trial = told([0.4, 0.4, 0.4, 0.4], beside=lambda params: {"parameters": value}, scheduler=NONE)
    assert (trial.state, trial.values) == (TrialState.FAIL, None)


@pytest.mark.parametrize("sampler", some_slow(WEIGHING, "gp"))
@pytest.mark.parametrize("space", [SPACE, SMALL, CONTINUOUS], ids=["conditional", "finite", "continuous"])
def test_a_sampler_that_replays_the_ledger_proposes_what_it_would_have(ledger, study_id, sampler, space):
    """Past the first generation of nsga2, and where models take over; with repeats, where the space is small."""
    study = several(space, sampler=sampler, budget={"trials": 18 if space is SMALL else 38, "max_epochs": 4})
    whole = Drive(study, mixed, beside=size).run()
    first = Drive(study, mixed, writer=LedgerWriter(ledger, study_id), beside=size).run(len(whole.orders) - 4)
    first.writer.flush()
    resumed = Drive(study, mixed, beside=size).replay(ledger, study_id).run()
    assert first.orders + resumed.orders == whole.orders
    assert {**first.ended, **resumed.ended} == whole.ended
    assert len({hash_params(p) for p in whole.params}) == len(whole.params) == len(whole.orders)


@pytest.mark.parametrize("sampler", some_slow(("tpe", "gp", "nsga2"), "gp"))
def test_the_further_objective_has_a_say(sampler):
    study = several(CONTINUOUS, sampler=sampler, scheduler=NONE, budget={"trials": 26, "max_epochs": 1})
    loss = lambda params: [abs(math.log(params["rate"]))]  # noqa: E731
    one = Drive(study, loss, beside=lambda params: {"parameters": float(params["n"])}).run()
    other = Drive(study, loss, beside=lambda params: {"parameters": -float(params["n"])}).run()
    assert one.params != other.params


def test_nsga2_lets_good_trials_have_children():
    """After the first generation the parents are the best so far, and their values come again."""
    study = several(CONTINUOUS, sampler="nsga2", scheduler=NONE, budget={"trials": 60, "max_epochs": 1})
    drive = Drive(study, lambda params: [params["rate"]], beside=lambda params: {"parameters": float(params["n"])})
    drive.run()
    early, late = drive.params[:16], drive.params[-16:]
    mean = lambda trials: sum(p["n"] for p in trials) / len(trials)  # noqa: E731
    assert mean(late) < mean(early)
    assert {p["n"] for p in late} & {p["n"] for p in drive.params[:-16]}


def test_nsga2_goes_on_after_the_space_was_changed(ledger, study_id):
    study = several(CONTINUOUS, sampler="nsga2", scheduler=NONE, budget={"trials": 40, "max_epochs": 1})
    loss = lambda params: [params["rate"]]  # noqa: E731
    first = Drive(study, loss, writer=LedgerWriter(ledger, study_id), beside=size).run()
    first.writer.flush()
    narrow = Space((float_("rate", 1e-3, 1.0, log=True, baseline=1e-2), int_("n", 1, 99, baseline=5)))
    changed = several(narrow, sampler="nsga2", scheduler=NONE, budget={"trials": 44, "max_epochs": 1})
    resumed = Drive(changed, loss, beside=size).replay(ledger, study_id).run()
    assert [order.number for order in resumed.orders] == [40, 41, 42, 43]
    assert all(narrow.validate(p) == p for p in resumed.params)
