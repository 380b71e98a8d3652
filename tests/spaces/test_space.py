import dataclasses
import importlib
import json
import math
import pkgutil

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution

import spaces
from spaces import Parameter, Space, SpaceError, category, float_, hash_params, int_, nearest, when
from tests.spaces.drawn import drawn_points, drawn_spaces, enumerate_points

DECLARED = {
    module.name: declared
    for module in pkgutil.iter_modules(spaces.__path__)
    if (declared := getattr(importlib.import_module(f"spaces.{module.name}"), "SPACE", None)) is not None
}

NESTED = Space(
    (
        category("model", ("linear", "mlp"), baseline="linear"),
        int_("layers", 1, 3, baseline=1, when=when("model", "mlp")),
        category("norm", ("none", "batch", "group"), baseline="none", when=when("model", "mlp")),
        int_("groups", 2, 5, baseline=2, when=when("norm", "group")),
        float_("rate", 1e-4, 1.0, log=True, baseline=0.0),
    )
)


@pytest.mark.parametrize("space", DECLARED.values(), ids=DECLARED)
def test_every_declared_space_has_help_a_fitting_baseline_and_a_table(space):
    assert all(p.help for p in space)
    assert space.baseline == space.active(space.baseline)
    assert [row[0] for row in space.table()] == list(space.names)
    assert [row[1] for row in space.table()] == [p.range_text() for p in space]
    assert space.validate(space.clamp(space.baseline))


@pytest.mark.parametrize("space", [*DECLARED.values(), NESTED], ids=[*DECLARED, "nested"])
def test_plain_data_reads_back_through_json_and_yaml(space):
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))) == space
    assert Space.from_dict(yaml.safe_load(yaml.safe_dump(space.to_dict(), sort_keys=False))) == space


@given(drawn_spaces())
def test_any_space_reads_back_from_its_plain_data(space):
    again = Space.from_dict(json.loads(json.dumps(space.to_dict())))
    assert again == space
    assert again.names == space.names
    assert again.baseline == space.baseline


def test_plain_data_of_a_space_keep_the_step_of_a_range():
    space = Space((Parameter("x", FloatDistribution(0.0, 1.0, step=0.25), 0.5), int_("n", 1, 9, baseline=1)))
    assert Space.from_dict(space.to_dict())["x"].distribution == FloatDistribution(0.0, 1.0, step=0.25)
    assert "step" not in space.to_dict()["n"]


def test_a_parameter_is_active_only_where_its_condition_holds():
    point = {"model": "mlp", "layers": 2, "norm": "batch", "groups": 3, "rate": 0.1}
    assert NESTED.active(point) == {"model": "mlp", "layers": 2, "norm": "batch", "rate": 0.1}
    assert NESTED.active({**point, "norm": "group"}) == {**point, "norm": "group"}


def test_a_parameter_below_an_inactive_parent_is_inactive():
    point = {"model": "linear", "layers": 2, "norm": "group", "groups": 3, "rate": 0.1}
    assert NESTED.active(point) == {"model": "linear", "rate": 0.1}


def test_one_of_several_values_of_a_parent_is_enough():
    space = Space((category("c", ("x", "y", "z"), baseline="x"), int_("n", 1, 2, baseline=1, when=when("c", "y", "z"))))
    assert [sorted(space.active({"c": c, "n": 1})) for c in "xyz"] == [["c"], ["c", "n"], ["c", "n"]]
    assert str(space["n"].when) == "c = y or z"


def test_true_and_1_are_different_values_of_a_parameter():
    space = Space((category("c", (1, 2), baseline=1), int_("n", 1, 2, baseline=1, when=when("c", 1))))
    assert not space["c"].contains(True)
    assert space.active({"c": True, "n": 1}) == {"c": True}
    assert hash_params({"c": True}) != hash_params({"c": 1})
    assert not int_("n", 0, 5, baseline=0).contains(True)


