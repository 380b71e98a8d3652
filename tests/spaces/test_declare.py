import pytest

from spaces import Space, SpaceError
from spaces.located_yaml import load_yaml

WHOLE = {
    "schedule": {"type": "category", "choices": ["none", "step"], "baseline": "none"},
    "dropout": {"type": "float", "low": 0, "high": 0.5, "baseline": 0},
}


def errors_of(**parameters):
    with pytest.raises(SpaceError) as caught:
        Space.from_dict({**WHOLE, **parameters})
    return caught.value.errors


def number(**fields):
    return {"type": "float", "low": 0, "high": 1, "baseline": 0, **fields}


def whole(**fields):
    return {"type": "int", "low": 0, "high": 10, "baseline": 0, **fields}


def words(**fields):
    return {"type": "category", "choices": ["a", "b"], "baseline": "a", **fields}


def without(fields, *names):
    return {n: v for n, v in fields.items() if n not in names}


BAD = [
    (3, "space.x must be a mapping with type, baseline and a range, got 3"),
    ({}, "space.x.type is missing: float, int, category"),
    (number(type="flaot"), "space.x.type must be one of float, int, category, got 'flaot'. Did you mean 'float'?"),
    (number(type=["float"]), "space.x.type must be one of float, int, category, got ['float']."),
    (number(hihg=2), "space.x.hihg is unknown. Did you mean 'high'? Known for a float: low, high, log, step, type"),
    (words(low=1), "space.x.low is unknown. Known for a category: choices, type, baseline, when, help"),
    (without(number(), "low"), "space.x.low is missing"),
    (number(low="a"), "space.x.low must be a number, got 'a'"),
    (number(low=True), "space.x.low must be a number, got true"),
    (number(high=None), "space.x.high must be a number, got nothing"),
    (number(high=float("inf")), "space.x.high must be a number, got inf"),
    (whole(high=10**40), "space.x.high must be a number, got 1000"),
    (whole(low=0.5), "space.x.low must be a whole number, got 0.5"),
    (number(low=2), "space.x.low must be at most high, got 2 and 1"),
    (number(log=True), "space.x.low must be > 0 for a log range, got 0"),
    (number(log="yes"), "space.x.log must be true or false, got 'yes'"),
    (number(low=0.1, log=True, step=0.1), "space.x.step and log exclude each other"),
    (number(step=0), "space.x.step must be > 0, got 0"),
    (number(step=0.3), "space.x.step must divide high - low, got 0.3 for 0 to 1"),
    (whole(step=2.5), "space.x.step must be a whole number, got 2.5"),
    (without(number(), "baseline"), "space.x.baseline is missing: the value of the untuned model, trial 0"),
    (number(baseline="a"), "space.x.baseline must be a number, got 'a'"),
    (whole(baseline=1.5), "space.x.baseline must be a whole number, got 1.5"),
    (words(baseline=[1]), "space.x.baseline must be a number, a word, true or false, got [1]"),
    (without(words(), "choices"), "space.x.choices must be a list of at least one value; it is missing"),
    (words(choices=[]), "space.x.choices must be a list of at least one value, got []"),
    (words(choices="ab"), "space.x.choices must be a list of at least one value, got 'ab'"),
    (words(choices=["a", None]), "space.x.choices must be numbers, words, true or false, got nothing"),
    (words(choices=[1, True]), "space.x.choices has true twice"),
    (number(help=3), "space.x.help must be words, got 3"),
    (number(when="schedule"), "space.x.when must name one parameter and its values, such as {schedule: [step]}"),
    (number(when={"a": 1, "b": 2}), "space.x.when must name one parameter and its values, such as {schedule: [step]}"),
    (number(when={"schedule": []}), "space.x.when must be values of 'schedule', got []"),
    (number(when={"schedule": [None]}), "space.x.when must be values of 'schedule', got [None]"),
    (number(when={"schedul": "step"}), "space: 'x' depends on 'schedul', which must be declared before it"),
    (number(when={"dropout": 0.1}), "space: 'x' depends on 'dropout', which is no category"),
]


@pytest.mark.parametrize(("fields", "start"), BAD, ids=[start for _, start in BAD])
def test_a_wrong_parameter_gets_its_one_line(fields, start):
    (line,) = errors_of(x=fields)
    assert line.startswith(start)


def test_every_mistake_of_a_space_is_named_at_once():
    errors = errors_of(x=number(low="a", hihg=1), y=words(choices=[]), z={"type": "int"})
    assert [e.split(" ")[0] for e in errors] == [
        *("space.x.hihg", "space.x.low", "space.y.choices", "space.z.low", "space.z.high", "space.z.baseline"),
    ]


@pytest.mark.parametrize("data", [None, 3, "dropout", ["dropout"]])
def test_declaring_a_space_that_is_no_mapping_is_refused(data):
    with pytest.raises(SpaceError, match="space must be a mapping of parameters, got"):
        Space.from_dict(data)


def test_a_space_may_be_written_shorter_than_the_ledger_writes_it():
    text = """
    schedule: {type: category, choices: [none, step], baseline: none}
    rate: {type: float, low: 1e-4, high: 1, log: true, baseline: 0}
    size: {type: int, low: 2, high: 10, step: 2, baseline: 4.0, when: {schedule: step}}
    """
    space = Space.from_dict(load_yaml(text).data)
    assert space.to_dict() == {
        "schedule": {"type": "category", "choices": ["none", "step"], "baseline": "none"},
        "rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True, "baseline": 0.0},
        "size": {"type": "int", "low": 2, "high": 10, "step": 2, "baseline": 4, "when": {"schedule": ["step"]}},
    }
    assert isinstance(space["rate"].baseline, float)
    assert isinstance(space["size"].baseline, int)
