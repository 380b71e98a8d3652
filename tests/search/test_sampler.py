import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState as OptunaState
from ray.tune.search import Searcher

from search.brain.optuna_samplers import points
from search.brain.sampler import OptunaSampler, trial_seed
from search.brain.scheduler import build_scheduler
from search.declaration.study import SAMPLERS
from search.executors.tune_adapters import TuneSearcher
from search.ledger import LedgerWriter
from search.ledger.outcome import Outcome, StopReason, TrialState
from search.ledger.rows import TrialRow
from spaces import Space, category, float_, hash_params, int_, when
from spaces.regularization import SPACE
from tests.search.conftest import make_study
from tests.search.drive import Drive
from tests.spaces.drawn import drawn_spaces, enumerate_points
from trainables.report import EpochReport

SMALL = Space(
    (
        category("c", ("x", "y", "z"), baseline="x"),
        int_("n", 1, 3, baseline=2, when=when("c", "y")),
        category("b", (False, True), baseline=False),
    )
)
"""10 points: x and z with two values of b, y with three times two."""

CONTINUOUS = Space(
    (
        float_("rate", 1e-4, 1.0, log=True, baseline=1e-2),
        float_("drop", 0.0, 0.6, baseline=0.0),
        int_("n", 1, 9, baseline=5),
    )
)

NONE = {"name": "none"}
ONE_EPOCH = {"budget": {"trials": 14, "max_epochs": 1}, "scheduler": NONE}
"""More trials than tpe and gp draw at random before their model takes over."""


def loss(params):
    """Return a curve that depends on all parameters."""
    return [sum(math.cos(i + (v if isinstance(v, int | float) else len(v))) for i, v in enumerate(params.values()))]


def told(drive):
    """Return Optuna's trials without those that only repeat another."""
    repeats = sum(len(order.repeats) for order in drive.orders)
    trials = drive.optuna_trials
    assert len(trials) == len(drive.orders) + repeats
    return trials


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("space", [SPACE, CONTINUOUS, SMALL], ids=["conditional", "continuous", "finite"])
def test_every_sampler_proposes_valid_points_after_the_baseline_and_none_twice(sampler, space):
    drive = Drive(make_study(space, sampler=sampler, **ONE_EPOCH), loss).run()
    assert drive.params[0] == space.baseline
    assert len(drive.params) == min(14, space.cardinality())
    for params in drive.params[1:]:
        assert space.validate(params) == params
    assert len({hash_params(p) for p in drive.params}) == len(drive.params)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_history_gives_the_same_proposals(sampler):
    study = make_study(SPACE, sampler=sampler, **ONE_EPOCH)
    np.random.seed(1)
    first = Drive(study, loss).run()
    np.random.seed(2)
    second = Drive(study, loss).run()
    assert first.orders == second.orders


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_another_history_gives_other_proposals(sampler):
    study = make_study(CONTINUOUS, sampler=sampler, **ONE_EPOCH)
    first = Drive(study, loss).run()
    second = Drive(study, lambda params: [-loss(params)[0]]).run()
    assert first.params != second.params


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_seed_gives_other_proposals_after_the_baseline(sampler):
    short = {**ONE_EPOCH, "budget": {"trials": 5, "max_epochs": 1}}
    first, second = (Drive(make_study(CONTINUOUS, sampler=sampler, seed=s, **short), loss).run() for s in (0, 1))
    assert first.params[0] == second.params[0]
    assert not [a for a, b in zip(first.params[2:], second.params[2:], strict=True) if a == b]


def test_the_config_of_a_ray_tune_trial_holds_what_it_needs():
    study = make_study(SMALL, settings={"hidden": "8"}, seed=5, checkpoint_every_s=7, budget={"max_epochs": 4})
    config = TuneSearcher(study, OptunaSampler(study), build_scheduler(study)).suggest("t0")
    assert config["number"] == 0
    assert config["trainable"] == study.trainable
    assert config["params"] == {"hidden": "8", "c": "x", "b": False}
    assert config["seed"] == trial_seed(5, 0)
    assert (config["max_epochs"], config["checkpoint_every_s"]) == (4, 7)


