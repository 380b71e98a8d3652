"""What either executor leaves on disk: the best models of the finished trials, and what a resume needs."""

import json
import os
import signal

import pytest
import torch

from search.commands.run import to_json
from search.drive.continuation import extend_study
from search.drive.engine import conduct, resume
from search.drive.examples import load_data
from search.face.live_view import Silent
from search.ledger import Ledger, sqlite_url
from search.ledger.paths import Paths
from search.report.answer import answer
from search.report.kept import kept_on_disk
from search.report.leaderboard import leaderboard
from tests.contracts.test_executors import breaking_study, small_study
from tests.search.executors.conftest import local_ray
from tests.support.facts import FACTS
from tests.support.marks import some_slow
from trainables import checkpoint
from trainables.best import load_model

pytestmark = pytest.mark.cluster

EXECUTORS = {
    "lanes": {"executor": "lanes", "lanes": {"lanes": 4}},
    "tune": {"executor": "tune", "resources": {"workers": 1}},
}
BOTH = some_slow(EXECUTORS, "tune")
# A lane sums float32 in another order than the plain model; validation losses differed by 2e-7 at most.
RELATIVE = {"lanes": 1e-5, "tune": 0.0}


class Interrupting(Silent):
    """Sends Ctrl-C once so many epochs were trained."""

    def __init__(self, epochs):
        self._epochs = epochs

    def update(self, progress):
        if progress.epochs >= self._epochs:
            self._epochs = float("inf")
            os.kill(os.getpid(), signal.SIGINT)


def paths_of(study, home):
    return Paths(home, study.name)


def ledger_of(study, home):
    with Ledger(sqlite_url(home / study.name / "ledger.db")) as ledger:
        row = ledger.study(study.name)
        frames = (ledger.trials_frame(row.id), ledger.epochs_frame(row.id), ledger.events_frame(row.id))
        return ledger.trials(row.id), *frames


def ranked(study, home):
    """Return the finished trials with their best values and epochs, best first, as the leaderboard has them."""
    _, trials, epochs, _ = ledger_of(study, home)
    board = leaderboard(trials, epochs, study.objective)
    finished = board[board["state"].isin(["COMPLETE", "PRUNED"])]
    return list(finished[["number", "value", "epoch"]].itertuples(index=False, name=None))


def kept_of(found, k=3):
    """Return the trials that keep their model: the baseline, and besides it the best ``k``."""
    others = [number for number, *_ in found if number != 0]
    return {0, *others[:k]}


def files(study, home):
    folder = paths_of(study, home).checkpoints
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".at")


def of_best(numbers):
    names = [f"trial_{n:05d}/best.pt" for n in numbers]
    return sorted([*names, *(f"{name}.sha256" for name in names)])


def model_of(study, home, number):
    return checkpoint.load(paths_of(study, home).checkpoints / f"trial_{number:05d}" / "best.pt")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def validation_loss(study, path):
    splits = load_data(study)
    with torch.no_grad():
        logits = load_model(path)(torch.tensor(splits.val.x))
    total = torch.nn.functional.cross_entropy(logits, torch.tensor(splits.val.y), reduction="sum")
    return total.item() / len(splits.val)


@pytest.fixture(scope="module", autouse=True)
def marks(tmp_path_factory):
    """One Ray for all, and the folder that ``faulty.ExitsOnce`` finds in the environment of its processes."""
    folder = tmp_path_factory.mktemp("marks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANEWISE_TEST_MARKS", str(folder))
        with local_ray(num_cpus=2):
            yield folder


@pytest.fixture(scope="module", params=BOTH)
def finished(request, tmp_path_factory):
    home = tmp_path_factory.mktemp(request.param)
    study = small_study(request.param, **EXECUTORS[request.param])
    return study, home, conduct(study, home, load_data, view=Silent())


def test_exactly_the_baseline_and_the_best_three_others_stay(finished):
    study, home, _ = finished
    found = ranked(study, home)
    assert len(found) == 10
    assert files(study, home) == of_best(kept_of(found))


def test_each_is_of_its_trials_best_epoch(finished):
    study, home, _ = finished
    trials, *_ = ledger_of(study, home)
    for number, value, epoch in ranked(study, home)[:3]:
        state = model_of(study, home, number)
        assert (state["trial"], state["epoch"], state["value"]) == (number, epoch, value)
        assert (state["metric"], state["metrics"]["val_loss"]) == ("val_loss", value)
        assert state["params"] == study.params_of(trials[number].params)
        assert (state["seed"], state["trainable"]) == (trials[number].seed, "mlp")


