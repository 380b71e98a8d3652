"""What Ray gives a trial: a share of a logical GPU, room or a place in the queue, and the user's own modules."""

import os
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest
import torch

from search import declare
from search.declaration.from_options import in_options
from search.declaration.study import Resources
from search.drive.preflight import preflight
from search.errors import RunError
from search.executors.capacity import Capacity, at_once, waiting_line
from search.executors.timing import Timing
from search.executors.tune_bridge import TuneBridge
from tests.search.executors.conftest import DATA, local_ray, make_study, record
from tests.support.scripted import diary

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def one_gpu():
    """Five cores, of which four half-core trials need two: the GPU is what is scarce."""
    with local_ray(num_cpus=5, num_gpus=1):
        yield


@pytest.fixture(scope="module")
def gathered(one_gpu, tmp_path_factory):
    """Five trials at once are asked for, a quarter of a GPU each."""
    folder, home = tmp_path_factory.mktemp("diary"), tmp_path_factory.mktemp("home")
    # An address lets --workers ask for more than fits; Ray itself is what holds the fifth back.
    resources = {"gpus_per_trial": 0.25, "cpus_per_trial": 0.5, "workers": 5, "address": "auto"}
    recorded = record(make_study(folder, "Gathers", resources=resources), home)
    return recorded, diary(folder)


def test_four_trials_share_a_gpu_at_once_and_a_fifth_waits(gathered):
    recorded, entries = gathered
    assert [t.stop_reason for t in recorded.trials] == ["max_epochs"] * 6, [t.message for t in recorded.trials]
    first, later = entries[:4], entries[4:]
    assert max(e["began"] for e in first) < min(e["ended"] for e in first), "four at once"
    assert len({e["pid"] for e in first}) == 4, "a process each"
    assert all(e["began"] >= min(f["ended"] for f in first) for e in later), "the fifth had to wait for one of them"


def test_a_trial_sees_its_gpu_and_falls_back_to_the_cpu_where_cuda_is_absent(gathered):
    _, entries = gathered
    device = "cuda" if torch.cuda.is_available() else "cpu"
    assert {e["device"] for e in entries} == {device}
    assert {tuple(e["gpus"]) for e in entries} == {("0",)}
    assert {e["visible"] for e in entries} == {"0"}


def test_a_trial_without_a_gpu_leaves_it_alone(one_gpu, tmp_path):
    record(make_study(tmp_path, budget={"trials": 2, "max_epochs": 1}), tmp_path / "home")
    entries = diary(tmp_path)
    assert {e["device"] for e in entries} == {"cpu"}
    assert {tuple(e["gpus"]) for e in entries} == {()}
    assert {e["visible"] for e in entries} == {os.environ.get("CUDA_VISIBLE_DEVICES")}


def test_the_number_of_trials_at_once_is_what_fits(one_gpu):
    capacity = Capacity.of_ray()
    assert (capacity.cpus, capacity.gpus) == (5, 1)
    assert capacity.slots(Resources(gpus_per_trial=0.25, cpus_per_trial=0.5)) == 4
    assert capacity.slots(Resources(gpus_per_trial=0.25, cpus_per_trial=2)) == 2
    assert capacity.slots(Resources(cpus_per_trial=0.5)) == 10
    assert capacity.slots(Resources(cpus_per_trial=0.5, workers=3)) == 3
    assert capacity.slots(Resources(gpus_per_trial=2)) == 1, "one trial waits for what may come"


def test_on_a_cluster_workers_may_ask_for_more_than_there_is():
    small = Capacity(cpus=4, gpus=0)
    wanted = Resources(gpus_per_trial=0.25, workers=16, address="auto")
    assert at_once(small, wanted) == 16
    assert at_once(small, Resources(gpus_per_trial=0.25, address="auto")) == 1
    assert at_once(Capacity(cpus=4, gpus=1), Resources(gpus_per_trial=0.25, address="auto")) == 4
    assert at_once(small, Resources(workers=16)) == 4, "on one machine what fits is the limit"


def test_as_a_cluster_grows_more_trials_run(tmp_path):
    study = make_study(tmp_path, resources={"gpus_per_trial": 0.25, "address": "auto"})
    limiter, scheduler = SimpleNamespace(max_concurrent=1), SimpleNamespace(timing=Timing(resize_every_s=0.0))
    nodes = []
    bridge = TuneBridge(SimpleNamespace(study=study), None, scheduler, limiter, capacity=lambda: nodes[-1])
    for gpus, expected in ((0, 1), (1, 4), (3, 12), (1, 4)):
        nodes.append(Capacity(cpus=16, gpus=gpus))
        bridge._resize()
        assert limiter.max_concurrent == expected


def test_a_cluster_without_room_is_told_in_one_line():
    line = waiting_line(Capacity(cpus=4, gpus=0), Resources(gpus_per_trial=0.25, address="auto"))
    assert line.startswith("waiting: a trial takes 1 CPU and 0.25 GPU, and the cluster has 4 CPU and 0 GPU now;")
    assert "autoscaler" in line
    assert "\n" not in line


def test_a_gpu_of_a_cluster_is_not_looked_for_here(tmp_path):
    study = make_study(tmp_path, resources={"gpus_per_trial": 1.0, "address": "auto"})
    assert preflight(study, tmp_path) == []


def test_ray_client_is_refused_with_what_to_do_instead(tmp_path):
    study = make_study(tmp_path, resources={"address": "ray://head:10001"})
    (line,) = in_options(preflight(study, tmp_path))
    assert line.startswith("--address ray://head:10001: a search cannot drive a cluster through Ray Client")
    assert "ray job submit" in line


OWN_TRAINABLE = """
    from trainables.registry import MlpTrainable

    class Mine(MlpTrainable):
        stacks = False
        loops = False
"""
OWN_SEARCH = """
    import dataclasses, json
    from pathlib import Path
    from search.drive.engine import conduct
    from search.drive.examples import load_data
    from search.face.live_view import Silent
    from search.declaration.studies import find
    from search.declaration.study import Study
    from trainables.data import DataSpec

    changes = {
        "name": "own", "trainable": "mine:Mine", "tracking": {"enabled": False},
        "data": dataclasses.asdict(DataSpec("digits", train_examples=100)), "budget": {"trials": 2, "max_epochs": 3},
    }
    study = Study.model_validate({**find("regularization").model_dump(), **changes})
    result = conduct(study, Path("home"), load_data, view=Silent())
    print(json.dumps(result.answer.to_dict()["states"]))
"""


@pytest.mark.slow
def test_a_module_of_the_folder_where_the_search_starts_is_found_by_workers(tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(OWN_TRAINABLE))
    command = [sys.executable, "-c", textwrap.dedent(OWN_SEARCH)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == '{"COMPLETE": 2}'


def test_more_lane_workers_than_this_machine_has_room_for_are_refused_at_once(one_gpu, tmp_path):
    resources = {"workers": 3, "gpus_per_worker": 0.5}
    study = declare("regularization", name="here", data=DATA, executor="lanes", resources=resources)
    with pytest.raises(RunError) as refused:
        record(study, tmp_path / "home")
    assert refused.value.errors == (
        "3 workers of 1 CPU and 0.5 GPU each do not fit on this machine, which has 5 CPU and 1 GPU: lower --workers, "
        "--cpus-per-worker or --gpus-per-worker",
    )