def test_a_trials_seed_depends_on_the_studys_seed_and_its_number_alone():
    tpe, random = (Drive(make_study(SPACE, sampler=s, seed=3, **ONE_EPOCH), loss).run() for s in ("tpe", "random"))
    assert [o.seed for o in tpe.orders] == [o.seed for o in random.orders] == [trial_seed(3, n) for n in range(14)]
    assert len({trial_seed(s, n) for s in range(10) for n in range(100)}) == 1000


def test_a_baseline_outside_the_ranges_is_trained_as_declared_and_told_as_the_nearest_point_inside():
    space = Space((float_("decay", 1e-6, 1e-1, log=True, baseline=0.0), category("c", ("x", "y"), baseline="x")))
    drive = Drive(make_study(space, **ONE_EPOCH), loss).run(1)
    assert drive.params == [{"decay": 0.0, "c": "x"}]
    (trial,) = drive.optuna_trials
    assert trial.params == {"decay": 1e-6, "c": "x"}
    assert trial.value == loss({"decay": 0.0, "c": "x"})[0]


def test_conditional_parameters_are_asked_for_only_where_they_are_active():
    study = make_study(SPACE, sampler="random", budget={"trials": 60, "max_epochs": 1}, scheduler=NONE)
    drive = Drive(study, loss).run()
    seen = {p["schedule"] for p in drive.params}
    assert seen == {"none", "step", "cosine", "plateau"}
    for params, trial in zip(drive.params, told(drive), strict=True):
        assert SPACE.active(params) == params
        assert set(trial.params) == set(params)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_conditional_parameters_are_spread_over_their_ranges(sampler):
    space = Space((category("c", ("x", "y"), baseline="x"), float_("f", 0, 1, baseline=0.5, when=when("c", "y"))))
    study = make_study(space, sampler=sampler, budget={"trials": 40, "max_epochs": 1}, scheduler=NONE)
    drive = Drive(study, lambda params: [0.0 if params["c"] == "y" else 1.0])
    for _ in range(40):
        drive.ask()  # no result comes back, so no model narrows the draw
    drawn = [p["f"] for p in drive.params if "f" in p]
    assert len(set(drawn)) == len(drawn) > 30  # x exists once, at trial 0: all else is y
    assert min(drawn) < 0.2
    assert max(drawn) > 0.8


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_exhausted_space_ends_the_search_with_every_point_once(sampler):
    study = make_study(SMALL, sampler=sampler, budget={"trials": 1000, "max_epochs": 1}, scheduler=NONE)
    drive = Drive(study, loss).run()
    assert drive.sampler.exhausted
    assert drive.sampler.finished
    assert sorted(map(hash_params, drive.params)) == sorted(map(hash_params, enumerate_points(SMALL)))
    assert drive.ask() is None
    assert TuneSearcher(study, drive.sampler, drive.scheduler).suggest("late") == Searcher.FINISHED


@settings(max_examples=25)
@given(drawn_spaces(finite=True, most=4), st.sampled_from(["random", "tpe"]), st.integers(0, 99))
def test_any_finite_space_is_proposed_whole_and_without_repeats(space, sampler, seed):
    everything = {hash_params(p) for p in enumerate_points(space)}
    assume(len(everything) <= 40)
    study = make_study(space, sampler=sampler, seed=seed, budget={"trials": 1000, "max_epochs": 1}, scheduler=NONE)
    drive = Drive(study, loss).run()
    proposed = [hash_params(p) for p in drive.params]
    assert len(proposed) == len(everything)
    assert set(proposed) == everything
    assert drive.sampler.exhausted


