"""A node is taken from a cluster of two in the middle of a search: its trials go on on the other."""

import contextlib
import logging
import signal
import threading

import pytest
import ray
from ray._private import ray_constants
from ray.cluster_utils import Cluster

from search.ledger.outcome import TrialState
from tests.search.executors.conftest import ROOT, record, steady_study
from tests.support.steady import trained, undisturbed

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


def remove_in_the_middle(cluster, second, folder, done):
    """Remove the second node once a trial has trained three epochs there."""
    while not done.wait(0.05):
        there = [e for e in map(lambda epochs: epochs[-1], trained(folder).values()) if e.node == second.node_id]
        if any(3 <= e.epoch <= EPOCHS - 4 for e in there):
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