@given(drawn_spaces())
def test_the_baseline_is_the_active_part_of_the_declared_values(space):
    declared = {p.name: p.baseline for p in space}
    for p in space:
        holds = p.when is None or p.when.holds(space.baseline)
        assert (p.name in space.baseline) == holds
        assert not holds or space.baseline[p.name] == declared[p.name]


def test_a_baseline_outside_its_range_is_kept_and_clamped_only_when_asked():
    assert NESTED.baseline == {"model": "linear", "rate": 0.0}
    assert NESTED.clamp(NESTED.baseline) == {"model": "linear", "rate": 1e-4}


def test_clamping_a_category_drops_what_depended_on_it():
    point = {"model": "forest", "layers": 2, "rate": 7.0}
    assert NESTED.clamp({**point, "model": "mlp", "norm": "batch", "layers": 99}) == {
        "model": "mlp",
        "layers": 3,
        "norm": "batch",
        "rate": 1.0,
    }
    assert NESTED.clamp(point) == {"model": "linear", "rate": 1.0}


@given(st.data(), drawn_spaces())
def test_validate_returns_the_active_part_of_any_point_inside(data, space):
    point = data.draw(drawn_points(space))
    assert space.validate(point) == space.active(point)
    assert space.clamp(point) == space.active(point)


@given(st.data(), drawn_spaces(), st.floats(-50, 50))
def test_clamp_returns_a_point_inside_the_space(data, space, moved):
    point = data.draw(drawn_points(space))
    name = data.draw(st.sampled_from(space.names))
    assume(not hasattr(space[name].distribution, "choices"))
    clamped = space.clamp({**point, name: moved})
    assert space.validate(clamped) == clamped


def test_validate_names_everything_wrong_at_once():
    with pytest.raises(SpaceError) as caught:
        NESTED.validate({"model": "mlp", "layer": 2, "norm": "bach", "rate": 2.0})
    assert caught.value.errors == (
        "unknown parameter 'layer'. Did you mean 'layers'? Known: model, layers, norm, groups, rate",
        "layers: missing; allowed: 1 .. 3",
        "norm='bach' is outside none | batch | group",
        "rate=2.0 is outside 0.0001 .. 1 (log)",
    )
    assert str(caught.value) == "\n".join(caught.value.errors)


@pytest.mark.parametrize("value", [0.5, math.nan, math.inf, True, "2", 4, 0])
def test_validate_refuses_what_is_no_whole_number_of_the_range(value):
    with pytest.raises(SpaceError, match=r"layers=.* is outside 1 \.\. 3"):
        NESTED.validate({"model": "mlp", "layers": value, "norm": "none", "rate": 0.1})


def test_validate_accepts_the_ends_of_a_range():
    for rate in (1e-4, 1.0):
        assert NESTED.validate({"model": "linear", "rate": rate})["rate"] == rate


def test_a_space_that_contradicts_itself_names_every_contradiction():
    with pytest.raises(SpaceError) as caught:
        Space(
            (
                int_("n", 1, 2, baseline=1, when=when("later", "a")),
                category("later", ("a", "b"), baseline="a"),
                int_("n", 1, 2, baseline=1),
                int_("m", 1, 2, baseline=1, when=when("n", 1)),
            )
        )
    assert caught.value.errors == (
        "space: 'n' depends on 'later', which must be declared before it",
        "space: parameter 'n' is declared twice",
        "space: 'm' depends on 'n', which is no category",
    )


@given(st.data(), drawn_spaces())
def test_the_config_hash_sees_active_parameters_only(data, space):
    one, other = data.draw(drawn_points(space)), data.draw(drawn_points(space))
    active = space.active(one)
    mixed = {name: active.get(name, other[name]) for name in reversed(space.names)}
    assert space.config_hash(mixed) == space.config_hash(one)
    assert (space.config_hash(one) == space.config_hash(other)) == (space.active(one) == space.active(other))


def test_the_config_hash_is_sixteen_hexadecimal_digits_that_never_change():
    # Written into ledgers and MLflow: sha256 of the canonical JSON, cut to 16 digits.
    assert hash_params({"b": "x", "a": 1}) == "ecf9e98ec0641e23"


