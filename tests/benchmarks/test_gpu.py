"""The script for a machine with a GPU: on a CPU, with torch alone, cut, and with parts that fail."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import SHARES, run_parts
from benchmarks.on_gpu.figures import JSON_FILE, MARKDOWN_FILE, Section, write_figures
from benchmarks.on_gpu.oracle import read_pytest
from benchmarks.on_gpu.processes import run_scripts
from benchmarks.on_gpu.turns import Run, Side, take_turns
from benchmarks.on_gpu.workload import SMALL, lane_config, mnist_folder, write_examples
from benchmarks.peers.torch_trial import MODELS, Trial, load
from trainables.models import build_model

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")

WITHOUT = """
import sys

ABSENT = {
    "PIL", "hypothesis", "mlflow", "numba", "optuna", "pandas", "plotly", "psutil", "pyarrow", "pydantic", "pytest",
    "ray", "rich", "scipy", "sklearn", "sqlalchemy", "torchvision", "typer", "yaml",
}

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in ABSENT else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
"""
"""As ``sitecustomize`` it makes these packages absent in every process that is started with it."""


def run_gpu_sh(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {**os.environ, "PYTHON": sys.executable, **environment}
    return subprocess.run([str(ROOT / "benchmarks/gpu.sh"), *words], capture_output=True, text=True, env=own)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_on_a_cpu_with_torch_alone_all_parts_are_measured(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    places = {"OUT": str(tmp_path / "figures"), "PYTHONPATH": str(tmp_path)}
    assert "pytest" in _absent(places), "the packages are not absent: the test tells nothing"
    done = run_gpu_sh("--device", "cpu", "--small", **places)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "figures" / JSON_FILE).read_text())
    assert list(found["sections"]) == list(SHARES)
    assert found["machine"]["torch"] == torch.__version__
    for name in MODELS:
        runs = found["sections"][name]["raw"]
        assert len(runs) == {"mlp": 4, "cnn": 3}[name]
        assert all(run["trials_per_hour"] > 0 and run["epochs_per_s"] > 0 for side in runs.values() for run in side)
    text = (tmp_path / "figures" / MARKDOWN_FILE).read_text()
    assert "Tried out on a CPU" in text and "Random numbers of MNIST's shape" in text
    assert "CUDA graphs: absent for a CNN" in text and "without pytest" in text
    assert "met**" not in text and "MISSED" not in text, "of a GPU nothing was measured"


def _absent(environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", "import torch, pytest"]
    own = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=own).stderr


def test_mistakes_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = run_gpu_sh("--only", "mlp,rnn", "--limit-s", "0", "--data", str(tmp_path / "none"))
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    for mistake in ("--only rnn: no such part", "--limit-s must be > 0", "none holds no train-images"):
        assert mistake in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured_and_that_is_said(tmp_path: Path) -> None:
    done = run_gpu_sh("--out", str(tmp_path / "figures"))
    assert done.returncode == 2
    assert done.stderr == "torch finds no CUDA device here: nothing was measured; --device cpu tries it out\n"
    assert not (tmp_path / "figures").exists()


def test_a_part_that_fails_leaves_the_next_and_each_is_written_at_once(tmp_path: Path) -> None:
    written: list[list[str]] = []

    def write(sections: dict[str, Section]) -> None:
        write_figures(tmp_path, head=["a machine"], machine={}, sections=sections)
        written.append(list(json.loads((tmp_path / JSON_FILE).read_text())["sections"]))

    def failing(limit_s: float) -> Section:
        raise RuntimeError("no kernel image")

    limits: list[float] = []

    def measured(limit_s: float) -> Section:
        limits.append(limit_s)
        return Section("Memory", ("model", "MiB"), [["mlp", "3"]])

    sections = run_parts({"oracle": failing, "memory": measured}, limit_s=60, write=write)
    assert sections["oracle"].errors == ["RuntimeError: no kernel image"]
    assert written == [["oracle"], ["oracle", "memory"]]
    assert 50 < limits[0] <= 60  # what the first left over
    text = (tmp_path / MARKDOWN_FILE).read_text()
    assert "**FAILED**: RuntimeError: no kernel image" in text and "| mlp | 3 |" in text


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str]]:
    """What writes a script by name and lines, and returns what runs it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(name: str, *lines: str) -> tuple[str]:
        (tmp_path / f"{name}.py").write_text("\n".join(["import json, sys, time, pathlib", *lines]))
        return (name,)

    return write


def test_what_a_script_printed_before_it_was_cut_is_kept(script: Callable[..., tuple[str]], tmp_path: Path) -> None:
    told = tmp_path / "told"
    said = "print(json.dumps({'epoch_s': 2.5}), flush=True)"
    endless = script("endless", said, f"pathlib.Path({str(told)!r}).touch()", "time.sleep(100)")
    ended = run_scripts([endless], limit_s=60, clock=lambda: 61.0 if told.exists() else 0.0)
    assert ended.cut and ended.error == "cut after 60 s"
    assert ended.values("epoch_s") == [2.5]


