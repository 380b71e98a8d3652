"""A search that begins with the best configurations of an earlier study, on other data."""

import json
import shutil

import pytest
from typer.testing import CliRunner

import search
from benchmarks.report_page import record_study
from search import UsageError
from search.brain.sampler import OptunaSampler
from search.commands.verbs import app
from search.declaration.options import Options
from search.declaration.study import SAMPLERS
from search.drive.continuation import extend_study
from search.drive.warm_start import warm_started
from search.ledger import Ledger, LedgerWriter
from search.report.answer import answer
from search.report.warm_start_words import warm_start_lines
from spaces import Space, category, float_, int_, when
from spaces.fit import Fit, fitted
from tests.search.conftest import make_study
from tests.search.drive import Drive
from tests.support.command import invoke
from tests.support.facts import FACTS

SPACE = Space(
    (
        float_("rate", 1e-4, 1e-1, log=True, baseline=1e-3),
        int_("units", 8, 64, baseline=16),
        category("schedule", ("none", "step"), baseline="none"),
        float_("gamma", 0.1, 0.9, baseline=0.5, when=when("schedule", "step")),
    )
)
EARLIER = [
    {"rate": 0.01, "units": 32, "schedule": "step", "gamma": 0.3},
    {"rate": 0.5, "units": 200, "schedule": "cosine", "floor": 0.1},
    {"rate": 0.02, "schedule": "step"},
]
NONE = {"name": "none"}


def warm(params=EARLIER, *, best=None, name="before", **values):
    trials = [{"trial": 10 + i, "params": p} for i, p in enumerate(params)]
    asked = {"study": name, "best": best or len(trials), "trials": trials, "ended": 40}
    values = {"budget": {"trials": 14, "max_epochs": 1}, "scheduler": NONE, **values}
    return make_study(SPACE, warm_start=asked, **values)


def loss(params):
    return [abs(params["rate"] - 0.02) + 0.001 * params["units"] + 0.1 * params.get("gamma", 0)]


def test_an_earlier_configuration_becomes_the_nearest_point_of_the_space():
    point, changes = fitted(SPACE, EARLIER[1], shared_there={}, shared_here={"floor": 0.2})
    assert point == {"rate": 0.1, "units": 64, "schedule": "none"}
    assert [(c.parameter, c.fit, c.was, c.becomes) for c in changes] == [
        ("rate", Fit.CLIPPED, 0.5, 0.1),
        ("units", Fit.CLIPPED, 200, 64),
        ("schedule", Fit.NO_CHOICE, "cosine", "none"),
        ("floor", Fit.NOT_SEARCHED, 0.1, 0.2),
    ]
    assert SPACE.validate(point) == point


def test_what_an_earlier_configuration_lacks_is_as_its_settings_or_else_as_the_baseline():
    point, changes = fitted(SPACE, EARLIER[2], shared_there={"units": 24}, shared_here={})
    assert point == {"rate": 0.02, "units": 24, "schedule": "step", "gamma": 0.5}
    assert [(c.parameter, c.fit) for c in changes] == [("gamma", Fit.MISSING)]


@pytest.mark.parametrize("value", ["fast", True])
def test_a_word_is_no_number_to_clip(value):
    point, (change,) = fitted(SPACE, {**EARLIER[0], "units": value}, shared_there={}, shared_here={})
    assert (point["units"], change.fit) == (16, Fit.NO_CHOICE)


def test_a_conditional_parameter_whose_condition_no_longer_holds_is_left_out():
    point, changes = fitted(
        SPACE, {"rate": 0.01, "units": 8, "schedule": "none", "gamma": 0.3}, shared_there={}, shared_here={}
    )
    assert "gamma" not in point
    assert [(c.parameter, c.fit) for c in changes] == [("gamma", Fit.INACTIVE)]


