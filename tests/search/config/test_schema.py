import copy

import jsonschema
import pytest

from search.declaration import read_study, study_schema, study_yaml
from search.declaration.fields import fields_of, meanings, names_at, part_of
from search.declaration.studies import registered
from search.declaration.study import Budget, Study
from spaces.located_yaml import load_yaml
from tests.search.config.test_read import BAD, OWN
from trainables.data import DataSpec

SCHEMA = study_schema()
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("kind", registered())
def test_every_registered_study_is_valid(kind):
    assert list(CHECK.iter_errors(load_yaml(study_yaml(registered()[kind])).data)) == []


VALID = [
    OWN,
    OWN + "model: mine.models:net",
    "kind: regularization",
    "kind: regularization\nset: {dropout: {high: 0.3}, schedule: cosine, l1: {choices: [on]}, batch_norm: true}",
    "kind: regularization\nset: {width: {type: int, low: 1, high: 8, baseline: 2}}",
    "kind: regularization\nlanes: {lanes: auto}\nbudget: {time_s: 5}\nresources: {workers: 2}",
]


@pytest.mark.parametrize("text", VALID)
def test_what_is_valid_is_valid_to_both(tmp_path, text):
    file = tmp_path / "study.yaml"
    file.write_text(text)
    if "width" not in text:  # which the mlp knows nothing of; an editor cannot tell
        assert read_study(file)[1] == []
    assert list(CHECK.iter_errors(load_yaml(text).data)) == []


BEYOND = (
    *(
        "is unknown. Did you mean 'wine'",
        "is not reported",
        "is unknown.\n",
        "'val_f2' is unknown",
        "unknown trainable",
    ),
    *("is above", "unknown setting", "batch_size must", "at most high", "must be declared before", "dropout must"),
    *("unknown parameter", "must be below", "is given twice", "not valid YAML", "is not allowed"),
)
"""What only the study itself can know: names of data and metrics, what two fields say together, YAML."""


@pytest.mark.parametrize(
    ("text", "line"), [(text, line) for text, line in BAD if not any(words in line for words in BEYOND)]
)
def test_what_is_broken_is_broken_to_an_editor(text, line):
    assert list(CHECK.iter_errors(load_yaml(text).data)), line


def test_most_mistakes_show_in_an_editor():
    seen = [line for _, line in BAD if not any(words in line for words in BEYOND)]
    assert len(seen) >= 25


def test_every_field_says_what_it_means():
    def objects():
        yield "Study", SCHEMA
        yield from SCHEMA["$defs"].items()

    undescribed = [
        f"{name}.{field}"
        for name, definition in objects()
        for field, rule in definition["properties"].items()
        if not rule.get("description") and f"{name}.{field}" not in SELF_EVIDENT
    ]
    assert undescribed == []
    assert all(definition["additionalProperties"] is False for _, definition in objects())


SELF_EVIDENT = {
    *("Study.data", "Study.objective", "Study.budget", "Study.sampler", "Study.scheduler", "Study.executor"),
    *("Study.resources", "Study.lanes", "Study.faults", "Study.tracking", "Study.seed"),
}
"""Parts, whose own description an editor shows, and words that say it all."""


def test_what_the_docstrings_say_of_the_fields_is_read():
    assert meanings(Budget)["trials"] == "number of trials, the baseline included."
    assert set(meanings(DataSpec)) == set(fields_of(DataSpec))
    assert meanings(Study)["kind"].startswith("the registered study it came from")


def test_the_fields_of_a_place_are_those_of_the_model():
    assert set(Study.model_fields) < set(names_at(()))
    assert {"set", "model"} <= set(names_at(()))
    assert names_at(("budget",)) == ("trials", "max_epochs", "time_s", "until_gain_below")
    assert "name" in names_at(("data",))
    assert names_at(("settings",)) == names_at(("space", "dropout")) == names_at(("nonsense",)) == ()
    assert names_at(("budget", "trials")) == ()
    assert part_of(Budget | None) is Budget
    assert part_of(tuple[Budget, ...]) is Budget
    assert part_of(dict[str, int]) is None


def test_the_schema_is_made_anew_each_time():
    first = study_schema()
    before = copy.deepcopy(first)
    first["properties"].clear()
    assert study_schema() == before
