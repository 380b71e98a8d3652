"""Nodes come and go in the middle of a search: trials of a lost one go on on another, and a new one gets a worker."""

import contextlib
import logging
import signal
import threading
from functools import partial

import pytest
import ray
from ray._private import ray_constants
from ray.cluster_utils import Cluster

from search.declaration.studies import find
from search.ledger.outcome import TrialState
from tests.search.executors.conftest import ROOT, record, steady_study
from tests.support.controls import SpentOnce
from tests.support.steady import release, trained, undisturbed
from trainables.data import DataSpec

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(240)]

TRIALS, EPOCHS = 4, 10
EXECUTORS = {
    "tune": {"executor": "tune"},
    "lanes": {"executor": "lanes", "lanes": {"lanes": 2}},
}


NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}


@pytest.fixture(scope="module")
def cluster():
    """A cluster on loopback whose one node, with a core, is the driver's."""
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        # Or Ray takes the outer address for 127.0.0.1, and listens on every interface.
        patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # They say where `auto` leads on this machine; somebody may run a cluster here.
        patch.setattr("ray._private.utils.write_ray_address", lambda *_, **__: None)
        patch.setattr("ray._common.utils.reset_ray_address", lambda *_, **__: None)
        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        try:
            with contextlib.chdir(ROOT):
                ray.init(address=cluster.address, logging_level=logging.ERROR, log_to_driver=False)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()
            signal.signal(signal.SIGTERM, handler)


def trains_on(node, folder, *, epochs):
    """Say whether a trial has trained so many epochs or more, the last of them on a node, and has some to go."""
    there = [e for e in map(lambda trained: trained[-1], trained(folder).values()) if e.node == node.node_id]
    return any(epochs <= e.epoch <= EPOCHS - 4 for e in there)


def remove_in_the_middle(cluster, second, folder, done):
    """Remove the second node once a trial has trained three epochs there."""
    while not done.wait(0.05):
        if trains_on(second, folder, epochs=3):
            cluster.remove_node(second, allow_graceful=False)
            return


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_trials_of_a_lost_node_move_to_the_other(cluster, tmp_path, executor):
    second = cluster.add_node(**NODE)
    done = threading.Event()
    thread = threading.Thread(target=remove_in_the_middle, args=(cluster, second, tmp_path, done))
    thread.start()
    resources = {"workers": 2, "address": cluster.address}
    changes = {**EXECUTORS[executor], "resources": resources}
    try:
        recorded = record(
            steady_study(tmp_path, epoch_s=0.2, trials=TRIALS, max_epochs=EPOCHS, **changes), tmp_path / "home"
        )
    finally:
        done.set()
        thread.join()
    assert second not in cluster.list_all_nodes(), "it was removed"
    assert [(t.number, t.state) for t in recorded.trials] == [(n, TrialState.COMPLETE) for n in range(TRIALS)]
    assert [s.ending for s in recorded.sessions] == ["done"]
    found = trained(tmp_path)
    moved = [
        t for t in recorded.trials if {e.node for e in found[t.seed]} == {second.node_id, cluster.head_node.node_id}
    ]
    assert moved, "some had begun on the node that was lost"
    for trial in recorded.trials:
        assert recorded.curve(trial.number) == undisturbed(trial, EPOCHS, tmp_path / "home"), "bit for bit"
        assert len(found[trial.seed]) <= EPOCHS + 1, "an epoch is trained again at most"
    kind = {"tune": "actor_lost", "lanes": "worker_lost"}[executor]
    events = recorded.events[recorded.events["kind"] == kind]["message"].tolist()
    assert any("unavailable" in m or "node" in m for m in events), events


def come_and_go(cluster, folder, nodes):
    """Add a node when the first trial has trained an epoch; remove it once a trial has trained three there.

    Trials hold after three epochs, so that none ends before; when the node is gone, all are let go on.
    """
    if not nodes and trained(folder):
        nodes.append(cluster.add_node(**NODE))
    elif nodes and nodes[0] in cluster.list_all_nodes():
        if trains_on(nodes[0], folder, epochs=3):
            cluster.remove_node(nodes[0], allow_graceful=False)
    elif nodes:
        for seed in trained(folder):
            release(folder, seed)
    return False


def test_a_node_that_comes_gets_a_worker_and_where_it_never_returns_the_search_goes_on(cluster, tmp_path):
    nodes, trials = [], 8
    lanes = {"executor": "lanes", "lanes": {"lanes": 2}, "resources": {"address": cluster.address}}
    # asked all the time whether to stop, on the main thread, which alone may start nodes
    control = SpentOnce(partial(come_and_go, cluster, tmp_path, nodes))
    study = steady_study(tmp_path, epoch_s=0.02, trials=trials, max_epochs=EPOCHS, hold_after=3, **lanes)
    recorded = record(study, tmp_path / "home", control=control)
    assert nodes and nodes[0] not in cluster.list_all_nodes(), "it came and went"
    assert [(t.number, t.state) for t in recorded.trials] == [(n, TrialState.COMPLETE) for n in range(trials)]
    found = trained(tmp_path)
    assert {e.node for epochs in found.values() for e in epochs} == {nodes[0].node_id, cluster.head_node.node_id}
    for trial in recorded.trials:
        assert recorded.curve(trial.number) == undisturbed(trial, EPOCHS, tmp_path / "home"), "bit for bit"
        assert len(found[trial.seed]) <= EPOCHS + 1, "an epoch is trained again at most"
    said = recorded.events.groupby("kind")["message"].apply(list)
    assert "worker 1: 2 lanes, as the others; the cluster has room for it now" in said["lanes"]
    assert len(said["worker_lost"]) == 1 and said["worker_lost"][0].startswith("worker 1 was lost")


def test_what_stacks_takes_lanes_on_every_core_and_trains_the_curves_of_one_process(cluster, tmp_path):
    """Each trial is given by its seed: with random search the same ones are trained on any number of workers."""
    declared = find("regularization")
    plain = {
        "data": DataSpec("digits", train_examples=300),
        "budget": declared.budget.model_copy(update={"trials": 32, "max_epochs": 3}),
        "sampler": "random",
        "tracking": declared.tracking.model_copy(update={"enabled": False}),
        "scheduler": declared.scheduler.model_copy(update={"name": "none"}),
        "confirm": declared.confirm.model_copy(update={"pairs": 0}),
    }
    study = declared.model_copy(update={**plain, "name": "spread", "executor": "auto"})
    second = cluster.add_node(**NODE)
    try:
        resources = study.resources.model_copy(update={"address": cluster.address})
        spread = record(study.model_copy(update={"resources": resources}), tmp_path / "home")
    finally:
        cluster.remove_node(second)
    alone = record(study.model_copy(update={"name": "alone"}), tmp_path / "home")
    assert spread.events[spread.events["kind"] == "lanes"]["message"].tolist() == [
        f"worker {i}: 4 lanes: a quarter of 32 trials, at most 32" for i in range(2)
    ]
    assert [t.state for t in spread.trials] == [TrialState.COMPLETE] * 32
    for number in range(32):
        assert spread.curve(number) == alone.curve(number) != [], "bit for bit"