def test_a_rebuilt_model_has_the_loss_of_the_ledger(finished):
    study, home, result = finished
    for number, value, _ in ranked(study, home)[:3]:
        path = paths_of(study, home).checkpoints / f"trial_{number:05d}" / "best.pt"
        assert validation_loss(study, path) == pytest.approx(value, rel=RELATIVE[study.executor])
    assert result.kept.best_model == paths_of(study, home).checkpoints / (
        f"trial_{result.answer.best.trial:05d}/best.pt"
    )


def test_the_result_says_what_is_kept_and_reading_the_disk_says_the_same(finished):
    study, home, result = finished
    paths = paths_of(study, home)
    size = sum(p.stat().st_size for p in paths.checkpoints.rglob("*") if p.is_file())
    assert (result.kept.checkpoints, result.kept.size_mb) == (4, size / 1e6)
    assert kept_on_disk(paths.checkpoints, result.answer) == result.kept
    assert json.loads(json.dumps(to_json(study, result, paths)))["checkpoints"] == {
        "kept": 4,
        "size_mb": size / 1e6,
        "best_model": str(result.kept.best_model),
        "why_not": None,
        "recommended_model": None,
    }


def test_no_event_tells_of_trouble(finished):
    study, home, _ = finished
    *_, events = ledger_of(study, home)
    assert "checkpoint" not in set(events["kind"])


def test_after_an_extension_the_best_three_of_all_stay(finished):
    study, home, _ = finished
    before = {number: model_of(study, home, number) for number, *_ in ranked(study, home)[:3]}

    def more(old):
        return extend_study(old, trials=8, max_epochs=None, time_budget=None, set_=())

    resume(paths_of(study, home), view=Silent(), load=load_data, change=more)
    found = ranked(study, home)
    assert len(found) == 18
    assert files(study, home) == of_best(kept_of(found))
    for number, value, epoch in found[:3]:
        state = model_of(study, home, number)
        assert (state["epoch"], state["value"]) == (epoch, value)
        if number in before:
            assert same(state["model"], before[number]["model"])


@pytest.mark.parametrize("executor", BOTH)
def test_where_none_is_to_be_kept_none_is(tmp_path, executor):
    study = small_study("none", keep_checkpoints=0, **EXECUTORS[executor])
    result = conduct(study, tmp_path, load_data, view=Silent())
    assert files(study, tmp_path) == []
    assert (result.kept.checkpoints, result.kept.size_mb, result.kept.best_model) == (0, 0.0, None)


@pytest.mark.parametrize("executor", BOTH)
def test_checkpoints_of_trials_that_ended_are_removed_and_another_objective_is_kept_by(tmp_path, executor):
    """A checkpoint after every epoch: best models are written and displaced, and written again, all the time."""
    objective = {"metric": "val_accuracy", "mode": "max"}
    study = small_study("all", checkpoint_every_s=0, keep_checkpoints=2, objective=objective, **EXECUTORS[executor])
    conduct(study, tmp_path, load_data, view=Silent())
    found = ranked(study, tmp_path)
    assert files(study, tmp_path) == of_best(kept_of(found, 2))
    for number, value, epoch in found[:2]:
        state = model_of(study, tmp_path, number)
        assert (state["metric"], state["epoch"], state["value"]) == ("val_accuracy", epoch, value)


@pytest.mark.parametrize("executor", BOTH)
def test_interrupted_trials_keep_their_last_and_their_best(tmp_path, executor):
    none = {"name": "none", "grace": 1, "reduction_factor": 2}
    budget = {"trials": 6, "max_epochs": 300, "time_s": None}
    study = small_study("cut", budget=budget, scheduler=none, **EXECUTORS[executor])
    result = conduct(study, tmp_path, load_data, view=Interrupting(40))
    assert result.exit_code == 130
    trials, _, epochs, _ = ledger_of(study, tmp_path)
    cut = [t.number for t in trials if t.state.resumable]
    assert cut
    found = files(study, tmp_path)
    for number in cut:
        curve = epochs[epochs["number"] == number].sort_values("epoch")
        last = curve["epoch"].max()
        assert f"trial_{number:05d}/epoch_{last:06d}.pt" in found
        state = model_of(study, tmp_path, number)
        best = curve.sort_values(["val_loss", "epoch"]).iloc[0]
        assert (state["epoch"], state["value"]) == (best["epoch"], best["val_loss"])
    finished = [number for number, *_ in ranked(study, tmp_path)[:3]]
    assert {name.partition("/")[0] for name in found} == {f"trial_{n:05d}" for n in [*cut, *finished]}