@given(drawn_spaces(finite=True))
def test_the_cardinality_of_a_space_is_the_number_of_its_points(space):
    points = {hash_params(p) for p in enumerate_points(space)}
    assert space.cardinality() == len(points)


def test_a_continuous_parameter_makes_a_space_infinite_wherever_it_is():
    choice = category("c", ("x", "y"), baseline="x")
    assert Space((choice, float_("f", 0.0, 1.0, baseline=0.0, when=when("c", "y")))).cardinality() == math.inf
    assert Space((choice, float_("f", 1.0, 1.0, baseline=1.0))).cardinality() == 2
    assert NESTED.cardinality() == math.inf


def test_a_space_can_be_looked_up_and_cannot_be_changed():
    assert len(NESTED) == 5
    assert "layers" in NESTED and "layer" not in NESTED
    with pytest.raises(dataclasses.FrozenInstanceError):
        NESTED.parameters = ()
    with pytest.raises(KeyError):
        NESTED["layer"]


def test_a_space_with_changed_parameters_keeps_their_order_and_appends_new_ones():
    wider = int_("layers", 1, 9, baseline=1, when=when("model", "mlp"))
    space = NESTED.with_parameters({"extra": int_("extra", 0, 1, baseline=0), "layers": wider})
    assert space.names == (*NESTED.names, "extra")
    assert space["layers"] == wider
    assert NESTED["layers"].distribution.high == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [("learning_rat", " Did you mean 'learning_rate'?"), ("dropuot", " Did you mean 'dropout'?"), ("xyz", "")],
)
def test_nearest_names_a_close_name_or_nothing(name, said):
    assert nearest(name, ("learning_rate", "dropout")) == said


def test_nearest_prefers_the_name_that_has_all_words():
    assert nearest("val_f1", ("val_r2", "val_macro_f1")) == " Did you mean 'val_macro_f1'?"


def test_ranges_read_as_a_reader_writes_them():
    texts = {p.name: p.range_text() for p in NESTED}
    assert texts == {
        "model": "linear | mlp",
        "layers": "1 .. 3",
        "norm": "none | batch | group",
        "groups": "2 .. 5",
        "rate": "0.0001 .. 1 (log)",
    }
    assert category("b", (False, True), baseline=False).range_text() == "off | on"
    assert Parameter("x", FloatDistribution(0, 1, step=0.25), 0).range_text() == "0 .. 1, step 0.25"


@given(drawn_spaces())
def test_corners_reach_both_ends_of_every_parameter_that_can_be_active(space):
    corners = list(space.corners())
    for corner in corners:
        assert space.validate(corner) == corner  # drawn baselines lie inside
    for p in space:
        d = p.distribution
        ends = set(d.choices) if hasattr(d, "choices") else {d.low, d.high}
        assert {c[p.name] for c in corners if p.name in c} >= ends


def test_corners_of_a_space_leave_out_parameters_that_no_point_has():
    narrow = NESTED.with_parameters({"model": category("model", ("linear",), baseline="linear")})
    assert [sorted(c) for c in narrow.corners()] == [["model", "rate"]] * 3


@given(drawn_spaces())
def test_pairs_of_values_are_points_of_the_space(space):
    for point in space.pairs():
        assert space.validate(point) == point


def test_pairs_take_every_two_choices_and_ends_together():
    found = {tuple(point.get(n) for n in ("model", "layers", "norm", "groups")) for point in NESTED.pairs()}
    assert found >= {("mlp", layers, norm, None) for layers in (1, 3) for norm in ("none", "batch")}
    assert found >= {("mlp", layers, "group", groups) for layers in (1, 3) for groups in (2, 5)}
    assert ("linear", None, None, None) in found
    flat = Space(
        (category("a", (1, 2), baseline=1), category("b", ("x", "y"), baseline="x"), float_("c", 0, 1, baseline=0))
    )
    assert [tuple(point.values()) for point in flat.pairs()] == [(a, b, 0) for a in (1, 2) for b in ("x", "y")]
