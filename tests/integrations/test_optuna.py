"""Optuna objectives as they are: the space that they define, their reports, their pruning."""

import math

import optuna
import pytest
from optuna.distributions import FloatDistribution

from search import UsageError
from search.integrations.optuna import ObjectiveFunction, declare
from search.integrations.optuna_space import MOST_CALLS, space_of
from spaces import when
from tests.integrations.scripts import optuna_pytorch, optuna_readme
from tests.search.test_train_function import search
from trainables.errors import ConfigError
from trainables.report import MAX_EPOCHS, RETURNED, RunEnded

SHORT = {"executor": "lanes", "confirm": {"pairs": 0}, "tracking": {"enabled": False}, "sampler": "random"}


def reporting(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    for step in range(4):
        trial.report(x + step, step)
        if trial.should_prune():
            trial.set_user_attr("pruned at", step)
            raise optuna.TrialPruned
    return x + 3


def test_the_readme_of_optuna_is_searched_as_it_is(tmp_path):
    study = declare(optuna_readme.objective, name="mine", budget={"trials": 5}, **SHORT)
    assert study.space["svr_c"].distribution == FloatDistribution(1e-10, 1e3, log=True)
    assert study.space["svr_c"].when == when("regressor", "SVR")
    assert study.space["rf_max_depth"].when == when("regressor", "RandomForest")
    assert study.budget.max_epochs == 1, "it reports nothing"
    result = search(study, tmp_path)
    assert result.answer.states == {"COMPLETE": 5}
    assert result.answer.best.value > 1000, "a squared error"


def test_the_pytorch_example_of_optuna_is_searched_and_pruned_as_it_is(tmp_path):
    budget = {"trials": 8, "max_epochs": optuna_pytorch.EPOCHS}
    study = declare(optuna_pytorch.objective, direction="maximize", name="mine", budget=budget, **SHORT)
    layers = [f"{what}_l{i}" for i in range(3) for what in ("n_units", "dropout")]
    assert set(study.space.names) == {"n_layers", "optimizer", "lr", *layers}
    assert all(study.space[name].when is None for name in layers), "no category decides"
    result = search(study, tmp_path)
    assert result.answer.states.keys() == {"COMPLETE", "PRUNED"}
    assert result.answer.best.value > 0.2


def test_an_objective_whose_source_says_all_is_called_once():
    calls, x = 0, math.nan

    def objective(trial):
        nonlocal calls, x
        calls, x = calls + 1, trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("kind", ["a", "b", "c"])
        trial.report(0.0, 0)
        raise AssertionError("nothing behind the first report is run")

    space, reports = space_of(objective, {"x": 0.25})
    assert (calls, x, reports, space.names) == (1, 0.25, True, ("x", "kind"))
    assert space.baseline == {"x": 0.25, "kind": "a"}


def test_what_is_below_a_choice_of_a_choice_is_found():
    def objective(trial):
        if trial.suggest_categorical("model", ["tree", "net"]) == "net":
            if trial.suggest_categorical("norm", [None, "batch"]) == "batch":
                trial.suggest_float("momentum", 0.01, 0.5)
        trial.suggest_int("size", 1, 9)
        return 0.0

    space, reports = space_of(objective, {})
    assert not reports
    assert {p.name: str(p.when) for p in space if p.when} == {"norm": "model = net", "momentum": "norm = batch"}
    assert space["norm"].distribution.choices == ("None", "batch")


def test_too_many_choices_ask_for_the_space():
    def objective(trial):
        for i in range(MOST_CALLS):
            trial.suggest_categorical(f"choice_{i}", ["a", "b", "c"])
        return 0.0

    with pytest.raises(UsageError, match="give the space"):
        declare(objective, name="mine")


def test_a_choice_that_fails_is_a_warning():
    def objective(trial):
        if trial.suggest_categorical("kind", ["good", "bad"]) == "bad":
            trial.suggest_float("x", 0, 1)
            raise ValueError("no such luck")
        return 0.0

    with pytest.warns(UserWarning, match="ValueError: no such luck"):
        space, _ = space_of(objective, {})
    assert space.names == ("kind",) or space["x"].when == when("kind", "bad")


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({"direction": "up"}, "direction must be minimize or maximize, got 'up'"),
        ({"baseline": {"y": 1}}, "baseline: the objective does not suggest 'y' there"),
    ],
)
def test_a_mistake_is_a_line(how, line):
    with pytest.raises(UsageError, match=line):
        declare(reporting, **how)


