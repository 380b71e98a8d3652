"""What a recorded study may go on as, and what is another search."""

import sqlite3
import sys

import pytest

from search.declaration.studies import find
from search.declaration.study import Difference, Study, differences
from search.drive.continuation import EXTENDABLE, MAY_CHANGE, continue_as, is_recorded
from search.drive.engine import conduct, resume
from search.drive.examples import load_data
from search.drive.model_identity import model_change, model_of
from search.drive.versions import versions
from search.errors import RunError, UsageError
from search.face.live_view import Silent
from search.ledger import Ledger, sqlite_url
from search.ledger.events import EventKind
from search.ledger.paths import Paths
from spaces import category
from tests.search.executors.conftest import make_study
from tests.support.facts import FACTS

RECORDED = find("regularization").model_copy(update={"name": "s"})


def changed(**values):
    """Return the recorded study with some fields of some of its parts replaced."""
    data = RECORDED.model_dump()
    for name, value in values.items():
        data[name] = {**data[name], **value} if isinstance(value, dict) else value
    return Study.model_validate(data)


ANOTHER = [
    ({"sampler": "random"}, "sampler: tpe -> random (--sampler)"),
    ({"warm_start": "before:3"}, "warm_start: None -> before:3 (--from)"),
    ({"seed": 1}, "seed: 0 -> 1 (--seed)"),
    ({"trainable": "tests.contracts.faulty:Looped"}, "trainable: mlp -> tests.contracts.faulty:Looped"),
    ({"data": {"name": "mnist"}}, "data.name: digits -> mnist (--dataset)"),
    ({"data": {"train_examples": 500}}, "data.train_examples: None -> 500 (--train-examples)"),
    ({"data": {"seed": 1}}, "data.seed: 0 -> 1"),
    ({"settings": {"hidden": "8"}}, "settings.hidden: 64-32 -> 8"),
    ({"scheduler": {"grace": 4}}, "scheduler.grace: 3 -> 4 (--grace)"),
    ({"objective": {"metric": "train_loss"}}, "objective.metric: val_loss -> train_loss (--objective)"),
    (
        {"further": [{"metric": "parameters", "mode": "min"}]},
        "further: [] -> [{'metric': 'parameters', 'mode': 'min'}] (--objective)",
    ),
    ({"metrics": ["val_macro_f1"]}, "metrics: [] -> ['val_macro_f1'] (--metric)"),
    ({"balanced": "schedule"}, "balanced: None -> schedule"),
    ({"lanes": {"lanes": 4}}, "lanes.lanes: None -> 4 (--lanes)"),
    ({"lanes": {"precision": "bf16"}}, "lanes.precision: fp32 -> bf16 (--precision)"),
]
EXTENDS = [
    ({"budget": {"trials": 65}}, "budget.trials: 64 -> 65 (--trials)"),
    ({"budget": {"max_epochs": 31}}, "budget.max_epochs: 30 -> 31 (--max-epochs)"),
    ({"budget": {"time_s": 60}}, "budget.time_s: None -> 60.0 (--time-budget)"),
    ({"space": RECORDED.space.with_parameters({"l1": category("l1", (True,), baseline=True)})}, "space.l1.baseline: "),
]
FREE = [
    {"question": "another wording"},
    {"presets": {"digits": {"hidden": "8"}}},
    {"data": {"data_dir": "/elsewhere"}},
    {"data": {"download": True}},
    {"executor": "tune"},
    {"resources": {"workers": 3, "cpus_per_trial": 2.0, "address": "auto"}},
    {"faults": {"max_failures": 0, "trial_timeout_s": 5.0}},
    {"tracking": {"enabled": False}},
    {"ledger": "postgresql+psycopg://u@h/n"},
    {"shown": ["schedule"]},
    {"keep_checkpoints": 0},
    {"confirm": {"pairs": 7}},
    {"checkpoint_every_s": 1.0},
]


def refused(given):
    with pytest.raises(UsageError) as caught:
        continue_as(RECORDED, given)
    assert caught.value.exit_code == 2
    return caught.value.errors


@pytest.mark.parametrize(("values", "difference"), ANOTHER, ids=[text for _, text in ANOTHER])
def test_what_would_change_the_results_is_refused_with_its_difference(values, difference):
    (line,) = refused(changed(**values))
    assert line.startswith(f"--resume s: {difference} is another search than the one recorded; give the options")


@pytest.mark.parametrize(("values", "difference"), EXTENDS, ids=[text for _, text in EXTENDS])
def test_what_extend_can_change_is_refused_and_extend_is_named(values, difference):
    lines = refused(changed(**values))
    assert lines[0].startswith(f"--resume s: {difference}") and " is another search than the one " in lines[0]
    assert all(line.endswith("; `python -m search extend s` can change it") for line in lines)


def test_every_difference_is_shown_at_once():
    lines = refused(changed(seed=5, sampler="gp", budget={"trials": 5}, faults={"max_failures": 1}))
    assert [line.split()[2] for line in lines] == ["budget.trials:", "sampler:", "seed:"]


@pytest.mark.parametrize("values", FREE, ids=[",".join(v) for v in FREE])
def test_what_changes_no_result_may_change(values):
    given = changed(**values)
    assert differences(RECORDED, given)
    assert continue_as(RECORDED, given) is given


def test_every_field_of_a_study_may_change_on_a_resume_or_is_refused():
    """A new field is refused until somebody has thought about it; here is where."""
    tried = [*(values for values, _ in [*ANOTHER, *EXTENDS]), *FREE]
    both = {"kind", "name", "refits"}  # refits cannot be without a balanced parameter, which is refused
    both |= {"curve"}  # it needs a whole-number parameter: below
    assert {name for values in tried for name in values} | both == set(Study.model_fields)
    assert {name.partition(".")[0] for name in (*MAY_CHANGE, *EXTENDABLE)} <= set(Study.model_fields)


