"""A user's training function, searched from the declaration to the answer; the lanes' worker is in this process."""

from contextlib import contextmanager

import pytest

from search import declare
from search.api import load
from search.declaration.from_yaml import read_space_study
from search.drive.engine import conduct, resume
from search.drive.examples import load_data
from search.errors import RunError, UsageError
from search.executors.choice import choose_executor
from search.executors.control import Control
from search.executors.lanes import LanesExecutor
from search.executors.local_pool import LocalPool
from search.face.live_view import Silent
from search.ledger import Ledger
from search.ledger.events import EventKind
from search.ledger.paths import Paths
from tests.trainables import train_functions
from trainables import checkpoint
from trainables.cpu_threads import torch_threads

MODULE = "tests.trainables.train_functions"
RATE = {"learning_rate": {"type": "float", "low": 0.01, "high": 1.0, "log": True, "baseline": 0.1}}


@contextmanager
def local_pool(search, timing):
    pool = LocalPool(search.study, search.splits, search.checkpoints.folder, search.lane_modes)
    try:
        yield pool
    finally:
        pool.close()


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def study_of(function, *, space=RATE, trials=4, **fields):
    budget = {"trials": trials, "max_epochs": 6}
    usual = {"checkpoint_every_s": 0.0, "sampler": "random", "executor": "lanes", "confirm": {"pairs": 0}}
    fields = {**usual, **fields}
    train = f"{MODULE}:{function}"
    tracking = {"enabled": False}
    return declare("mine", name="mine", train=train, space=space, budget=budget, **{"tracking": tracking, **fields})


def search(study, home, *, view=None, control=None):
    executor = LanesExecutor(open_pool=local_pool)
    return conduct(study, home, load_data, view=view or Heard(), control=control, executor=executor)


def epochs(home):
    frame = load("mine", home=home).epochs
    return [tuple(row) for row in frame[["number", "epoch", "val_loss"]].sort_values(["number", "epoch"]).to_numpy()]


def notes(home):
    with Ledger(Paths(home, "mine").ledger_url) as ledger:
        events = ledger.events(ledger.study("mine").id, EventKind.TRIAL_NOTE)
    return [(event.trial, event.event.about, event.event.note) for event in events]


def test_a_function_is_searched_and_its_best_model_is_kept(tmp_path):
    view = Heard()
    result = search(study_of("train"), tmp_path, view=view)
    assert result.answer.states.keys() <= {"COMPLETE", "PRUNED"}
    assert result.answer.baseline.epochs == 6
    assert "none named: the training function brings its own" in "\n".join(view.lines)
    assert result.data["task"] == "none"
    kept = checkpoint.load(result.kept.best_model)
    assert kept["model"]["net"].keys() == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_a_function_that_returns_early_completes(tmp_path):
    result = search(study_of("returns_early", space=RATE, scheduler={"name": "none"}), tmp_path)
    assert result.answer.best.stop_reason == "returned"
    assert result.answer.states == {"COMPLETE": 4}
    assert len(epochs(tmp_path)) == 12


def test_where_the_first_trial_raises_before_a_report_the_search_ends_with_its_traceback_once(tmp_path):
    view = Heard()
    with pytest.raises(RunError) as error:
        search(study_of("raises_at_once"), tmp_path, view=view)
    (line,) = error.value.errors
    assert "the search was ended: train_functions.py, line " in line
    assert ": ValueError: no such file: images (trial 0, before its first report, as every other would)" in line
    (trace,) = [said for said in view.lines if said.startswith("Traceback")]
    assert trace.splitlines()[1].endswith(", in raises_at_once"), "it begins with the user's own code"


def test_trials_train_side_by_side_to_the_curves_that_they_have_in_turn(tmp_path):
    with torch_threads(2):
        search(study_of("trains_side_by_side", trials=6, lanes={"lanes": 3}), tmp_path / "together")
    search(study_of("trains_side_by_side", trials=6, lanes={"lanes": 3}), tmp_path / "turn")
    assert epochs(tmp_path / "together") == epochs(tmp_path / "turn")


