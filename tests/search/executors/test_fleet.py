"""How many lane workers a cluster has room for, and when a study takes lanes there."""

import dataclasses

import pytest
import torch

from search.declaration.studies import find
from search.declaration.study import Resources
from search.drive.engine import began_on_tune
from search.executors.capacity import Capacity
from search.executors.choice import choose_executor, choose_number
from search.executors.fleet import Fleet
from search.ledger import Ledger
from search.ledger.paths import Paths
from spaces import Space, float_
from tests.search.executors.conftest import record
from trainables.user_model import ModelTrainable

CORES, ONE_GPU = Capacity(cpus=4, gpus=0), Capacity(cpus=4, gpus=1)


def study_on(*, trials=64, lanes=None, trainable="mlp", **resources):
    """Return a study on a cluster, which names no executor."""
    study = find("regularization")
    changes = {
        "resources": Resources(**{"address": "auto", **resources}),
        "lanes": study.lanes.model_copy(update={"lanes": lanes}),
        "budget": study.budget.model_copy(update={"trials": trials}),
    }
    return study.model_copy(update={**changes, "trainable": trainable})


@pytest.mark.parametrize(
    ("capacity", "share", "room"),
    [
        (CORES, {"cpus": 1, "gpus": 0}, 4),
        (CORES, {"cpus": 1.5, "gpus": 0}, 2),
        (CORES, {"cpus": 1, "gpus": 1}, 0),
        (ONE_GPU, {"cpus": 1, "gpus": 0.25}, 4),
        (ONE_GPU, {"cpus": 2, "gpus": 0.25}, 2),
        (Capacity(cpus=16, gpus=2), {"cpus": 1, "gpus": 0.4}, 4),  # not 5: the fifth would have two halves
        (Capacity(cpus=16, gpus=3), {"cpus": 1, "gpus": 2}, 1),
        (Capacity(cpus=16, gpus=0.5), {"cpus": 1, "gpus": 0.25}, 2),
    ],
)
def test_a_share_of_a_gpu_is_of_one_device(capacity, share, room):
    assert capacity.room_for(**share) == room


def test_there_is_a_worker_for_each_core_of_every_node():
    fleet = Fleet.of(study_on(trials=640), [CORES, Capacity(cpus=2, gpus=0)])
    assert (fleet.cpus, fleet.gpus, fleet.first, fleet.elastic) == (1.0, 0.0, 6, True)


def test_where_a_node_has_gpus_there_is_a_worker_for_each_of_these_and_none_on_other_nodes():
    nodes = [CORES, ONE_GPU, Capacity(cpus=8, gpus=2)]
    fleet = Fleet.of(study_on(trials=640), nodes)
    assert (fleet.gpus, fleet.first) == (1.0, 3)
    assert Fleet.of(study_on(trials=640, gpus_per_worker=0.5), nodes).first == 6
    assert Fleet.of(study_on(trials=640, gpus_per_worker=0.0), nodes).first == 16, "0 says: on cores"


@pytest.mark.parametrize(
    ("trials", "lanes", "trainable", "workers"),
    [
        (64, None, "mlp", 4),  # four lanes each are a quarter of the trials
        (16, None, "mlp", 1),
        (64, 16, "mlp", 1),
        (64, 1, "mlp", 16),
        (64, None, "estimator", 16),  # what is looped gains nothing by wide lanes
    ],
)
def test_there_are_no_more_workers_than_a_quarter_of_the_trials_fills(trials, lanes, trainable, workers):
    given = {"trials": trials, "lanes": lanes, "trainable": trainable}
    assert Fleet.of(study_on(**given), [Capacity(cpus=100, gpus=0)]).first == workers


def test_one_worker_waits_for_a_node_that_has_room_for_it():
    fleet = Fleet.of(study_on(gpus_per_worker=1.0), [CORES])
    assert fleet.first == 1
    assert fleet.waiting_line([CORES]) == (
        "waiting: a worker takes 1 CPU and 1 GPU, and the cluster has 4 CPU and 0 GPU now; an autoscaler may add a "
        "node or free a share, and the search goes on when a worker is up"
    )


def test_as_a_cluster_grows_there_are_more_workers_and_as_it_shrinks_none_is_asked_for():
    fleet = Fleet.of(study_on(trials=64, lanes=4), [Capacity(cpus=2, gpus=0)])
    wanted = [fleet.wanted([Capacity(cpus=cpus, gpus=0)], lanes=4) for cpus in (2, 3, 6, 100, 1)]
    assert wanted == [2, 3, 6, 8, 2], "half of the trials at once at most; those that were lost wait for a node"