def test_a_script_that_fails_ends_those_beside_it(script: Callable[..., tuple[str]]) -> None:
    waiting = script("waiting", "time.sleep(100)")
    failing = script("failing", "sys.exit('out of memory')")
    ended = run_scripts([waiting, failing], limit_s=60, at_once=2)
    assert ended.error == "exit code 1: out of memory" and not ended.cut


def test_scripts_that_wait_for_each_other_begin_together(script: Callable[..., tuple[str]]) -> None:
    lines = (
        "print(json.dumps({'ready': True}), flush=True)",
        "sys.stdin.readline()",
        "print(json.dumps({'at': time.time()}))",
    )
    slow = script("slow", "time.sleep(0.3)", "print(json.dumps({'before': time.time()}))", *lines)
    ended = run_scripts([script("quick", *lines), slow], limit_s=60, at_once=2, together=True)
    assert ended.error is None
    assert min(ended.values("at")) > ended.values("before")[0]


@pytest.mark.parametrize(
    ("code", "output", "errors"),
    [
        (0, "........ [100%]\n8 passed, 40 deselected in 9.1s", []),
        (0, "ss\n2 skipped, 40 deselected in 1.0s", ["pytest, exit code 0: 2 skipped, 40 deselected in 1.0s"]),
        (5, "40 deselected in 1.0s", ["pytest, exit code 5: 40 deselected in 1.0s"]),
        (1, "F\nFAILED tests/a.py::test_b - apart\n1 failed in 2.0s", ["FAILED tests/a.py::test_b - apart"]),
    ],
)
def test_what_pytest_found_is_read(code: int, output: str, errors: list[str]) -> None:
    section, _ = read_pytest(code, output, command="pytest")
    assert section is not None and section.errors == errors


def test_where_pytest_cannot_read_the_tests_that_is_said() -> None:
    section, why = read_pytest(
        4, "ImportError while loading conftest\nE   ModuleNotFoundError: No module named 'x'", command=""
    )
    assert section is None
    assert why == "pytest could not read the tests: E   ModuleNotFoundError: No module named 'x'"


def sides(clock: list[float], **seconds: float) -> list[Side]:
    """Return sides whose runs take so many seconds of a clock that is played, and are cut at their limit."""

    def run(needed: float, limit_s: float) -> Run:
        clock[0] += min(needed, limit_s)
        return Run(None, None, "cut", True) if needed > limit_s else Run(1.0, 1.0, None, False)

    return [Side(name, lambda limit_s, needed=needed: run(needed, limit_s)) for name, needed in seconds.items()]


def test_turns_end_before_one_that_would_not_fit() -> None:
    clock = [0.0]
    found = sides(clock, lanes=10, loader=20)
    assert take_turns(found, limit_s=100, most_turns=5, clock=lambda: clock[0]) == 3
    assert [len(side.runs) for side in found] == [3, 3]


def test_a_side_that_hangs_leaves_the_others_their_share() -> None:
    clock = [0.0]
    lanes, loader, reused = found = sides(clock, lanes=1e6, loader=20, reused=10)
    take_turns(found, limit_s=90, most_turns=5, clock=lambda: clock[0])
    assert lanes.runs == [Run(None, None, "cut", True)]
    assert loader.whole("trials_per_hour") and reused.whole("trials_per_hour")
    assert clock[0] <= 90


@pytest.mark.parametrize("model", MODELS)
def test_scripts_and_lanes_train_the_same_layers(model: str, tmp_path: Path) -> None:
    path = tmp_path / "examples"
    write_examples(path, SMALL[model], None)
    shape = tuple(load(path, model)["x_train"].shape[1:])
    for number in range(4):
        ours = build_model(lane_config(model, number, epochs=2), shape, 10, seed=0, device=CPU)
        theirs = Trial(model, number, epochs=2, device=CPU).model
        weights = [[tuple(p.shape) for p in m.parameters() if p.ndim > 1] for m in (ours, theirs)]
        assert weights[0] == weights[1]
        norms = [sum("BatchNorm" in type(layer).__name__ for layer in m.modules()) for m in (ours, theirs)]
        assert norms[0] == norms[1]


def test_mnists_own_files_are_read_zipped_or_not(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels, labels = bytes(range(256)) * (784 * 320 // 256), bytes(i % 10 for i in range(320))
    (raw / "train-images-idx3-ubyte").write_bytes(bytes(16) + pixels)
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + labels))
    write_examples(tmp_path / "examples", SMALL["mlp"], mnist_folder(tmp_path))
    found = load(tmp_path / "examples", "cnn")
    assert found["x_train"].shape == (200, 1, 28, 28) and found["x_val"].shape == (100, 1, 28, 28)
    assert found["y_train"][:11].tolist() == [*range(10), 0]
    assert found["x_train"].flatten()[255].item() == pytest.approx((1 - 0.1307) / 0.3081)
