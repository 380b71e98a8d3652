import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from spaces import Space, SpaceError, apply_overrides, category, merge_changes, parse_assignments, read_overrides
from spaces.regularization import SPACE

SETTINGS = {"hidden": "64-32", "batch_size": 64, "momentum": 0.9}
KNOWN = ", ".join((*SPACE.names, *SETTINGS))


def overridden(*assignments):
    return apply_overrides(SPACE, SETTINGS, parse_assignments(assignments))


def errors_of(*assignments):
    with pytest.raises(SpaceError) as caught:
        overridden(*assignments)
    return caught.value.errors


BAD = {
    "dropuot=0.1": f"unknown parameter 'dropuot'. Did you mean 'dropout'? Known: {KNOWN}",
    "zzz=1": f"unknown parameter 'zzz'. Known: {KNOWN}",
    "dropout.low=0.7": "dropout: low 0.7 must be below high 0.6; to fix it use dropout=0.7",
    "dropout.high=0": "dropout: low 0 must be below high 0; to fix it use dropout=0",
    "learning_rate.low=0": "learning_rate: a log range needs low > 0, got 0",
    "weight_decay.low=-1": "weight_decay: a log range needs low > 0, got -1",
    "dropout.log=true": "dropout: a log range needs low > 0, got 0",
    "schedule.choices=": "schedule.choices: empty; allowed: none | step | cosine | plateau",
    "schedule.choices=,": "schedule.choices: empty; allowed: none | step | cosine | plateau",
    "dropout.choices=": "dropout.choices: empty; give at least one number",
    "dropout.choices=0.1,many": "dropout.choices: expected numbers only, got ['many']",
    "step_size.choices=2,2.5": "step_size.choices: expected whole numbers only, got [2.5]",
    "schedule.choices=step,cosin": "schedule.choices: 'cosin' is unknown; allowed: none | step | cosine | plateau",
    "schedule=cosin": "schedule='cosin': allowed: none | step | cosine | plateau",
    "schedule.low=1": "schedule is a category: use schedule.choices=a,b or schedule=VALUE",
    "dropout=a lot": "dropout='a lot': expected a number",
    "dropout=": "dropout='': expected a number",
    "dropout=nan": "dropout=nan: expected a number",
    "dropout.high=inf": "dropout.high=inf: expected a number",
    "dropout.low=true": "dropout.low=True: expected a number",
    "dropout.log=maybe": "dropout.log='maybe': expected true or false",
    "step_size=2.5": "step_size=2.5: expected a whole number",
    "step_size.low=2.5": "step_size.low=2.5: expected a whole number",
    "batch_size.low=1": "batch_size is a fixed setting: use batch_size=VALUE or batch_size.choices=a,b",
    "batch_size.choices=": "batch_size is a fixed setting: use batch_size=VALUE or batch_size.choices=a,b",
    "dropout": "--set 'dropout': expected PARAM=VALUE or PARAM.low=VALUE",
    "=0.1": "--set '=0.1': expected PARAM=VALUE or PARAM.low=VALUE",
    "dropout.hihg=0.1": "--set 'dropout.hihg=0.1': unknown field 'hihg'. Did you mean 'high'? "
    "Allowed: low, high, log, choices",
    "dropout.=0.1": "--set 'dropout.=0.1': unknown field ''. Allowed: low, high, log, choices",
}


@pytest.mark.parametrize("assignment", BAD)
def test_a_bad_assignment_gets_its_one_line(assignment):
    assert errors_of(assignment) == (BAD[assignment],)


def test_a_value_and_a_range_of_one_parameter_exclude_each_other():
    assert errors_of("dropout=0.1", "dropout.high=0.3") == ("dropout: a fixed value and a range exclude each other",)


def test_every_bad_assignment_is_named_at_once():
    applied = [a for a in BAD if not BAD[a].startswith("--set")]
    first_of_each = {a.partition("=")[0].partition(".")[0]: a for a in applied}
    assert len(first_of_each) > 5
    assert errors_of(*first_of_each.values()) == tuple(BAD[a] for a in first_of_each.values())
    unread = [a for a in BAD if BAD[a].startswith("--set")]
    assert errors_of(*unread) == tuple(BAD[a] for a in unread)


def test_no_override_changes_nothing():
    assert overridden() == (SPACE, SETTINGS)


def test_overriding_a_range_leaves_all_else_of_the_space():
    space, settings = overridden("dropout.low=0.1", "dropout.high=0.5", "step_size.high=20", "learning_rate.low=1e-5")
    assert space["dropout"].distribution == FloatDistribution(0.1, 0.5)
    assert space["step_size"].distribution == IntDistribution(2, 20)
    assert space["learning_rate"].distribution == FloatDistribution(1e-5, 1e-1, log=True)
    assert space["step_size"].when == SPACE["step_size"].when
    assert space.names == SPACE.names
    assert space.baseline == SPACE.baseline
    assert settings == SETTINGS


def test_an_override_can_switch_a_range_to_log_and_back():
    space, _ = overridden("weight_decay.log=false", "dropout.low=0.01", "dropout.log=true")
    assert space["weight_decay"].distribution == FloatDistribution(1e-6, 1e-1)
    assert space["dropout"].distribution == FloatDistribution(0.01, 0.6, log=True)


