"""Parameters and settings that nothing reads are told before a search, with what was probably meant."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.api import declare
from search.declaration.unread import judge_unread
from trainables.notice import TryOut
from trainables.user_model import TRAINING_PARAMETERS

MODEL = "tests.trainables.user_models:small"
WIDTH = {"width": {"type": "int", "low": 4, "high": 8, "baseline": 4}}


@given(st.sampled_from(sorted(n for n in TRAINING_PARAMETERS if len(n) > 6)), st.data())
@settings(max_examples=40, deadline=None)
def test_a_misspelt_name_is_an_error_with_the_right_one(name, data):
    at = data.draw(st.integers(1, len(name) - 2))
    wrong = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    if wrong in TRAINING_PARAMETERS:
        return
    study = declare("own", model=MODEL, space=WIDTH, settings={wrong: 1})
    found = judge_unread(study, TryOut(unread=(wrong,), sought=("drop",)))
    (line,) = found.errors
    assert line.startswith(f"settings.{wrong} is read by nothing, neither by the training loop nor by {MODEL}")
    assert f"Did you mean {name!r}?" in line and "which looks for drop" in line


@pytest.mark.parametrize(
    ("name", "meant"),
    [("epochs", "budget.max_epochs"), ("lr", "learning_rate"), ("batchsize", "batch_size"), ("scheduler", "schedule")],
)
def test_what_it_is_called_elsewhere_is_known(name, meant):
    study = declare("own", model=MODEL, space={**WIDTH, name: {**WIDTH["width"]}})
    (line,) = judge_unread(study, TryOut(unread=(name,))).errors
    assert line.startswith(f"space.{name} ") and f"Did you mean {meant!r}?" in line


def test_what_a_registered_study_brings_along_is_a_warning_and_can_be_fixed():
    study = declare("regularization", model=MODEL)
    found = judge_unread(study, TryOut(unread=("batch_norm", "dropout", "hidden")))
    assert found.errors == ()
    assert [(n.names, n.warning) for n in found.notices] == [(("batch_norm", "dropout"), True), (("hidden",), False)]
    assert "fix each, as --set batch_norm=false" in found.notices[0].text
    fixed = declare("regularization", model=MODEL, set={"batch_norm": False, "dropout": 0.0})
    found = judge_unread(fixed, TryOut(unread=("batch_norm", "dropout")))
    assert found.errors == () and [n.warning for n in found.notices] == [False]
    changed = declare("regularization", model=MODEL, set={"dropout": {"high": 0.3}})
    assert len(judge_unread(changed, TryOut(unread=("dropout",))).errors) == 1