def test_what_suggests_nothing_is_refused():
    with pytest.raises(UsageError, match="suggests no parameter"):
        declare(lambda trial: 1.0)
    with pytest.raises(UsageError, match="takes an Optuna objective"):
        declare(None)


def run_of(make, objective, params, *, values=1, **how):
    names = ["value"] if values == 1 else [f"value_{i}" for i in range(values)]
    return make(ObjectiveFunction(objective, values), params=params, required=names, **how)


def test_reports_are_epochs_and_an_end_is_told_by_should_prune(make):
    run = run_of(make, reporting, {"x": 0.5})
    assert [run.step().metrics for _ in range(2)] == [{"value": 0.5}, {"value": 1.5}]
    run.close()
    assert [notice.text for notice in run.take_notices()] == ["pruned at = 1"]


def test_an_objective_that_reports_less_than_it_may_has_returned(make):
    run = run_of(make, reporting, {"x": 0.5})
    for _ in range(4):
        run.step()
    with pytest.raises(RunEnded, match=RETURNED):
        run.step()


def test_max_epochs_end_an_objective(make):
    run = run_of(make, reporting, {"x": 0.5}, max_epochs=2)
    assert [run.step().stop for _ in range(2)] == [None, MAX_EPOCHS]


def test_an_objective_that_never_asks_whether_to_prune_is_ended_by_its_next_report(make):
    def objective(trial):
        for step in range(9):
            trial.report(trial.suggest_float("x", 0, 1), step)
            trial.report(0.0, step)  # the same step, which Optuna leaves out
        raise AssertionError("it went on")

    run = run_of(make, objective, {"x": 0.5})
    assert [run.step().metrics["value"] for _ in range(2)] == [0.5, 0.5]
    run.close()
    assert run.take_notices() == []


def test_an_objective_that_prunes_itself_diverges_and_says_so(make):
    def objective(trial):
        trial.suggest_float("x", 0, 1)
        raise optuna.TrialPruned

    run = run_of(make, objective, {"x": 0.5})
    report = run.step()
    assert (report.stop, math.isnan(report.metrics["value"])) == ("diverged", True)
    assert "of its own accord" in run.take_notices()[0].text


def test_a_value_that_is_not_the_last_report_is_said(make):
    def objective(trial):
        trial.report(trial.suggest_float("x", 0, 1), 0)
        return 7.0

    run = run_of(make, objective, {"x": 0.5})
    run.step()
    with pytest.raises(RunEnded):
        run.step()
    assert run.take_notices()[0].text == "returned 7.0, which is not its last report, 0.5; what is reported counts"


def test_several_values_are_several_objectives(make):
    def objective(trial):
        return trial.suggest_float("x", 0, 1), trial.suggest_categorical("kind", ["a", "b"]) == "a"

    study = declare(objective, directions=["minimize", "maximize"])
    assert [(o.metric, o.mode) for o in study.objectives] == [("value_0", "min"), ("value_1", "max")]
    assert run_of(make, objective, {"x": 0.5, "kind": "a"}, values=2).step().metrics == {"value_0": 0.5, "value_1": 1.0}


def test_a_parameter_that_no_call_saw_and_a_range_that_moves_are_refused(make):
    def late(trial):
        return trial.suggest_float("unseen", 0, 1)

    def moving(trial):
        return trial.suggest_int("x", 0, 2)

    with pytest.raises(ConfigError, match="'unseen', which is not in the space"):
        run_of(make, late, {"x": 1}).step()
    with pytest.raises(ConfigError, match="must not depend on other parameters"):
        run_of(make, moving, {"x": 5}, number=1, folder=None).step()


def test_what_is_returned_must_be_a_number(make):
    def objective(trial):
        trial.suggest_float("x", 0, 1)

    with pytest.raises(ConfigError, match="metric value must be a number"):
        run_of(make, objective, {"x": 1}).step()