@given(st.floats(0, 10), st.floats(0, 10))
def test_a_range_is_accepted_exactly_where_low_is_below_high(low, high):
    changes = {"dropout": {"low": low, "high": high}}
    if low < high:
        space, _ = apply_overrides(SPACE, SETTINGS, changes)
        assert space["dropout"].distribution == FloatDistribution(low, high)
    else:
        with pytest.raises(SpaceError, match="must be below high"):
            apply_overrides(SPACE, SETTINGS, changes)


def test_fixing_a_parameter_makes_the_value_its_only_choice_and_its_baseline():
    space, _ = overridden("learning_rate=1e-2", "schedule=step", "batch_norm=true", "dropout=0")
    assert space["learning_rate"].distribution == CategoricalDistribution((0.01,))
    assert space.baseline == {
        "learning_rate": 0.01,
        "dropout": 0.0,
        "weight_decay": 0.0,
        "l1": "off",
        "batch_norm": True,
        "schedule": "step",
        "step_size": 5,
        "step_gamma": 0.5,
    }
    assert isinstance(space.baseline["dropout"], float)


@pytest.mark.parametrize("text", ["4", "4.0", "4e0"])
def test_a_whole_number_stays_one_however_it_is_written(text):
    space, _ = overridden(f"step_size={text}", f"plateau_patience.choices=1,{text}", "schedule=step")
    assert json.dumps(space.baseline["step_size"]) == "4"
    assert json.dumps(list(space["plateau_patience"].distribution.choices)) == "[1, 4]"


def test_choices_narrow_a_category_and_turn_a_range_into_one():
    space, _ = overridden("schedule.choices=step,cosine", "dropout.choices=0,0.25,0.5")
    assert space["schedule"].distribution == CategoricalDistribution(("step", "cosine"))
    assert space["dropout"].distribution == CategoricalDistribution((0.0, 0.25, 0.5))
    assert space.baseline["schedule"] == "none"  # trial 0 stays the untuned model


def test_on_and_off_mean_a_word_where_the_choices_are_words():
    # the choices of l1 are the words, those of batch_norm true and false
    for assignment, value in (("l1=on", "on"), ("l1=off", "off"), ("batch_norm=on", True), ("batch_norm=off", False)):
        space, _ = overridden(assignment)
        name = assignment.partition("=")[0]
        assert space.baseline[name] == value
    space, _ = overridden("l1.choices=on,off")
    assert space["l1"].distribution == CategoricalDistribution(("on", "off"))
    space, _ = apply_overrides(SPACE, SETTINGS, read_overrides("l1: on", source="f"))
    assert space.baseline["l1"] == "on"


def test_a_setting_is_changed_or_moved_into_the_space():
    space, settings = overridden("hidden=128-64", "batch_size.choices=32,64,128", "momentum=0.5")
    assert settings == {"hidden": "128-64", "momentum": 0.5}
    assert space["batch_size"].distribution == CategoricalDistribution((32, 64, 128))
    assert space.baseline["batch_size"] == 64
    moved, _ = overridden("batch_size.choices=32,128")
    assert moved.baseline["batch_size"] == 32


def test_on_and_off_are_of_the_kind_that_a_setting_is():
    settings = {"cache": "auto", "download": False, "batch_size": 64}

    def changed(changes):
        return apply_overrides(SPACE, settings, changes)

    assert changed(parse_assignments(["cache=off", "download=on"]))[1] == {**settings, "cache": "off", "download": True}
    assert changed(read_overrides("{cache: off, download: on}", source="f"))[1]["download"] is True
    assert changed(parse_assignments(["batch_size=on"]))[1]["batch_size"] is True  # refused by whoever reads it
    space, left = changed(parse_assignments(["cache.choices=off,auto", "download.choices=on,off"]))
    assert space["cache"].distribution == CategoricalDistribution(("off", "auto"))
    assert space["download"].distribution == CategoricalDistribution((True, False))
    assert left == {"batch_size": 64}


def test_a_number_means_a_word_where_the_choices_are_words():
    widths = Space((category("hidden", ("16", "64-32"), baseline="64-32"),))
    for text, choices in (("hidden=16", ("16",)), ("hidden.choices=16,64-32", ("16", "64-32"))):
        space, _ = apply_overrides(widths, {}, parse_assignments([text]))
        assert space["hidden"].distribution == CategoricalDistribution(choices)


def test_null_and_none_in_an_assignment_are_words():
    assert parse_assignments(["schedule=none", "hidden=null"]) == {
        "schedule": {"value": "none"},
        "hidden": {"value": "null"},
    }


@pytest.mark.parametrize(
    "text", ["16", "010", "0x10", "1.5", "1e-4", "true", "off", "64-32", "1:30", "2024-01-01", "'5'", "[8, 16]"]
)
def test_a_value_is_read_in_an_assignment_as_in_a_file(text):
    (assigned,) = parse_assignments([f"x={text}"])["x"].values()
    written = read_overrides(f"x: {text}", source="f")["x"]
    assert (assigned, type(assigned)) == (written, type(written))