def test_a_baseline_outside_a_finite_space_is_one_more_point():
    space = Space((category("c", ("y", "z"), baseline="x"), int_("n", 1, 2, baseline=7)))
    study = make_study(space, budget={"trials": 1000, "max_epochs": 1}, scheduler=NONE)
    drive = Drive(study, loss).run()
    assert drive.params[0] == {"c": "x", "n": 7}
    assert sorted(map(hash_params, drive.params[1:])) == sorted(map(hash_params, enumerate_points(space)))
    assert drive.sampler.exhausted


@given(drawn_spaces(finite=True, most=4))
def test_points_enumerates_a_space(space):
    assume(len(list(enumerate_points(space))) <= 200)
    listed = [hash_params(p) for p in points(space)]
    assert sorted(listed) == sorted({hash_params(p) for p in enumerate_points(space)})


def test_the_budget_ends_the_search_before_the_space_does():
    drive = Drive(make_study(SMALL, budget={"trials": 4, "max_epochs": 1}, scheduler=NONE), loss).run()
    assert len(drive.orders) == 4
    assert drive.sampler.finished
    assert not drive.sampler.exhausted


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_trials_that_run_at_the_same_time_are_all_different(sampler):
    drive = Drive(make_study(SMALL, sampler=sampler, budget={"trials": 1000, "max_epochs": 3}), loss)
    for _ in range(10):
        assert drive.ask() is not None
    assert len({hash_params(p) for p in drive.params}) == 10
    assert drive.ask() is None


def test_a_repeated_proposal_is_told_the_earlier_result():
    # Two points: a random sampler names the first again sooner or later.
    space = Space((category("c", ("x", "y"), baseline="x"),))
    repeated = 0
    for seed in range(20):
        study = make_study(space, sampler="random", seed=seed, budget={"trials": 9, "max_epochs": 1}, scheduler=NONE)
        drive = Drive(study, lambda params: [0.25 if params["c"] == "x" else 0.75]).run()
        repeats = list(drive.orders[1].repeats)
        trials = told(drive)
        assert repeats == [(0, 0.25)] * len(repeats)
        assert [t.value for t in trials] == [0.25] * (1 + len(repeats)) + [0.75]
        assert {t.params["c"] for t in trials[:-1]} == {"x"}
        repeated += len(repeats)
    assert repeated > 0


def test_a_repeat_of_a_running_trial_is_told_as_failed():
    space = Space((category("c", ("x", "y"), baseline="x"),))
    for seed in range(20):
        drive = Drive(
            make_study(space, sampler="random", seed=seed, budget={"trials": 9, "max_epochs": 1}, scheduler=NONE)
        )
        drive.ask()
        drive.ask()
        if repeats := list(drive.orders[1].repeats):
            break
    assert repeats == [(0, None)] * len(repeats)
    states = [t.state for t in drive.optuna_trials]
    assert states == [OptunaState.RUNNING, *[OptunaState.FAIL] * len(repeats), OptunaState.RUNNING]


ASHA = {"budget": {"trials": 100, "max_epochs": 4}, "scheduler": {"grace": 2, "reduction_factor": 2}}


def outcomes(mode="min"):
    """Return a finished search of 4 trials: complete, pruned at rung 2, diverged after an epoch, failed."""
    sign = 1 if mode == "min" else -1
    curves = {
        1: [0.5, 0.25, 0.75, 0.5],
        2: [0.6, 0.9, None],
        3: [0.4, math.nan],
        4: [0.3, None],
    }
    space = Space((category("c", (1, 2, 3, 4), baseline=1),))
    study = make_study(space, objective={"metric": "val_loss", "mode": mode}, sampler="random", **ASHA)
    drive = Drive(study, lambda params: [v if v is None else sign * v for v in curves[params["c"]]]).run()
    return drive, {drive.params[i]["c"]: drive.ended[i] for i in range(4)}, sign


