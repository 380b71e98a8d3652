"""Every benchmark runs and says what it measured. At sizes that mean nothing: the figures are not looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import discover
from benchmarks.transfer_search import write_images
from spaces import Space, float_

ROOT = Path(__file__).parents[2]

FEW = "--trials 3 --epochs 3"
PAIR = f"{FEW} --pairs 1"
SMALL = {
    "cluster_lanes": (PAIR,),
    "confirmation_cost": (PAIR,),
    "confirmation_statistics": ("--studies 4 --families 4",),
    "conv_lanes": ("--images digits --repetitions 1",),
    "driver_cost": ("--trials 20 --runs 1 --histories 20 --proposals 2",),
    "epoch_profile": ("--trials 3 --epochs 3 --sampler random --pairs 1",),
    "folds": (f"--folds 2 {PAIR}",),
    "larger_than_memory": ("--images 40 --image-size 32 --memory-mb 0 --pairs 1",),
    "freeze_depth": ("--images IMAGES --image-size 16 --trials 3 --max-epochs 3 --seeds 1",),
    "fresh_seeds": ("--study tabular --data iris --metric val_accuracy --target 0 --trials 2 --seeds 2",),
    "gpu": ("--device cpu --small --only memory --out OUT",),  # all of it: test_gpu.py
    "importance": ("--studies 2",),
    "lane_engine": ("--lanes 2 --looped 1 --repetitions 5",),
    "ledger": ("--trials 20 --runs 1",),
    "memory": ("--dataset digits --lanes 2 --runs 1",),
    "module_lanes": ("--models norm_mlp --lanes 2 --repetitions 1",),
    "module_search": (f"--models norm_mlp {PAIR}",),
    "paused_memory": ("--mlps 4 --resnets 2 --paused-mb 100",),
    "planted_effects": ("--studies 1 --ablations 1",),
    "precision": (f"{FEW} --seeds 2",),
    "pretraining": ("--images 20 --image-size 16 --epochs 1 --pairs 1",),
    "quality": (f"--against optuna {FEW} --seeds 2",),
    "reading": ("--what table --rows 200 --columns 12 --pairs 1", "--what images --images 60 --pairs 1"),
    "report_page": ("--trials 12 --epochs 3 --runs 1",),
    "sampler_cost": ("--samplers random tpe --proposals 2 --most 100",),
    "sampler_share": ("--pairs 1 --trials 4 --epochs 1",),
    "sampler_quality": ("--trials 14 --seeds 2",),
    "search_efficiency": (
        "--tables TABLES --lanes 2 --epochs-a-choice 2 --seeds 1 --cap 30",
        "--tables TABLES --scheduler asha --grace 1 --lanes 2 --as-they-come --seeds 1 --cap 30",
    ),
    "search_end_to_end": ("--train-examples 100 --trials 4 --max-epochs 3 --scheduler promote --lanes 2 --seeds 1",),
    "shipped_backbone": ("--examples 3 --epochs 1 --seeds 1",),
    "soak": ("--lanes-trials 40 --tune-trials 40",),
    "startup": ("--pairs 1 --one-trial-alone",),
    "steady_state": (f"--against optuna {PAIR}",),
    "ten_thousand_trials": ("--trials 500 --tpe-trials 0",),
    "tracker_throughput": ("--trials 40 --runs 1",),
    "tracking_overhead": ("--runs 1 --seconds 0.1",),
    "training_function": ("--pairs 1 --trials 2 --epochs 2 --epoch-s 0.001",),
    "transfer_depths": ("--images 20 --image-size 32 --epochs 1 --depths 5 --pairs 1",),
    "transfer_search": (f"--against ray_tune --images 20 --image-size 32 {PAIR}",),
    "watching": (f"{PAIR} --lanes 2",),
    "whole_process": (f"--against ray_tune {PAIR}",),
}

PRINTS = ("gpu", "lane_engine")
"""What needs torch alone does not write to RESULTS.md either."""


def test_there_is_a_small_run_of_each() -> None:
    assert set(SMALL) == {benchmark.name for benchmark in discover()}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder, train=40, val=20, size=16)
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return recorded curves of one task: 80 configurations of one parameter."""
    x = np.linspace(0.0, 1.0, 80)[:, None]
    curves = np.abs(x - 0.7) + 1 / np.arange(1, 7)
    space = Space((float_("x", 0.0, 1.0, baseline=0.0),)).to_dict()
    file = tmp_path_factory.mktemp("tables") / "made.npz"
    np.savez(file, **{"names": ["a"], "a/space": json.dumps(space), "a/params": x, "a/curves": curves})
    return file


@pytest.mark.slow
@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in SMALL.items() for line in lines])
def test_it_runs(name: str, line: str, images: Path, tables: Path, tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    places = {"IMAGES": str(images), "OUT": str(tmp_path / "figures"), "TABLES": str(tables)}
    words = [places.get(word, word) for word in line.split()]
    where = [] if name in PRINTS else ["--results", str(results)]
    command = [sys.executable, "-m", f"benchmarks.{name}", *words, *where]
    own = {**os.environ, "RAY_ADDRESS": "local"}  # the plain scripts would join any Ray that left its address here
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=own)
    assert done.returncode == 0, done.stderr
    said = done.stdout if name in PRINTS else results.read_text()
    assert "| --- |" in said
    if name not in PRINTS:
        assert f"`python -m benchmarks.{name} {line}`" in said
        assert "\nHardware: " in said
