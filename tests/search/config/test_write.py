import dataclasses

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from search.declaration import read_study, study_yaml
from search.declaration.studies import registered
from search.declaration.study import Study
from spaces import Space, apply_overrides, category
from tests.search.conftest import make_study
from tests.spaces.drawn import drawn_spaces

STUDIES = registered()


def again(study, tmp_path):
    """Write a study, read it, and return what was read."""
    file = tmp_path / "study.yaml"
    file.write_text(study_yaml(study), encoding="utf-8")
    declared, errors = read_study(file)
    assert errors == []
    return declared.study


@pytest.mark.parametrize("kind", STUDIES)
def test_every_registered_study_reads_back_as_it_was(tmp_path, kind):
    study = again(STUDIES[kind], tmp_path)
    assert study == STUDIES[kind]
    assert study.model_dump_json() == STUDIES[kind].model_dump_json()  # 0.0 is not 0: a trial's hash tells them apart


@pytest.mark.parametrize("kind", STUDIES)
def test_the_comments_say_what_may_stand_there(kind):
    text = study_yaml(STUDIES[kind])
    for line in (
        f"  trials: {STUDIES[kind].budget.trials}                        # a whole number >= 1",
        "  time_s: null                      # a number > 0 or null",
        "executor: auto                      # auto, tune or lanes",
        "seed: 0                             # a whole number >= 0 and < 4294967296",
        "  address: null                     # a word or null",
    ):
        assert line in text.splitlines()
    assert "\nname:" not in text
    assert all(len(line) < 200 for line in text.splitlines())


def test_a_changed_study_is_written_whole(tmp_path):
    base = STUDIES["regularization"]
    space, settings = apply_overrides(
        base.space,
        base.settings,
        {"dropout": 0.2, "hidden": {"choices": ["8", "16"]}, "schedule": {"choices": ["step"]}},
    )
    changes = {
        "name": "recorded",
        "space": space,
        "settings": settings,
        "data": dataclasses.asdict(dataclasses.replace(base.data, name="mnist", data_dir="/data")),
        "lanes": {"lanes": 3},
        "objective": {"metric": "val_accuracy", "mode": "min"},
        "metrics": ("val_macro_f1",),
    }
    study = Study.model_validate({**base.model_dump(), **changes})
    assert again(study, tmp_path) == study.model_copy(update={"name": ""})


def test_a_registered_study_may_have_lost_what_it_declares_now(tmp_path):
    base = STUDIES["regularization"]
    study = Study.model_validate({**base.model_dump(), "settings": {}, "presets": {}, "kind": "regularization"})
    assert again(study, tmp_path) == study


def test_a_password_is_not_written(tmp_path):
    url = "postgresql+psycopg://user:secret@host:5432/name"
    text = study_yaml(make_study(ledger=url, kind="loose"))
    assert "secret" not in text
    assert yaml.safe_load(text)["ledger"] == "postgresql+psycopg://user@host:5432/name"
    assert "PGPASSWORD" in text
    assert "PGPASSWORD" not in study_yaml(make_study(ledger="postgresql+psycopg://user@host/name"))


WORDS = st.text(max_size=12) | st.sampled_from(
    ["on", "off", "yes", "null", "~", "1e-4", "0x1f", "0o7", "1_0", "1:30", "2024-01-01", ".5", "-", "<<", "=", "a: b"]
)
VALUES = WORDS | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(VALUES, min_size=1, max_size=4), st.dictionaries(WORDS, VALUES, max_size=3), WORDS)
def test_any_word_or_number_comes_back_as_it_was(tmp_path_factory, choices, settings, question):
    choices = [c for i, c in enumerate(choices) if c not in choices[:i]]
    space = Space((category("x", choices, baseline=choices[0], help=question),))
    study = make_study(space, settings=settings, question=question)
    found = again(study, tmp_path_factory.getbasetemp())
    assert found.model_dump(mode="json") == {**study.model_dump(mode="json"), "name": ""}
    for one, other in zip(found.space["x"].distribution.choices, choices, strict=True):
        assert (type(one), one) == (type(other), other)


@given(drawn_spaces())
def test_any_space_comes_back_as_it_was(tmp_path_factory, space):
    study = make_study(space)
    assert again(study, tmp_path_factory.getbasetemp()).space == space