@pytest.mark.parametrize("resources", [{"workers": 3}, {"workers": 3, "address": None}, {"address": None}])
def test_a_number_that_was_named_stays(resources):
    fleet = Fleet.of(study_on(**resources), [Capacity(cpus=100, gpus=4)])
    count = resources.get("workers", 1)
    assert (fleet.first, fleet.elastic) == (count, False)
    assert fleet.wanted([Capacity(cpus=100, gpus=4)], lanes=2) == count
    assert fleet.gpus == (1.0 if "address" not in resources else 0.0)


def test_what_stacks_takes_lanes_on_a_cluster_too():
    choice = choose_executor(study_on())
    assert (choice.executor, choice.reason) == ("lanes", "mlp stacks, on workers of the Ray cluster")
    assert choice.several_processes, "be it one worker"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"executor": "tune"}, "as asked for"),
        ({"trainable": "estimator"}, "estimator does not stack"),
        (
            {"resources": Resources(address="auto", gpus_per_trial=0.25)},
            "a share of a GPU for each trial was asked for",
        ),
    ],
)
def test_what_does_not_and_what_asks_for_ray_tune_takes_it_there(changes, reason):
    choice = choose_executor(study_on().model_copy(update=changes))
    assert (choice.executor, choice.reason) == ("tune", reason)


@pytest.mark.parametrize(
    ("resources", "executor", "reason"),
    [
        ({"address": None}, "lanes", " is stacked where that is faster, else looped, on one machine"),
        ({"address": None, "workers": 2}, "lanes", " is stacked where that is faster, else looped"),
        ({"address": None, "gpus_per_worker": 1}, "tune", " stacks on a CPU alone"),
        ({"address": None, "gpus_per_trial": 1}, "tune", "a share of a GPU for each trial was asked for"),
        ({"address": None, "cpus_per_trial": 2}, "tune", "a number of cores for each trial was asked for"),
        ({}, "tune", "has a process of its own on a cluster"),
    ],
)
def test_a_users_model_takes_lanes_on_cpus_of_one_machine(resources, executor, reason):
    choice = choose_executor(study_on(trainable="model:tests.trainables.user_models:small", **resources))
    assert choice.executor == executor and reason in choice.reason
    assert choice.several_processes, "its code may hang or exit"


@pytest.mark.parametrize(("width", "lanes"), [(8, 16), (8_000_000, 13), (10**9, 1)])
def test_lanes_of_large_models_are_as_many_as_have_room(width, lanes):
    class Large(ModelTrainable):
        def module_of(self, config, data, *, seed, device):
            return torch.nn.Linear(1, width, device="meta")  # two numbers for each of its width

    study = study_on(trainable="model:a:b", address=None)
    study = study.model_copy(update={"settings": {}, "space": Space((float_("rate", 0.1, 1.0, baseline=0.5),))})
    found, reason = choose_number(study, Large("a:b"), None, torch.device("cpu"))
    assert found == lanes
    assert ("over 4 GiB" in reason) == (found < 16)


def test_a_study_of_a_cluster_that_was_begun_on_ray_tune_stays_there():
    choice = choose_executor(study_on(), began_on_tune=True)
    assert (choice.executor, choice.reason) == ("tune", "the study was begun on it")
    asked = study_on().model_copy(update={"executor": "lanes"})
    assert choose_executor(asked, began_on_tune=True).executor == "lanes", "what is asked for now counts"


def test_a_session_in_lanes_is_told_from_one_on_ray_tune_by_the_lanes_that_were_recorded(tmp_path):
    here = study_on(trials=2, address=None)
    changes = {
        "name": "here",
        "executor": "lanes",
        "tracking": here.tracking.model_copy(update={"enabled": False}),
        "confirm": here.confirm.model_copy(update={"pairs": 0}),
        "scheduler": here.scheduler.model_copy(update={"name": "none"}),
        "budget": here.budget.model_copy(update={"trials": 2, "max_epochs": 1}),
    }
    here = here.model_copy(update=changes)
    record(here, tmp_path)
    with Ledger(Paths(tmp_path, "here").ledger_url) as ledger:
        row = ledger.study("here")
        on_tune = dataclasses.replace(row, facts=row.facts.model_copy(update={"lanes": None}))
        assert not began_on_tune(ledger, row, study_on())
        assert began_on_tune(ledger, on_tune, study_on())
        assert not began_on_tune(ledger, on_tune, here), "no cluster is named"
