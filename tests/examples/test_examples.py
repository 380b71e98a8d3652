"""The scripts of ``examples/``: each plain, and searched by a few changed lines; killed, it goes on to the same."""

import difflib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.search.test_resume import TABLES, again, read, succeed, wait_for_epochs
from tests.trainables.conftest import CPU
from trainables.cpu_threads import torch_threads
from trainables.registry import find_trainable
from trainables.report import MAX_EPOCHS
from trainables.train_function.config import FunctionData

EXAMPLES = Path(__file__).parents[2] / "examples"
OBJECTIVES = {
    "images": "val_loss:min",
    "sequences": "val_loss:min",
    "gan": "wasserstein:min",
    "lightning_forecast": "val_loss:min",
    "transformers_reader": "eval_loss:min",
}
CHEAPEST = ("sequences", "gan")
"""Killed in ``tune`` too by ``make test-slow``; the others by ``make test-long``."""
MOST_CHANGED = 8

pytestmark = [  # Lightning 2.6 on a torch that is newer than it; what it advises about loaders' workers
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]


@pytest.fixture(autouse=True)
def among_the_examples(monkeypatch):
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in OBJECTIVES:
        sys.modules.pop(name, None)
        sys.modules.pop(f"{name}_plain", None)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_script_is_searched_by_at_most_eight_changed_lines(name):
    plain, searched = ((EXAMPLES / f"{name}{end}.py").read_text().splitlines() for end in ("_plain", ""))
    changes = [line for line in difflib.ndiff(plain, searched) if line[:2] in ("- ", "+ ") and line[2:].strip()]
    removed = sum(line.startswith("-") for line in changes)
    assert 0 < max(removed, len(changes) - removed) <= MOST_CHANGED, changes


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_plain_script_and_its_training_function_learn(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a trainer makes its folder here
    metric = OBJECTIVES[name].partition(":")[0]
    with torch_threads(1):
        __import__(f"{name}_plain").train()
        assert metric in capsys.readouterr().out
        trainable = find_trainable(f"train:{name}:train")
        params = {"learning_rate": 0.01, "dropout": 0.0, "filters": 8, "width": 16}
        params |= {"generator_rate": 1e-3, "critic_rate": 1e-3}
        config = trainable.configure(params, max_epochs=4)
        run = trainable.start(config, FunctionData(None, (metric,)), seed=1, device=CPU)
        reports = [run.step() for _ in range(4)]
        run.close()
    assert reports[-1].stop == MAX_EPOCHS
    assert reports[-1].metrics[metric] < reports[0].metrics[metric]
    assert run.full_weights()().keys() == ({"generator", "critic"} if name == "gan" else {"model"})


def start(home, name, example, executor):
    place = {"lanes": ["--executor", "lanes", "--lanes", "2"], "tune": ["--executor", "tune", "--workers", "1"]}
    command = [sys.executable, "-m", "search.run", "--train", f"{example}:train", "--space", f"{example}.yaml"]
    command += ["--home", home, "--name", name, *place[executor], "--trials", "5"]
    command += ["--max-epochs", "4", "--grace", "2", "--objective", OBJECTIVES[example], "--checkpoint-every", "0"]
    command += ["--tracking", "offline", "--no-confirm"]
    return subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("executor", "example"),
    [("lanes", name) for name in OBJECTIVES]
    + [
        ("tune", name) if name in CHEAPEST else pytest.param("tune", name, marks=pytest.mark.long)
        for name in OBJECTIVES
    ],
)
def test_a_killed_search_of_a_script_resumes_to_the_same_curves_and_models(tmp_path, executor, example):
    succeed(start(tmp_path, "reference", example, executor))
    expected = [read(tmp_path, "reference", query) for query in TABLES]
    process = start(tmp_path, "killed", example, executor)
    for epochs in (3, 8):
        wait_for_epochs(process, tmp_path, "killed", epochs)
        process.kill()
        process.communicate()
        process = again(tmp_path, "killed")
    succeed(process)
    assert [read(tmp_path, "killed", query) for query in TABLES] == expected
    assert weights(tmp_path, "killed") == weights(tmp_path, "reference")


def weights(home, name):
    """Return the best models on disk, every bit of them, by trial."""
    from trainables import checkpoint

    found = {}
    for path in (home / name / "checkpoints").glob("trial_*/best.pt"):
        state = checkpoint.load(path)
        parts = {f"{part}.{key}": t for part, inner in state["model"].items() for key, t in inner.items()}
        assert all(isinstance(t, torch.Tensor) for t in parts.values())
        found[path.parent.name] = state["epoch"], state["value"], {key: t.numpy().tobytes() for key, t in parts.items()}
    assert found
    return found