def test_a_later_failure_is_the_trials_alone(tmp_path):
    result = search(study_of("raises_late", scheduler={"name": "none"}), tmp_path)
    assert result.answer.failures == {"ValueError: late": 4}
    assert len(epochs(tmp_path)) == 4


def test_a_parameter_that_is_never_read_ends_the_search_after_the_first_trial(tmp_path):
    space = RATE | {"momentun": {"type": "float", "low": 0.0, "high": 1.0, "baseline": 0.5}}
    with pytest.raises(RunError) as error:
        search(study_of("looks_for_momentum", space=space), tmp_path)
    assert (
        f"space.momentun was never read by {MODULE}:looks_for_momentum, which looks for momentum: it would move "
        "nothing. Did you mean 'momentum'? Leave it out, or read trial.params['momentun']"
    ) in error.value.errors[0]
    assert len(load("mine", home=tmp_path).epochs.query("number == 0")) == 6, "the first trial has all its epochs"


def test_what_a_registered_study_brings_along_and_nothing_reads_is_noted(tmp_path):
    budget, tracking = {"trials": 2, "max_epochs": 2}, {"enabled": False}
    rest = {"executor": "lanes", "confirm": {"pairs": 0}, "tracking": tracking}
    study = declare("regularization", name="mine", train=f"{MODULE}:train", budget=budget, **rest)
    assert study.data.source == "none"
    search(study, tmp_path)
    (searched, _) = [note for _, about, note in notes(tmp_path) if about == "unread_parameter"]
    assert searched.startswith("regularization searches ")
    assert "which the training function never reads" in searched


def test_what_a_function_notes_and_keeps_is_in_the_ledger(tmp_path):
    search(study_of("leaves_files", trials=2), tmp_path)
    assert set(notes(tmp_path)) >= {(0, "note", "begins"), (0, "artifact", "log.txt"), (1, "note", "begins")}
    assert (tmp_path / "mine" / "trials" / "trial_00001" / "artifacts" / "log.txt").read_text() == "1"


def test_a_function_that_swallows_its_end_is_noted(tmp_path):
    search(study_of("swallows_the_end", trials=6, lanes={"lanes": 2}), tmp_path)
    assert any(about == "unended_function" for _, about, _ in notes(tmp_path))


def test_a_study_with_data_hands_them_over(tmp_path):
    study = study_of("looks_at_data", data={"name": "iris"}, trials=1)
    assert search(study, tmp_path).answer.best.value == 90.0, "the training part of iris"


def test_a_custom_objective_is_told_its_direction(tmp_path):
    with pytest.raises(UsageError, match="'score': say which way it is better, score:max or score:min"):
        study_of("scores", objective={"metric": "score"})
    result = search(study_of("scores", objective={"metric": "score", "mode": "max"}), tmp_path)
    assert (result.answer.metric, result.answer.best.value) == ("score", 6.0)


def test_only_a_training_function_brings_its_own_data():
    with pytest.raises(UsageError, match="a training function alone brings its own"):
        declare("regularization", data={"source": "none", "name": "none"})
    with pytest.raises(UsageError, match="model and train exclude each other"):
        declare("mine", train=train_functions.train, model="a:b", space=RATE)


class StopsAfter(Control):
    """Asks for a stop after some looks at it."""

    def __init__(self, looks):
        super().__init__()
        self.left = looks

    @property
    def stopping(self):
        from search.ledger.outcome import StopReason

        self.left -= 1
        return StopReason.USER if self.left < 0 else None