def told_of(drive, choice):
    """Return the Optuna trial that was trained with ``choice``, not one that repeated it."""
    (number,) = [i for i, p in enumerate(drive.params) if p["c"] == choice]
    return drive.optuna_trials[number + sum(len(order.repeats) for order in drive.orders[: number + 1])]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_complete_trial_is_told_its_best_value(mode):
    drive, ended, sign = outcomes(mode)
    assert ended[1] == "max_epochs"
    first = told_of(drive, 1)
    assert (first.state, first.value) == (OptunaState.COMPLETE, sign * 0.25)
    assert first.intermediate_values == {1: sign * 0.5, 2: sign * 0.25, 3: sign * 0.75, 4: sign * 0.5}


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_pruned_trial_is_told_as_pruned_with_its_intermediate_values(mode):
    drive, ended, sign = outcomes(mode)
    assert ended[2] == "rung_2"
    trial = told_of(drive, 2)
    assert trial.state is OptunaState.PRUNED
    assert trial.intermediate_values == {1: sign * 0.6, 2: sign * 0.9}
    assert trial.value == sign * 0.9  # Optuna's own rule: the last intermediate value


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_diverged_trial_is_told_as_pruned_with_what_was_finite(mode):
    drive, ended, sign = outcomes(mode)
    assert ended[3] == "diverged"
    trial = told_of(drive, 3)
    assert trial.state is OptunaState.PRUNED
    assert trial.intermediate_values == {1: sign * 0.4}


def test_a_failed_trial_is_told_as_failed():
    drive, ended, _ = outcomes()
    assert ended[4] == "error"
    trial = told_of(drive, 4)
    assert (trial.state, trial.value) == (OptunaState.FAIL, None)


def test_a_trial_that_diverged_at_once_is_told_as_pruned_without_values():
    drive = Drive(make_study(SMALL, **ASHA), lambda params: [math.nan]).run(1)
    (trial,) = drive.optuna_trials
    assert (trial.state, trial.intermediate_values, trial.value) == (OptunaState.PRUNED, {}, None)


def test_a_complete_trial_whose_objective_was_never_finite_does_not_end_the_search():
    # The losses are finite, so it did not diverge; another metric is the objective, and that one is not.
    study = make_study(SMALL, objective={"metric": "val_accuracy", "mode": "max"}, **ONE_EPOCH)
    drive = Drive(study)
    drive.ask()
    report = drive.report(1, 1.0)
    assert report.stop == "max_epochs"
    drive.sampler.observe(0, replace(report, metrics={**report.metrics, "val_accuracy": math.nan}))
    drive.sampler.tell(0, Outcome(StopReason.MAX_EPOCHS))
    (trial,) = drive.optuna_trials
    assert trial.state is OptunaState.FAIL
    assert drive.ask() is not None


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_goes_on_after_pruned_diverged_and_failed_trials(sampler):
    study = make_study(SPACE, sampler=sampler, budget={"trials": 24, "max_epochs": 4}, scheduler={"grace": 2})
    drive = Drive(study, mixed).run()
    assert len(drive.orders) == 24
    assert set(drive.ended.values()) >= {"max_epochs", "diverged", "error"}
    states = {t.state for t in told(drive)}
    assert states == {OptunaState.COMPLETE, OptunaState.PRUNED, OptunaState.FAIL}


def test_a_sampler_is_not_told_by_ray_what_to_optimise():
    study = make_study(SMALL, objective={"metric": "val_accuracy", "mode": "max"})
    sampler = TuneSearcher(study, OptunaSampler(study), build_scheduler(study))
    assert (sampler.metric, sampler.mode) == ("val_accuracy", "max")


KINDS = [[0.5, 0.4, 0.3, 0.2], [0.9, 0.9, 0.9, 0.9], [0.4, math.nan], [math.nan], [0.3, None], [0.2, 0.1, 0.1, 0.1]]


def mixed(params):
    """Return a curve of one of several kinds, drawn by the parameters."""
    return KINDS[int(hash_params(params), 16) % len(KINDS)]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("space", [SPACE, SMALL], ids=["conditional", "finite"])
