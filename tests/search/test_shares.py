"""Equal numbers of trials for the choices of one parameter, dealt by what was proposed before alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.brain.shares import Shares
from search.declaration.study import SAMPLERS
from search.errors import UsageError
from search.ledger import LedgerWriter
from spaces import Space, category, float_, int_, when
from tests.search.conftest import make_study
from tests.search.drive import Drive

MODELS = ("forest", "linear", "knn")
SPACE = Space(
    (
        category("model", MODELS, baseline="linear"),
        float_("c", 1e-3, 1e3, log=True, baseline=1.0, when=when("model", "linear")),
        int_("depth", 1, 20, baseline=5, when=when("model", "forest")),
        float_("share", 0.1, 1.0, baseline=1.0, when=when("model", "forest")),
        int_("neighbours", 1, 2, baseline=1, when=when("model", "knn")),
        category("weights", ("even", "near"), baseline="even", when=when("model", "knn")),
    )
)
"""knn has four points, the others endlessly many."""

ORDER = ("linear", "forest", "knn")
NONE = {"name": "none", "grace": 1, "reduction_factor": 2}


def balanced(space=SPACE, *, trials=12, **values):
    budget = {"trials": trials, "max_epochs": 1}
    return make_study(space, balanced="model", budget=budget, scheduler=NONE, **values)


def loss(params):
    return [{"linear": 0.1, "forest": 0.5, "knn": 0.9}[params["model"]] + params.get("depth", 0) / 100]


def models(drive):
    return [params["model"] for params in drive.params]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_trial_n_gets_choice_n_mod_k_and_the_baselines_choice_is_first(sampler):
    drive = Drive(balanced(sampler=sampler), loss).run()
    assert drive.params[0] == SPACE.baseline
    assert models(drive) == [ORDER[n % 3] for n in range(12)]
    for params in drive.params:
        assert SPACE.validate(params) == params


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_values_of_a_range_of_whole_numbers_get_equal_numbers_of_trials(sampler):
    space = Space((int_("depth", 0, 3, baseline=2), float_("rate", 0.1, 1.0, baseline=1.0)))
    budget = {"trials": 12, "max_epochs": 1}
    study = make_study(space, balanced="depth", budget=budget, scheduler=NONE, sampler=sampler)
    drive = Drive(study, lambda params: [params["rate"]]).run()
    assert [params["depth"] for params in drive.params] == [2, 0, 1, 3] * 3
    assert all(type(params["depth"]) is int for params in drive.params)


def test_without_balance_a_sampler_prefers_the_better_choice():
    study = make_study(SPACE, budget={"trials": 40, "max_epochs": 1}, scheduler=NONE)
    drive = Drive(study, loss).run()
    assert models(drive).count("linear") > 20


def test_balance_leaves_the_other_parameters_to_the_sampler():
    drive = Drive(balanced(trials=40), lambda params: [abs(params.get("depth", 10) - 7)]).run()
    late = [p["depth"] for p in drive.params[20:] if p["model"] == "forest"]
    assert sum(abs(depth - 7) <= 3 for depth in late) > len(late) / 2, "it has learnt where 7 is"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_choice_without_points_left_hands_its_share_on(sampler):
    drive = Drive(balanced(sampler=sampler, trials=24), loss).run()
    counts = {model: models(drive).count(model) for model in MODELS}
    assert counts == {"knn": 4, "linear": 10, "forest": 10}
    points = {tuple(sorted(p.items())) for p in drive.params if p["model"] == "knn"}
    assert len(points) == 4, "each of its points once"
    assert drive.sampler.handed_on == {"knn": 4}
    assert not drive.sampler.exhausted


def test_a_space_without_points_left_ends_the_search():
    finite = Space((category("model", ("a", "b"), baseline="b"), int_("n", 1, 3, baseline=1, when=when("model", "a"))))
    drive = Drive(balanced(finite, trials=50), lambda params: [1.0]).run()
    assert sorted(models(drive)) == ["a", "a", "a", "b"]
    assert drive.sampler.exhausted


def test_a_baseline_from_outside_is_no_point_of_its_choice():
    space = Space((category("model", ("a", "b"), baseline="a"), int_("n", 1, 2, baseline=0)))
    drive = Drive(balanced(space, trials=50), lambda params: [1.0]).run()
    assert drive.params[0] == {"model": "a", "n": 0}
    assert len(drive.params) == 5
    assert models(drive)[:4] == ["a", "b", "a", "b"]


def test_a_baseline_whose_choice_was_taken_out_of_the_space_counts_for_none():
    space = SPACE.with_parameters({"model": category("model", ("forest", "knn"), baseline="linear")})
    drive = Drive(balanced(space, trials=7), loss).run()
    assert models(drive) == ["linear", "forest", "knn", "forest", "knn", "forest", "knn"]


def test_one_choice_left_gets_every_trial():
    space = SPACE.with_parameters({"model": SPACE["model"].fixed_at("forest")})
    assert set(models(Drive(balanced(space, trials=5), loss).run())) == {"forest"}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("cut", [1, 7, 13])
def test_a_resumed_search_deals_as_an_uninterrupted_one(ledger, study_id, sampler, cut):
    study = balanced(sampler=sampler, trials=20)
    whole = Drive(study, loss).run()
    first = Drive(study, loss, writer=LedgerWriter(ledger, study_id)).run(cut)
    first.writer.flush()
    resumed = Drive(study, loss).replay(ledger, study_id).run()
    assert first.orders + resumed.orders == whole.orders
    assert resumed.sampler.handed_on == whole.sampler.handed_on == {"knn": 4}


def test_a_choice_that_joins_later_catches_up(ledger, study_id):
    narrow = SPACE.with_parameters({"model": category("model", ("linear", "forest"), baseline="linear")})
    first = Drive(balanced(narrow, trials=6), loss, writer=LedgerWriter(ledger, study_id)).run()
    first.writer.flush()
    resumed = Drive(balanced(trials=12), loss).replay(ledger, study_id).run()
    assert models(resumed) == ["knn", "knn", "knn", "linear", "forest", "knn"]


@given(st.lists(st.sampled_from(MODELS), max_size=30))
def test_no_choice_is_ever_more_than_what_came_before_ahead(dealt):
    """Whatever was trained before, the one that is due has the fewest trials of those with points left."""
    shares = Shares(SPACE, "model")
    points = {"linear": {"c": 1.0}, "forest": {"depth": 1, "share": 1.0}, "knn": {"neighbours": 1, "weights": "even"}}
    for model in dealt:
        shares.count({"model": model, **points[model]})
    left = [m for m in MODELS if m != "knn" or dealt.count("knn") < 4]
    assert dealt.count(shares.due().choice) == min(dealt.count(m) for m in left)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"balanced": "modle"},
            "balanced: 'modle' is no categorical or whole-number parameter of the space without a condition",
        ),
        (
            {"balanced": "c"},
            "balanced: 'c' is no categorical or whole-number parameter of the space without a condition",
        ),
        (
            {"balanced": "weights"},
            "balanced: 'weights' is no categorical or whole-number parameter of the space without a condition",
        ),
        ({"shown": ("model", "c")}, "shown: 'c' is no categorical parameter of the space"),
        ({"refits": 3}, "refits 3: there is no balanced parameter whose choices could be compared"),
        ({"refits": -1, "balanced": "model"}, "refits must be >= 0, got -1"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(values, line):
    with pytest.raises(UsageError) as caught:
        make_study(SPACE, **values)
    assert caught.value.errors == (line,)