def test_no_two_seated_trials_are_alike_and_none_is_the_baseline():
    study = warm([SPACE.baseline, EARLIER[0], {**EARLIER[0], "momentum": 0.9}, EARLIER[1]])
    assert [(s.number, s.trial) for s in study.seated_trials] == [(1, 11), (2, 13)]
    assert study.given_trials == {0, 1, 2}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_trains_them_after_the_baseline_and_hears_what_they_come_to(sampler):
    study = warm(sampler=sampler)
    drive = Drive(study, loss).run()
    assert [dict(o.params) for o in drive.orders[:4]] == [
        SPACE.baseline,
        *(dict(s.params) for s in study.seated_trials),
    ]
    assert [o.sampler_attrs.get("from") for o in drive.orders[:5]] == [
        None,
        *({"study": "before", "trial": 10 + i} for i in range(3)),
        None,
    ]
    assert len(drive.orders) == 14 == len({o.config_hash for o in drive.orders})
    told = [t.value for t in drive.optuna_trials[1:4]]
    assert told == [loss(o.params)[0] for o in drive.orders[1:4]], "the values are this study's own"


def test_nsga2_counts_them_as_members_of_its_first_generation():
    drive = Drive(warm(sampler="nsga2"), loss).run()
    key = "NSGAIISampler:generation"
    assert [t.system_attrs.get(key) for t in drive.optuna_trials[:4]] == [None, 0, 0, 0]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_rest_of_a_random_search_and_all_seeds_are_as_without_them(sampler):
    study = warm(sampler=sampler)
    plain = Drive(study.model_copy(update={"warm_start": None}), loss).run()
    begun = Drive(study, loss).run()
    assert [o.seed for o in begun.orders] == [o.seed for o in plain.orders]
    same = [a.params == b.params for a, b in zip(begun.orders, plain.orders, strict=True)]
    assert same[0] and not any(same[1:4])
    if sampler == "random":
        assert all(same[4:])


@pytest.mark.parametrize("done", [2, 6])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not_been(ledger, study_id, sampler, done):
    study = warm(sampler=sampler)
    whole = Drive(study, loss).run()
    first = Drive(study, loss, writer=LedgerWriter(ledger, study_id)).run(done)
    first.writer.flush()
    resumed = Drive(study, loss).replay(ledger, study_id).run()
    assert first.orders + resumed.orders == whole.orders
    assert [o.sampler_attrs for o in first.orders + resumed.orders] == [o.sampler_attrs for o in whole.orders]


def test_one_that_was_trained_before_the_space_was_changed_is_not_trained_twice(ledger, study_id):
    study = warm()
    first = Drive(study, loss, writer=LedgerWriter(ledger, study_id)).run(2)
    first.writer.flush()
    narrow = extend_study(study, trials=1, max_epochs=None, time_budget=None, set_=["units.high=32"])
    resumed = Drive(narrow, loss).replay(ledger, study_id).run()
    assert resumed.orders[0].params == {"rate": 0.1, "units": 32, "schedule": "none"}, "clipped to the new range"
    hashes = [o.config_hash for o in (*first.orders, *resumed.orders)]
    assert len(hashes) == 15 == len(set(hashes))


def test_a_balanced_study_counts_them_and_evens_the_rest_out():
    drive = Drive(warm([EARLIER[0], EARLIER[2]], balanced="schedule"), loss).run()
    choices = [o.params["schedule"] for o in drive.orders]
    assert choices[:5] == ["none", "step", "step", "none", "none"]
    assert choices.count("none") == choices.count("step") == 7


def test_what_more_trials_would_bring_is_told_from_those_that_were_proposed(ledger, study_id):
    study = warm(sampler="random")
    writer = LedgerWriter(ledger, study_id)
    Drive(study, lambda params: [abs(params["rate"] - 0.02)], writer=writer).run()
    writer.flush()
    found = answer(study, ledger.trials_frame(study_id), ledger.epochs_frame(study_id), FACTS)
    assert found.expected.trials == 14 - 4
    assert (found.best.trial, found.best.origin) == (3, "before trial 12")


def test_the_gain_rule_asks_the_trials_that_were_proposed():
    budget = {"trials": 40, "max_epochs": 1, "until_gain_below": 1e9}
    study = warm(sampler="random", budget=budget)
    drive = Drive(study, loss)
    drive.sampler = OptunaSampler(study)
    assert len(drive.run().orders) == 1 + 3 + 16


def test_the_ledger_says_where_a_configuration_is_from(ledger, study_id):
    writer = LedgerWriter(ledger, study_id)
    Drive(warm(), loss, writer=writer).run(5)
    writer.flush()
    assert [t.origin for t in ledger.trials(study_id)][:5] == [None, *(f"before trial {n}" for n in (10, 11, 12)), None]
    assert ledger.trials_frame(study_id)["origin"].tolist()[1] == "before trial 10"