def test_a_failed_trial_leaves_nothing_and_takes_no_ones_place(tmp_path):
    """Looped lanes: the worker is a process of its own, which writes on the driver's order."""
    study = breaking_study("broken", "Raises", checkpoint_every_s=0)
    conduct(study, tmp_path, load_data, view=Silent())
    trials, *_ = ledger_of(study, tmp_path)
    assert {t.state.value for t in trials} == {"COMPLETE", "FAILED"}
    found = ranked(study, tmp_path)
    assert files(study, tmp_path) == of_best(kept_of(found))
    for number, value, epoch in found[:3]:
        state = model_of(study, tmp_path, number)
        assert (state["epoch"], state["value"]) == (epoch, value)


@pytest.mark.parametrize("executor", BOTH)
def test_a_model_that_cannot_be_written_is_an_event_and_the_search_goes_on(tmp_path, executor):
    """A folder lies where the file would be written: the kernel refuses, as a full disk would."""
    study = small_study("full", **EXECUTORS[executor])
    checkpoints = paths_of(study, tmp_path).checkpoints

    class Blocking(Silent):
        def say(self, text):
            for number in range(10):  # the study's folder has just been made
                (checkpoints / f"trial_{number:05d}" / "best.pt.tmp").mkdir(parents=True, exist_ok=True)

    result = conduct(study, tmp_path, load_data, view=Blocking())
    trials, _, _, events = ledger_of(study, tmp_path)
    assert {t.state.value for t in trials} == {"COMPLETE", "PRUNED"}
    assert result.ending == "done"
    said = events[events["kind"] == "checkpoint"]
    assert set(said["level"]) == {"warning"}
    top = [number for number, *_ in ranked(study, tmp_path)[:3]]
    for number in top:
        assert any(m.startswith(f"trial {number}: its best model, of epoch ") for m in said["message"])
    assert result.kept.best_model is None


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["lanes", "tune"])
def test_a_process_that_dies_once_costs_no_best_model(tmp_path, marks, executor):
    """Its trials go on elsewhere: what the best model was, the ledger knows, and the checkpoint's folder has."""
    values = {"executor": executor, "checkpoint_every_s": 0}
    for mark in marks.iterdir():
        mark.unlink()
    models = {}
    for name, trainable in (("whole", "Looped"), ("dies", "ExitsOnce")):
        study = breaking_study(name, trainable, **values)
        conduct(study, tmp_path, load_data, view=Silent())
        _, _, epochs, events = ledger_of(study, tmp_path)
        top = kept_of(ranked(study, tmp_path))
        assert files(study, tmp_path) == of_best(top)
        models[name] = {n: model_of(study, tmp_path, n) for n in top}
        lost = events["kind"].isin(["actor_lost", "worker_lost"]).sum()
        assert (lost > 0) == (name == "dies")
        assert len(epochs) == 60
    assert models["whole"].keys() == models["dies"].keys()
    for number, whole in models["whole"].items():
        found = models["dies"][number]
        assert (found["epoch"], found["value"]) == (whole["epoch"], whole["value"])
        assert same(found["model"], whole["model"])


def test_the_leftovers_of_a_killed_session_are_swept(tmp_path):
    study = small_study("swept", **EXECUTORS["lanes"])
    conduct(study, tmp_path, load_data, view=Silent())
    before = files(study, tmp_path)
    top = [number for number, *_ in ranked(study, tmp_path)]
    checkpoints = paths_of(study, tmp_path).checkpoints
    for number in (top[0], top[-1], 77):  # kept, displaced, and one that the ledger never heard of
        folder = checkpoints / f"trial_{number:05d}"
        folder.mkdir(exist_ok=True)
        (folder / "epoch_000002.pt").write_bytes(b"left")
        (folder / "best.pt.tmp").write_bytes(b"half")
    resume(paths_of(study, tmp_path), view=Silent(), load=load_data)
    assert files(study, tmp_path) == before
    found = answer(study, *ledger_of(study, tmp_path)[1:3], FACTS)
    assert kept_on_disk(checkpoints, found).checkpoints == 4