def test_what_the_answer_compares_may_change():
    recorded = find("schedules").model_copy(update={"name": "s"})
    given = Study.model_validate({**recorded.model_dump(), "curve": "patience"})
    assert differences(recorded, given) == [Difference("curve", None, "patience")]
    assert continue_as(recorded, given) is given


def test_what_a_parameter_means_may_be_worded_anew():
    data = RECORDED.model_dump(mode="json")
    data["space"]["dropout"]["help"] = "other words"
    given = Study.model_validate(data)
    assert continue_as(RECORDED, given) is given


def test_a_study_is_recorded_once_its_ledger_holds_it(tmp_path):
    paths = Paths(tmp_path, "s")
    assert not is_recorded(paths)
    paths.folder.mkdir()
    assert not is_recorded(paths)
    paths.ledger_file.touch()
    assert not is_recorded(paths), "killed as it was being made"
    with Ledger(paths.ledger_url, create=True) as ledger:
        assert not is_recorded(paths)
        ledger.create_study("s", {}, fingerprint="", facts=FACTS)
        assert is_recorded(paths)
        assert not is_recorded(Paths(tmp_path, "s", sqlite_url(tmp_path / "elsewhere.db")))
        assert is_recorded(Paths(tmp_path / "moved", "s", paths.ledger_url))


def test_a_ledger_that_is_damaged_is_not_taken_for_none(tmp_path):
    paths = Paths(tmp_path, "s")
    paths.folder.mkdir()
    paths.ledger_file.write_bytes(b"no database" * 100)
    with pytest.raises(RunError, match="cannot be opened"):
        is_recorded(paths)


def test_a_study_that_was_killed_before_it_was_recorded_is_begun_in_its_folder(tmp_path):
    (tmp_path / "home" / "here").mkdir(parents=True)
    study = make_study(tmp_path, "Hungry", executor="lanes", lanes={"lanes": 2, "mode": "looped"})
    assert conduct(study, tmp_path / "home", load_data, view=Silent()).ending == "done"


def test_the_identity_of_a_built_in_model_is_the_version_of_lanewise():
    assert model_of("mlp") == {"trainable": "mlp", "lanewise": versions()["lanewise"]}
    assert model_change(model_of("mlp"), model_of("mlp")) is None
    change = model_change({"trainable": "mlp", "lanewise": "0.0.1"}, model_of("mlp"))
    assert change == f"mlp of Lanewise 0.0.1 when the study began, mlp of Lanewise {versions()['lanewise']} now"


SOURCE = """
from tests.support.scripted import Hungry

class Mine(Hungry):
    pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A finished study of a model in a file of the user's own, and that file."""
    file = tmp_path / "modules" / "lanewise_own_model.py"
    file.parent.mkdir()
    file.write_text(SOURCE)
    monkeypatch.syspath_prepend(str(file.parent))
    monkeypatch.delitem(sys.modules, file.stem, raising=False)  # another test's, of another folder
    study = make_study(tmp_path, trainable="Hungry", executor="lanes", lanes={"lanes": 2, "mode": "looped"})
    study = Study.model_validate({**study.model_dump(), "trainable": "lanewise_own_model:Mine"})
    conduct(study, tmp_path / "home", load_data, view=Silent())
    return Paths(tmp_path / "home", "here"), file


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_a_model_that_was_edited_is_refused_with_what_it_was_and_is(own):
    paths, file = own
    before = model_of("lanewise_own_model:Mine")["sha256"]
    resume(paths, view=Silent(), load=load_data)
    file.write_text(SOURCE + "# edited\n")
    after = model_of("lanewise_own_model:Mine")["sha256"]
    with pytest.raises(RunError) as caught:
        resume(paths, view=Silent(), load=load_data)
    assert str(caught.value) == (
        f"the model of here is not what it was: lanewise_own_model:Mine of {file} with sha256 {before[:16]} when the "
        f"study began, lanewise_own_model:Mine of {file} with sha256 {after[:16]} now; a resume would mix two models; "
        "put the old one back, or go on with --accept-changed-model"
    )


def test_a_changed_model_that_is_accepted_is_recorded_and_is_the_model_from_then_on(own):
    paths, file = own
    file.write_text(SOURCE + "# edited\n")
    heard = Heard()
    resume(paths, view=heard, load=load_data, accept_changed_model=True)
    with Ledger(paths.ledger_url) as ledger:
        (line,) = [e.message for e in ledger.events(ledger.study("here").id, EventKind.MODEL_CHANGED)]
    assert line in heard.lines
    assert "the model is not what it was" in line and line.endswith("as was accepted")
    again = Heard()
    resume(paths, view=again, load=load_data)
    assert not any("model" in text for text in again.lines)


def test_a_model_whose_file_only_moved_is_the_same(own):
    before = model_of("lanewise_own_model:Mine")
    assert model_change({**before, "file": "/elsewhere/lanewise_own_model.py"}, before) is None


def test_other_versions_are_said_and_the_search_goes_on(own):
    paths, _ = own
    with sqlite3.connect(paths.ledger_file) as connection:
        connection.execute('update studies set versions = replace(versions, \'"torch": "\', \'"torch": "0.\')')
    connection.close()
    heard = Heard()
    resume(paths, view=heard, load=load_data)
    torch = versions()["torch"]
    with Ledger(paths.ledger_url) as ledger:
        (line,) = [e.message for e in ledger.events(ledger.study("here").id, EventKind.VERSIONS_CHANGED)]
    assert line.startswith(f"since the study began: torch 0.{torch} -> {torch}; it goes on, but equality bit for bit")
    assert line in heard.lines