def test_an_assignment_may_be_a_number_as_python_writes_it():
    (assigned,) = parse_assignments(["x=1_000"])["x"].values()
    assert (assigned, type(assigned)) == (1000, int)


def test_yes_and_no_mean_true_and_false_where_the_choices_are_those():
    for assignment, value in (("batch_norm=yes", True), ("batch_norm=no", False)):
        assert overridden(assignment)[0].baseline["batch_norm"] is value


def test_of_two_assignments_of_a_parameter_the_later_wins():
    assert parse_assignments(["dropout=0.1", "dropout=0.2"]) == {"dropout": {"value": 0.2}}


def test_a_file_of_overrides_means_the_same_as_assignments():
    text = """
    dropout: {low: 0.1, high: 0.5}
    schedule: {choices: [step, cosine]}
    learning_rate: 1.0e-2
    batch_size: 32
    """
    assert apply_overrides(SPACE, SETTINGS, read_overrides(text, source="f.yaml")) == overridden(
        "dropout.low=0.1", "dropout.high=0.5", "schedule.choices=step,cosine", "learning_rate=1e-2", "batch_size=32"
    )
    assert read_overrides("", source="f.yaml") == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- dropout", "f.yaml: expected a mapping of parameter names, got list"),
        ("1: 2", "f.yaml line 1: a name must be a word, got '1'"),
        ("a: 1\nb: [1,", "f.yaml line 2: not valid YAML: expected the node content"),
        ("a: b: c", "f.yaml line 1: not valid YAML: mapping values are not allowed here"),
        ("a: \x00", "f.yaml line 1: not valid YAML: special characters are not allowed"),
        ("a: 1\nb: 2\na: 3", "f.yaml line 3: a is given twice; first in line 1"),
    ],
)
def test_a_damaged_file_of_overrides_is_refused_with_its_line(text, line):
    with pytest.raises(SpaceError) as caught:
        read_overrides(text, source="f.yaml")
    (error,) = caught.value.errors
    assert error.startswith(line)


def test_the_fields_of_overrides_in_a_file_are_checked():
    with pytest.raises(SpaceError) as caught:
        apply_overrides(
            SPACE,
            SETTINGS,
            {
                "dropout": {"hgih": 1},
                "schedule": {"choices": "step"},
                "batch_size": {"choices": "32"},
                "l1": {"value": "on", "choices": ["on"]},
            },
        )
    assert caught.value.errors == (
        "dropout: unknown field 'hgih'. Did you mean 'high'? Allowed: low, high, log, choices",
        "schedule.choices: empty; allowed: none | step | cosine | plateau",
        "batch_size is a fixed setting: use batch_size=VALUE or batch_size.choices=a,b",
        "l1: a fixed value and a range exclude each other",
    )


def test_merging_overrides_joins_the_ends_of_a_range_and_replaces_all_else():
    file = {"a": {"low": 1}, "b": {"low": 1}, "c": 3, "d": {"choices": [1]}, "e": 5}
    typed = {"a": {"high": 2, "log": True}, "b": {"value": 7}, "c": {"high": 2}, "d": {"low": 0}, "f": {"value": 1}}
    assert merge_changes(file, typed) == {
        "a": {"low": 1, "high": 2, "log": True},
        "b": {"value": 7},
        "c": {"high": 2},
        "d": {"low": 0},
        "e": 5,
        "f": {"value": 1},
    }
    assert file["a"] == {"low": 1}


def test_a_whole_declaration_replaces_a_parameter_or_adds_one():
    width = {"type": "int", "low": 4, "high": 32, "baseline": 8}
    hidden = {"type": "category", "choices": ["8", "16"], "baseline": "8"}
    space, settings = apply_overrides(SPACE, SETTINGS, {"width": width, "dropout": {**width}, "hidden": hidden})
    assert space["width"].distribution == space["dropout"].distribution == IntDistribution(4, 32)
    assert space.names == (*SPACE.names, "width", "hidden")
    assert "hidden" not in settings
    with pytest.raises(SpaceError, match=r"^width\.high is missing$"):
        apply_overrides(SPACE, SETTINGS, {"width": {"type": "int", "low": 4, "baseline": 8}})


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("schedule.choices=step,step", "schedule.choices: 'step' is given twice"),
        ("dropout.choices=0,0.0", "dropout.choices: 0.0 is given twice"),
        ("batch_size.choices=8,8", "batch_size.choices: 8 is given twice"),
        ("batch_size=[8, 16]", "batch_size: expected a number, a word, true or false, got [8, 16]"),
    ],
)
def test_an_override_that_a_record_of_the_study_could_not_hold_is_refused(assignment, line):
    with pytest.raises(SpaceError) as caught:
        overridden(assignment)
    assert caught.value.errors == (line,)


def test_on_and_off_mean_true_and_false_where_the_choices_are_those():
    changes = read_overrides("batch_norm: on", source="f")
    assert changes == {"batch_norm": "on"}
    assert apply_overrides(SPACE, SETTINGS, changes)[0].baseline["batch_norm"] is True