def test_a_sampler_that_replays_the_ledger_proposes_what_it_would_have(ledger, study_id, sampler, space):
    study = make_study(space, sampler=sampler, budget={"trials": 18, "max_epochs": 4}, scheduler={"grace": 2})
    whole = Drive(study, mixed).run()
    done = 13
    first = Drive(study, mixed, writer=LedgerWriter(ledger, study_id)).run(min(done, len(whole.orders) - 2))
    first.writer.flush()
    resumed = Drive(study, mixed).replay(ledger, study_id).run()
    assert first.orders + resumed.orders == whole.orders
    assert {**first.ended, **resumed.ended} == whole.ended


def test_a_trial_that_was_cut_off_comes_back_first_and_keeps_its_values(ledger, study_id):
    study = make_study(SPACE, budget={"trials": 14, "max_epochs": 4}, scheduler=NONE)
    whole = Drive(study, mixed).run()
    cut = next(i for i, params in enumerate(whole.params) if i > 2 and len(mixed(params)) == 4)
    first = Drive(study, mixed, writer=LedgerWriter(ledger, study_id)).run(until=(cut, 2))
    first.writer.flush()

    resumed = Drive(study, mixed).replay(ledger, study_id)
    assert not resumed.sampler.finished
    resumed.run(1)
    (order,) = resumed.orders
    assert (order.number, order.resumed, order.epochs) == (cut, True, 2)
    first_two = mixed(order.params)[:2]
    assert order.best == (first_two.index(min(first_two)) + 1, min(first_two))
    assert replace(order, resumed=False, epochs=0, best=None) == whole.orders[cut]
    assert [t.intermediate_values for t in resumed.optuna_trials][-1] == dict(enumerate(mixed(order.params), 1))
    resumed.run()
    assert resumed.orders[1:] == whole.orders[cut + 1 :]


def test_a_finished_study_is_not_told_to_optuna_and_an_extended_one_is(ledger, study_id):
    study = make_study(SPACE, sampler="random", **ONE_EPOCH)
    writer = LedgerWriter(ledger, study_id)
    Drive(study, loss, writer=writer).run()
    writer.flush()
    again = Drive(study, loss).replay(ledger, study_id)
    assert again.sampler.finished and again.ask() is None
    assert again.optuna_trials == []
    longer = study.model_copy(update={"budget": study.budget.model_copy(update={"trials": 16})})
    extended = Drive(longer, loss).replay(ledger, study_id)
    assert len(extended.optuna_trials) == 14
    assert [extended.ask().number, extended.ask().number, extended.ask()] == [14, 15, None]


def test_a_trial_that_came_back_is_shown_after_a_resume_as_before_it():
    """As it stood where it was paused last: else a search that was killed would propose otherwise."""
    study = make_study(CONTINUOUS, scheduler={"name": "promote"}, budget={"trials": 40, "max_epochs": 9})
    live, orders, values = OptunaSampler(study), [], {}
    for number in range(16):
        orders.append(order := live.ask())
        values[number] = {1: (loss(order.params)[0],)}
        live.observe(number, EpochReport(1, {"val_loss": values[number][1][0]}, 0.0))
        live.pause(number)
    best = min(values, key=lambda n: values[n][1])
    values[best][2] = (values[best][1][0] - 1.0,)
    live.observe(best, EpochReport(2, {"val_loss": values[best][2][0]}, 0.0))
    expected = live.ask().params
    rows = [row_of(order, TrialState.RUNNING if order.number == best else TrialState.PAUSED) for order in orders]
    again = OptunaSampler(study)
    again.replay(rows, values, paused_at=dict.fromkeys(range(16), 1))
    assert again.ask().number == best
    assert again.ask().params == expected


def row_of(order, state):
    """Return a trial as the ledger has it."""
    return TrialRow(
        **{name: getattr(order, name) for name in ("number", "params", "config_hash", "seed", "sampler_attrs")},
        **dict.fromkeys(("reason", "rung", "message", "traceback", "ended_at")),
        repeats=[],
        state=state,
        started_at=0.0,
        revision=0,
    )
