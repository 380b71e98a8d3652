"""A trainable that names what its trials can train as: stacked in a worker's lanes, looped where it says nothing."""

import pytest
import torch

from search.brain.order import TrialOrder
from search.executors.lane_host import LaneHost, Orders
from search.executors.marker import marked_trials
from spaces import Space, float_
from tests.search.executors.conftest import DATA, make_study
from tests.support.standing import Standing
from trainables.data import load_splits
from trainables.network_trainables import MlpTrainable
from trainables.protocols import HasStackableForm
from trainables.registry import find_trainable

CPU = torch.device("cpu")
EPOCHS = 4
ORDERS = tuple(
    TrialOrder(n, {"frozen": n % 3, "learning_rate": 1e-2, "input_dropout": 0.1}, seed=n, config_hash=str(n))
    for n in range(6)
)


@pytest.fixture
def make_host(tmp_path):
    """Return what makes a worker over the checkpoints of this test, as often as one likes."""
    hosts = []

    def make(**changes):
        study = make_study(
            tmp_path,
            "tests.support.standing:Standing",
            space=Space((float_("learning_rate", 1e-3, 1e-1, log=True, baseline=1e-2),)),
            settings={"frozen": 0},
            budget={"trials": 6, "max_epochs": EPOCHS},
            executor="lanes",
            lanes={"lanes": 6, **changes},
        )
        hosts.append(LaneHost(study, load_splits(DATA), device="cpu", checkpoints=tmp_path, marker=tmp_path / "at"))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


def expected(order):
    trainable = Standing()
    data = trainable.prepare(load_splits(DATA), CPU)
    run = trainable.start(trainable.configure(order.params, max_epochs=EPOCHS), data, seed=order.seed, device=CPU)
    return [run.step() for _ in range(EPOCHS)]


def compare(order, epoch, event):
    assert event.error is None
    loop = expected(order)[epoch - 1]
    assert (event.report.epoch, event.report.stop) == (loop.epoch, loop.stop)
    # float32, a few updates
    assert event.report.metrics["val_loss"] == pytest.approx(loop.metrics["val_loss"], rel=1e-5)


@pytest.mark.parametrize("mode", ["usual", "stacked", "looped"])
def test_trials_that_can_be_stood_in_for_stack_and_the_others_loop(make_host, tmp_path, mode):
    host = make_host(mode=mode)
    for epoch in range(1, EPOCHS + 1):
        events = host.advance(Orders(seat=ORDERS if epoch == 1 else ())).events
        for order in ORDERS:
            compare(order, epoch, events[order.number])
    modes = {str(key): mode for key, mode in host._worker.modes.items()}
    assert modes.pop("tests.support.standing.Body") == "looped"
    assert modes == {
        "mlp none, relu, batch 64, adamw, loss auto, 5 features": "looped" if mode == "looped" else "stacked"
    }
    assert host._trainable.started == 2, "the heads never came to it"
    assert list(marked_trials(tmp_path / "at")) == [3], "and left no mark"
    assert len(host._trainable.features) == 2


def test_trials_that_are_stood_in_for_continue_from_their_checkpoints(make_host):
    host = make_host()
    host.advance(Orders(seat=ORDERS))
    host.save([order.number for order in ORDERS])
    resumed = tuple(order.continued(epochs=1, best=None) for order in ORDERS)
    for mode in ("looped", "usual"):
        events = make_host(mode=mode).advance(Orders(seat=resumed)).events
        for order in ORDERS:
            compare(order, 2, events[order.number])


def test_features_are_the_trainables_to_keep_or_not(make_host):
    host = make_host()
    host.advance(Orders(seat=ORDERS))
    held = host._worker._stacked.memory_bytes
    events = host.advance(Orders(retire=(1, 4))).events
    assert sorted(events) == [0, 2, 3, 5]
    assert 0 < host._worker._stacked.memory_bytes < held
    host.advance(Orders(retire=(2, 5), compact=2))
    assert host._worker._stacked.memory_bytes == 0


def test_a_trainable_stands_in_where_it_has_the_methods_for_it():
    assert isinstance(find_trainable("tests.support.standing:Standing"), HasStackableForm)
    assert not isinstance(MlpTrainable(), HasStackableForm)
