"""Any file given as ``--space`` makes a study, or is refused in lines that each say one thing; never a traceback."""

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.declaration.options import Options
from search.declaration.study import Study
from search.drive.preflight import resolve
from search.errors import UsageError
from tests.fuzz.damage import damages
from tests.fuzz.nested import changed

WHOLE = {
    "dropout": {"low": 0.1, "high": 0.4},
    "weight_decay": {"low": 1e-5, "high": 1e-2, "log": True},
    "learning_rate": 1e-3,
    "schedule": {"choices": ["none", "cosine", "step"]},
    "batch_size": {"type": "int", "low": 16, "high": 64, "step": 16, "baseline": 32, "help": "examples at once"},
    "step_gamma": {"type": "float", "low": 0.1, "high": 0.9, "baseline": 0.5, "when": {"schedule": ["step"]}},
    "optimizer": {"type": "category", "choices": ["adamw", "sgd"], "baseline": "adamw"},
    "hidden": {"choices": ["64", "128-64"]},
}
"""Every form that a change may have."""

FIELDS = ("type", "low", "high", "log", "step", "choices", "baseline", "when", "help", "value")
NAMES = st.sampled_from([*WHOLE, *FIELDS, "", "a\nb", "x.y", "\u2028"])
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.sampled_from([2**62, -(2**63), 2**63, 10**400, 1e308, 5e-324, -1e308, 0.1, 1e-3])
    | st.sampled_from(["", "float", "int", "category", "none", "on", "step", "64", "a\nb", "\0", "1e999", "\x85"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
MARKS = ":-[]{}&*!<>|'\"#%@,?\n \t\\0.1e~\x00\ufeff\u2028"


def changed_data():
    """Return the whole file with some places replaced, removed or renamed, as YAML."""
    data = changed(st.just(WHOLE), odd=ODD, names=NAMES)
    return data.map(lambda found: yaml.safe_dump(found, sort_keys=False, allow_unicode=True).encode())


@st.composite
def changed_bytes(draw):
    """Return the whole file as damaged bytes."""
    return draw(damages())(yaml.safe_dump(WHOLE, sort_keys=False).encode())


ANY_FILE = st.one_of(
    changed_data(),
    changed_bytes(),
    ODD.map(lambda data: yaml.safe_dump(data).encode()),
    st.text(MARKS, max_size=60).map(str.encode),
    st.binary(max_size=60),
)


def check(folder, data):
    file = folder / "space.yaml"
    file.write_bytes(data)
    try:
        study = resolve(Options("regularization", home=folder / "home", space=file))
    except UsageError as error:
        assert error.errors
        assert all(line and line.isprintable() for line in error.errors), error.errors
    else:
        assert Study.model_validate(study.model_dump(mode="json")) == study, "it can be recorded and read again"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("space")


def test_the_whole_file_is_a_study(folder):
    file = folder / "whole.yaml"
    file.write_text(yaml.safe_dump(WHOLE))
    study = resolve(Options("regularization", home=folder / "home", space=file))
    assert set(WHOLE) - {"learning_rate"} <= set(study.space.names)


SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@settings(max_examples=60, suppress_health_check=SLOW)
@given(ANY_FILE)
def test_any_file_is_a_study_or_lines_that_say_why_not(folder, data):
    check(folder, data)


@pytest.mark.slow
@settings(max_examples=1500, suppress_health_check=SLOW)
@given(ANY_FILE)
def test_many_files_are_studies_or_lines_that_say_why_not(folder, data):
    check(folder, data)