def test_the_lines_say_every_value_that_is_not_as_it_was_once_with_its_trials():
    lines = warm_start_lines(warm(best=5, sampler="cmaes"))
    assert lines == [
        "trials 1 to 3: the 3 best configurations of 40 trials that ended in before, without their values",
        "5 were asked for; no more of them differ from each other and from the baseline here",
        "rate=0.5 is clipped to 0.1 (trial 2)",
        "units=200 is clipped to 64 (trial 2)",
        "schedule=cosine is no choice here: none, as the baseline has it (trial 2)",
        "floor=0.1 is not searched: left out (trial 2)",
        "units was not there: 16, as the baseline has it (trial 3)",
        "gamma was not there: 0.5, as the baseline has it (trial 3)",
        "cmaes learns from none of them: it begins in the middle of the space",
    ]
    assert warm_start_lines(make_study(SPACE)) == []


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    record_study(folder, "before", trials=12, epochs=4)
    record_study(folder, "alone", trials=1, epochs=4)
    return folder


def options(home, text, **given):
    return Options(kind="regularization", home=home, from_=text, trials=6, **given)


def asked(home, text, space=None, **values):
    budget = {"trials": 8, "max_epochs": 4}
    return warm_started(make_study(space or SPACE, warm_start=text, budget=budget, **values), home)


def test_the_best_trials_are_looked_up_in_the_home_or_at_a_path(home):
    rates = Space((float_("learning_rate", 1e-4, 1e-1, log=True, baseline=1e-3),))
    study, mistakes = asked(home, "before:3", rates)
    ranked = [n for n in search.load("before", home=home).leaderboard["number"] if n != 0]
    assert mistakes == []
    assert [t.trial for t in study.warm_start.trials] == ranked[:3], "trial 0 is this baseline, too"
    assert (study.warm_start.best, study.warm_start.ended) == (3, 12)
    elsewhere, _ = asked(home / "nowhere", f"{home}/before:3", rates)
    assert elsewhere.warm_start.trials == study.warm_start.trials
    again, _ = warm_started(study, home / "nowhere")
    assert again is study, "what a declaration holds is not looked up again"


@pytest.mark.parametrize(
    ("text", "space", "line"),
    [
        ("befor", None, "befor: no study 'befor' in {home}. Did you mean 'before'? `python -m search list` shows all"),
        ("/nowhere/a:2", None, "/nowhere/a: no study 'a' in /nowhere. `python -m search list` shows all"),
        ("before", Space((float_("x", 0, 1, baseline=0.5),)), "before: it searched learning_rate, "),
        (
            "alone",
            Space((float_("dropout", 0, 0.5, baseline=0.0),)),
            "alone: here, all of its configurations are the o",
        ),
    ],
)
def test_what_cannot_be_looked_up_is_one_mistake(home, text, space, line):
    study, (mistake,) = asked(home, text, space)
    assert mistake.rule.startswith(line.format(home=home))
    assert study.warm_start.trials == ()


def test_a_study_without_an_ended_trial_has_nothing_to_begin_with(tmp_path):
    paths = record_study(tmp_path, "before", trials=1, epochs=3)
    with Ledger(paths.ledger_url) as ledger, ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE trials SET state = 'INTERRUPTED', stop_reason = NULL")
    _, (mistake,) = asked(tmp_path, "before", Space((float_("dropout", 0, 0.5, baseline=0.0),)))
    assert mistake.rule == "before: none of its trials has ended with a finite value"