@pytest.mark.parametrize("function", ["train", "train_yielding", "has_its_own_range"])
@pytest.mark.parametrize("looks", [5, 9])
def test_a_search_that_was_stopped_goes_on_to_the_same_curves(tmp_path, function, looks):
    study = study_of(function, lanes={"lanes": 2}, trials=6)
    search(study, tmp_path / "whole")
    search(study, tmp_path / "halved", control=StopsAfter(looks))
    before = len(epochs(tmp_path / "halved"))
    executor = LanesExecutor(open_pool=local_pool)
    resume(Paths(tmp_path / "halved", "mine"), view=Heard(), load=load_data, executor=executor)
    assert 0 < before < len(epochs(tmp_path / "halved"))
    assert epochs(tmp_path / "halved") == epochs(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "function"),
    [("lanes", ""), ("tune", ""), ("lanes", "_side_by_side")],
    ids=["lanes", "tune", "side_by_side"],
)
@pytest.mark.parametrize(
    ("fault", "why"), [("exits", "died"), ("hangs", "no report in 6 s (--trial-timeout)")], ids=["exits", "hangs"]
)
def test_a_function_that_exits_or_hangs_costs_its_trial_alone(tmp_path, executor, function, fault, why):
    faults = {"max_failures": 1, "trial_timeout_s": 6.0}
    fields = {"faults": faults, "scheduler": {"name": "none"}, "lanes": {"lanes": 2}}
    study = study_of(fault + function, executor=executor, **fields)
    result = conduct(study, tmp_path, load_data, view=Heard())
    assert result.answer.states == {"COMPLETE": 3, "FAILED": 1}
    (message,) = result.answer.failures
    assert why in message


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["lanes", "tune"])
def test_a_function_that_opens_files_without_end_fails_its_trial_and_the_search_and_mlflow_go_on(tmp_path, executor):
    from mlflow.tracking import MlflowClient

    uri, view = f"sqlite:///{tmp_path / 'mlflow.db'}", Heard()
    fields = {"executor": executor, "resources": {"workers": 1}, "scheduler": {"name": "none"}, "lanes": {"lanes": 1}}
    study = study_of("leaks_files", tracking={"uri": uri}, trials=5, **fields)
    result = conduct(study, tmp_path, load_data, view=view)
    assert (result.answer.states, result.untracked) == ({"COMPLETE": 4, "FAILED": 1}, None)
    (message,) = result.answer.failures
    assert message.startswith("OSError: [Errno 24] Too many open files, of the 1000 that a process may have: close")
    (line,) = [line for line in view.lines if "files are open after" in line]
    assert line.startswith(f"trial 2: {MODULE}:leaks_files: ")
    client = MlflowClient(uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert (
        sorted(run.info.status for run in runs if run.info.run_name.startswith("trial"))
        == ["FAILED"] + ["FINISHED"] * 4
    )


@pytest.mark.slow
def test_on_ray_tune_it_is_the_same_search_and_mlflow_has_its_artifacts(tmp_path):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    study = study_of("leaves_files", executor="tune", tracking={"uri": uri}, scheduler={"name": "none"})
    result = conduct(study, tmp_path, load_data, view=Heard())
    assert result.untracked is None
    assert {(n, about, note) for n, about, note in notes(tmp_path)} == {
        (n, about, note) for n in range(4) for about, note in (("note", "begins"), ("artifact", "log.txt"))
    }
    client = MlflowClient(uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    files = {run.info.run_name: [a.path for a in client.list_artifacts(run.info.run_id)] for run in runs}
    assert {name: paths for name, paths in files.items() if name.startswith("trial")} == {
        f"trial {n}": ["log.txt"] for n in range(4)
    }


def test_a_file_of_a_whole_space_is_refused_with_its_lines(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("rate: {type: flaot, low: 1}\nwidth: 16\ndropout: {low: 0.1}\n")
    _, lines = read_space_study(file, kind="mine", train=f"{MODULE}:train")
    assert lines == [
        f"{file}:1: space.rate.type must be one of float, int, category, got 'flaot'. Did you mean 'float'?",
        f"{file}:3: dropout.type is missing: float, int, category",
    ]


@pytest.mark.slow
def test_a_function_is_confirmed_on_fresh_seeds_alone(tmp_path):
    study = study_of("train", confirm={"pairs": 2}, scheduler={"name": "none"})
    confirmed = conduct(study, tmp_path, load_data, view=Heard()).answer.confirmation
    assert (confirmed.pairs, confirmed.train_examples, confirmed.test_opened) == (2, 0, 0)


def test_the_way_to_train_short_epochs_faster_is_named():
    study = declare("mine", train=f"{MODULE}:train", space=RATE, executor="auto")
    choice = choose_executor(study)
    assert choice.executor == "tune"
    assert choice.reason.endswith("does not stack; if its epochs are short, --executor lanes may be faster")
