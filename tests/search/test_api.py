"""Lanewise from Python, as the README shows it."""

import inspect
import subprocess
import sys
import threading

import pytest
from sklearn.datasets import load_digits

import search
from search import Budget, RunError, Study, StudyResult, UsageError, declare, load, load_model, run
from search.declaration.studies import find
from search.face.live_view import Silent
from search.ledger import Ledger, sqlite_url
from spaces import Space, category, float_, int_, when
from tests.trainables import user_models
from trainables.data import DataSpec
from trainables.data.parts import part_indices

QUIET = {"tracking": {"enabled": False}}
SMALL = {"budget": {"trials": 3, "max_epochs": 3}, "data": DataSpec("digits", train_examples=100), **QUIET}


def errors_of(call, *arguments, error=UsageError, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    return caught.value.errors


def test_a_registered_study_is_declared_with_changes():
    study = declare("regularization", budget={"trials": 5}, set={"dropout": {"high": 0.3}, "hidden": "16"}, seed=3)
    assert isinstance(study, Study)
    base = find("regularization")
    assert (study.budget.trials, study.budget.max_epochs, study.seed) == (5, base.budget.max_epochs, 3)
    assert study.space["dropout"].distribution.high == 0.3
    assert study.settings == {**base.settings, "hidden": "16"}
    assert declare("regularization") == base


def test_a_study_of_ones_own_is_declared_with_the_classes_or_with_plain_data():
    space = Space(
        (
            category("schedule", ("none", "step"), baseline="none"),
            int_("step_size", 2, 4, baseline=2, when=when("schedule", "step")),
            float_("dropout", 0, 0.5, baseline=0),
        )
    )
    one = declare(
        "mine", space=space, budget=Budget(trials=4, max_epochs=5), data=DataSpec("wine"), metrics=("val_roc_auc",)
    )
    other = declare(
        "mine",
        space=space.to_dict(),
        budget={"trials": 4, "max_epochs": 5},
        data={"name": "wine"},
        metrics=["val_roc_auc"],
    )
    assert (
        one
        == other
        == Study(
            kind="mine",
            space=space,
            budget=Budget(trials=4, max_epochs=5),
            data=DataSpec("wine"),
            metrics=("val_roc_auc",),
        )
    )


def test_a_model_is_named_or_given():
    path = "tests.trainables.user_models:small"
    assert declare("tabular", model=user_models.small).trainable == f"model:{path}"
    assert declare("tabular", model=path).trainable == f"model:{path}"
    assert declare("tabular", model=user_models.Noisy).trainable == "model:tests.trainables.user_models:Noisy"
    (line,) = errors_of(declare, "tabular", model=lambda *_: None)
    assert "another process must be able to find it; give a function of a module, or one of the script" in line
    here = dict(__name__="__main__")
    exec("def net(*_): pass", here)
    assert declare("tabular", model=here["net"]).trainable == "model:__main__:net"


def test_every_mistake_is_in_one_error():
    errors = errors_of(
        declare,
        "regularization",
        budget={"trials": 0, "trails": 1},
        sampler="tpee",
        set={"dropuot": 1},
        data=DataSpec("minst"),
        sead=3,
    )
    assert sorted(e.split(" ")[0] for e in errors) == sorted(
        ["budget.trials", "budget.trails", "sampler", "unknown", "data.name", "sead"]
    )
    (line,) = errors_of(declare, "regularisation")
    assert "Did you mean 'regularization'?" in line
    (line,) = errors_of(declare, "tabular", settings={"x": object})
    assert line.startswith("settings.x: a type is no plain data, got ")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def found(home):
    return run(declare("regularization", name="small", **SMALL), home=home)


def test_a_result_has_the_answer_the_frames_and_the_ledger(found, home):
    assert isinstance(found, StudyResult)
    assert (found.ending, found.untracked, found.study.name) == ("done", None, "small")
    assert found.answer.trials == 3
    assert found.best == found.answer.best.params == found.leaderboard["params"][0]
    assert set(found.trials["number"]) == {0, 1, 2}
    assert len(found.epochs) == found.answer.epochs_trained
    assert {"number", "epoch", "val_loss", "val_accuracy"} <= set(found.epochs.columns)
    assert found.ledger == str(home / "small" / "ledger.db")
    with Ledger(sqlite_url(home / "small" / "ledger.db")) as ledger:
        assert len(ledger.trials(ledger.study("small").id)) == 3


def test_nothing_is_printed_unless_it_is_asked_for(home, capfd):
    run(declare("tabular", name="quiet", **{**SMALL, "data": {"name": "iris"}}), home=home)
    assert capfd.readouterr() == ("", "")
    run(declare("tabular", name="loud", **{**SMALL, "data": {"name": "iris"}}), home=str(home), view=True)
    assert "searching loud: 3 trials on iris" in capfd.readouterr().out


def test_a_view_of_ones_own_hears_everything(home):
    class Heard(Silent):
        def __init__(self):
            self.said, self.seen = [], 0

        def say(self, text):
            self.said.append(text)

        def update(self, progress):
            self.seen = max(self.seen, progress.ended)

    view = Heard()
    run(declare("tabular", name="heard", **{**SMALL, "data": {"name": "iris"}}), home=home, view=view)
    assert view.said[0].startswith("searching heard")
    assert view.seen == 3


def test_a_recorded_study_is_loaded(found, home):
    again = load("small", home=home)
    assert (again.study, again.answer, again.ending) == (found.study, found.answer, "done")
    assert again.leaderboard.equals(found.leaderboard)
    (line,) = errors_of(load, "smal", home=home)
    assert line.startswith(f"no study 'smal' in {home}. Did you mean 'small'?")


def test_a_study_is_run_once_and_resumed_as_it_was_declared(found, home):
    (line,) = errors_of(run, found.study, home=home)
    assert line.startswith("name small: a study of this name exists in ")
    again = run(found.study, home=home, resume=True)
    assert again.answer == found.answer
    changed = declare("regularization", name="small", **{**SMALL, "seed": 9})
    (line,) = errors_of(run, changed, home=home, resume=True)
    assert line == "small was recorded with another declaration: seed: 0 -> 9"
    (line,) = errors_of(run, declare("tabular"), home=home, resume=True)
    assert line == "resume=True needs a study with a name: declare(..., name='mine')"


def test_resume_begins_what_is_not_there(home):
    result = run(declare("tabular", name="fresh", **{**SMALL, "data": {"name": "iris"}}), home=home, resume=True)
    assert (result.ending, result.answer.trials) == ("done", 3)


def test_what_stands_in_the_way_is_an_exception_with_all_lines(tmp_path):
    study = declare(
        "tabular", name="x", **{**SMALL, "resources": {"cpus_per_worker": 10_000, "cpus_per_trial": 10_000}}
    )
    assert len(errors_of(run, study, home=tmp_path)) == 2
    study = declare("regularization", **{**SMALL, "tracking": {"uri": "http://127.0.0.1:9"}})
    (line,) = errors_of(run, study, home=tmp_path, error=RunError)
    assert line.startswith("the MLflow server at http://127.0.0.1:9 does not answer")
    study = declare("tabular", **SMALL, model=user_models.small)
    (line,) = errors_of(run, study, home=tmp_path)
    assert "raised KeyError: 'width'" in line
    assert list(tmp_path.iterdir()) == []


def test_a_search_may_run_beside_the_main_thread(home):
    study = declare("tabular", name="thread", **{**SMALL, "data": {"name": "iris"}})
    results = []
    thread = threading.Thread(target=lambda: results.append(run(study, home=home)))
    thread.start()
    thread.join()
    assert [result.ending for result in results] == ["done"]


def test_the_package_offers_what_it_says_and_no_more():
    assert dir(search) == sorted(search.__all__)
    assert list(inspect.signature(search.run).parameters) == ["study", "home", "resume", "view"]
    assert all(getattr(search, name) is not None for name in search.__all__)
    with pytest.raises(AttributeError, match="module 'search' has no attribute 'rum'"):
        search.rum  # noqa: B018


SCRIPT = """
import sys
{first}
from search import run
from search import declare
assert 'torch' not in sys.modules
try:
    run(declare('tabular', name='x', resources={{'cpus_per_worker': 10**4}}), home='nowhere')
except Exception as error:
    print(type(error).__name__, len(error.errors))
"""


@pytest.mark.parametrize("first", ["", "import search.run", "import search.commands.verbs"])
def test_run_is_the_function_whatever_was_imported_before(first):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(first=first)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("UsageError 1", 0), done.stderr


def test_the_best_model_of_a_study_takes_raw_examples(tmp_path):
    images = load_digits().images
    study = declare("regularization", name="kept", objective={"metric": "val_accuracy", "mode": "max"}, **SMALL)
    result = run(study, home=tmp_path)
    model = load_model("kept", home=tmp_path)
    _, val, _ = part_indices(load_digits().target, numeric=False, seed=0)
    right = (model.predict(images[val]) == load_digits().target[val]).mean()
    assert right == pytest.approx(result.answer.best.value, abs=1e-12)
    assert (model.facts["trial"], model.facts["value"]) == (result.answer.best.trial, result.answer.best.value)
    (file,) = (tmp_path / "kept" / "checkpoints").glob(f"trial_{result.answer.best.trial:05d}/best.pt")
    assert (load_model(str(file)).predict(images) == model.predict(images)).all()
    assert (load_model(tmp_path / "kept").predict(images) == model.predict(images)).all()
    lines = errors_of(load_model, "kepd", home=tmp_path)
    assert lines[0].startswith("no study 'kepd' in ") and "Did you mean 'kept'?" in lines[0]
    assert lines[0].endswith("; nor is there a file or folder kepd")
    assert errors_of(load_model, "a.pt")[0].startswith("checkpoint a.pt cannot be read: ")
    file.write_bytes(b"damaged")
    assert "is damaged: its sha256 is not the one beside it" in errors_of(load_model, file)[0]


def test_a_model_that_was_not_kept_is_not_loaded_and_the_reason_is_said(tmp_path):
    run(declare("regularization", name="none", keep_checkpoints=0, **SMALL), home=tmp_path)
    (line,) = errors_of(load_model, "none", home=tmp_path)
    assert line.startswith("none: the model of its best trial (") and line.endswith("--keep-checkpoints was 0")
    space = {"learning_rate": {"type": "float", "low": 0.01, "high": 0.1, "log": True, "baseline": 0.05}}
    empty = declare("empty", name="empty", model=user_models.forgetful, space=space, **SMALL)
    (line,) = errors_of(run, empty, home=tmp_path)
    assert line.endswith("its state_dict() is empty, so that nothing of it could be kept")