@pytest.mark.parametrize(
    "changes",
    [
        ["DELETE FROM epochs", "DELETE FROM trials"],
        ["DELETE FROM epochs", "UPDATE trials SET state = 'INTERRUPTED', stop_reason = NULL"],
        ["DELETE FROM epochs", "UPDATE trials SET state = 'FAILED', stop_reason = 'error'"],
        ["UPDATE epochs SET metrics = '{\"val_loss\": NaN}'", "UPDATE trials SET stop_reason = 'diverged'"],
    ],
    ids=["none begun", "none ended an epoch", "all failed", "all diverged at once"],
)
def test_a_study_that_ranks_no_trial_has_nothing_to_begin_with(tmp_path, changes):
    paths = record_study(tmp_path, "before", trials=2, epochs=3)
    with Ledger(paths.ledger_url) as ledger, ledger.writing() as connection:
        for change in changes:
            connection.exec_driver_sql(change)
    _, (mistake,) = asked(tmp_path, "before", Space((float_("dropout", 0, 0.5, baseline=0.0),)))
    assert mistake.rule == "before: none of its trials has ended with a finite value"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("before:0", "--from before:0: the part after the colon must be a whole number >= 1, got '0'"),
        ("before:all", "--from before:all: the part after the colon must be a whole number >= 1, got 'all'"),
        (":2", "--from ':2' names no study; expected NAME, NAME:K or HOME/NAME"),
        (
            "before:6",
            "--from before: 6 configurations and the baseline are more than --trials 6; take before:5 at most",
        ),
        ("befor", "--from befor: no study 'befor' in "),
    ],
)
def test_a_wrong_option_gets_its_one_line_beside_the_others(home, text, line):
    arguments = ["run", "regularization", "--home", home, "--from", text, "--trials", 6, "--name", "before"]
    done = CliRunner().invoke(app, [str(a) for a in arguments], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert [e.startswith(line) for e in done.exception.errors].count(True) == 1
    if text == "befor":
        assert any(e.startswith("--name before: a study of this name exists") for e in done.exception.errors)


def test_a_dry_run_lists_them(home):
    arguments = ("run", "regularization", "--dataset", "wine", "--home", home, "--from", "before:2", "--trials", 6)
    text = invoke(*arguments, "--set", "dropout.high=0.01", "--dry-run").stdout
    assert "from       trials 1, 2: the 2 best configurations of 12 trials that ended in before, without" in text
    assert "is clipped to 0.01 (trial" in text
    plan = json.loads(invoke(*arguments, "--dry-run", "--json").stdout)
    assert [seat["number"] for seat in plan["seated"]] == [1, 2]
    assert not (home / plan["study"]["name"]).exists()


def test_a_search_on_other_data_begins_with_them_and_resumes_without_the_earlier_study(tmp_path):
    record_study(tmp_path, "before", trials=12, epochs=4)
    arguments = [
        *("run", "regularization", "--dataset", "wine", "--home", tmp_path, "--name", "after", "--from", "before:2"),
        *("--trials", 5, "--max-epochs", 2, "--tracking", "offline", "--no-confirm", "--sampler", "gp"),
    ]
    shown = invoke(*arguments).stdout
    assert "from" in shown and "before trial" in shown
    shutil.rmtree(tmp_path / "before")
    found = json.loads(invoke("show", "after", "--home", tmp_path, "--json").stdout)
    origins = {entry["trial"]: entry["origin"] for entry in found["top"]}
    assert [trial for trial, origin in sorted(origins.items()) if origin] == [1, 2]
    invoke(*arguments, "--resume")
    wrong = CliRunner().invoke(app, [*map(str, arguments), "--resume", "--from", "before:3"], standalone_mode=False)
    assert wrong.exception.errors[0].startswith("--resume after: warm_start: before:2 -> before:3 (--from) is another")
    file = tmp_path / "again.yaml"
    file.write_text(invoke("show", "after", "--home", tmp_path, "--config").stdout)
    again = json.loads(invoke("run", "--config", file, "--home", tmp_path, "--dry-run", "--json").stdout)
    assert [seat["number"] for seat in again["seated"]] == [1, 2]


def test_from_python_a_result_names_the_study_to_begin_with(tmp_path):
    record_study(tmp_path / "first", "before", trials=12, epochs=4)
    earlier = search.load("before", home=tmp_path / "first")
    small = {"budget": {"trials": 4, "max_epochs": 3}, "confirm": {"pairs": 0}, "tracking": {"enabled": False}}
    with pytest.raises(UsageError, match="warm_start before: 5 configurations and the baseline are more than"):
        search.declare("regularization", data="wine", warm_start=earlier, **small)
    study = search.declare("regularization", data="wine", warm_start=f"{tmp_path}/first/before:2", name="x", **small)
    result = search.run(study, home=tmp_path / "second")
    assert result.trials["origin"].notna().tolist() == [False, True, True, False]
    assert (
        search.run(study, home=tmp_path / "second", resume=True).trials["params"].tolist()[1]
        == result.trials["params"][1]
    )
    with pytest.raises(UsageError, match="warm_start nope: no study 'nope' in "):
        search.run(search.declare("regularization", warm_start="nope:1", **small), home=tmp_path / "second")
