import copy
import dataclasses

import pytest
import torch

from tests.trainables.conftest import CPU
from trainables.config import CnnConfig, MlpConfig
from trainables.data import DataSpec, load_splits
from trainables.data.splits import Arrays
from trainables.device_data import batch_bounds
from trainables.errors import ConfigError
from trainables.loop import fit
from trainables.metrics import METRICS
from trainables.models import Cnn
from trainables.network_trainables import MlpTrainable
from trainables.registry import TRAINABLES, find_trainable

SPLITS = load_splits(DataSpec("digits", train_examples=100))
OTHERS = {"transfer": load_splits(DataSpec("digits", train_examples=100, pixels=True))}
"""The examples of those that take no others."""
SETTINGS = {"transfer": {"weights": "none"}}


@pytest.mark.parametrize("name", TRAINABLES)
def test_every_trainable_reports_what_it_promises_and_ends_itself(name):
    trainable = find_trainable(name)
    config = trainable.configure(SETTINGS.get(name, {}), max_epochs=2)
    data = trainable.prepare(OTHERS.get(name, SPLITS), CPU)
    reports = list(fit(trainable.start(config, data, seed=1, device=CPU)))
    usual = {n for n, m in METRICS.items() if m.task in (None, SPLITS.task) and not m.extra}
    assert set(reports[0].metrics) == usual & set(trainable.metrics)
    assert {"train_loss", "val_loss"} <= set(trainable.metrics)
    assert [r.epoch for r in reports] == list(range(1, len(reports) + 1))
    assert len(reports) == (1 if name == "estimator" else 2)  # a fit is one epoch
    assert [r.stop for r in reports] == [None] * (len(reports) - 1) + ["max_epochs"]
    assert isinstance(trainable.stacks, bool)


@pytest.mark.parametrize("name", TRAINABLES)
def test_every_trainable_continues_from_its_state(name):
    trainable = find_trainable(name)
    config = trainable.configure(SETTINGS.get(name, {}), max_epochs=3)
    data = trainable.prepare(OTHERS.get(name, SPLITS), CPU)
    whole, resumed = (trainable.start(config, data, seed=1, device=CPU) for _ in range(2))
    whole.step()
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))  # as torch's own, it is a view of what lives
    after, again = whole.step(), resumed.step()
    assert (again.epoch, dict(again.metrics)) == (after.epoch, dict(after.metrics))


@pytest.mark.parametrize("name", TRAINABLES)
def test_every_trainable_refuses_an_unknown_setting(name):
    with pytest.raises(ConfigError, match="unknown setting 'widht'"):
        find_trainable(name).configure({"widht": 1}, max_epochs=1)


def test_the_model_parameter_of_a_net_chooses_its_configuration():
    net = find_trainable("net")
    assert net.configure({"model": "mlp", "hidden": "8"}, max_epochs=1) == MlpConfig(max_epochs=1, hidden=(8,))
    assert net.configure({"hidden": "8"}, max_epochs=1) == MlpConfig(max_epochs=1, hidden=(8,))
    params = {"model": "cnn", "channels": "4-8", "head": "none", "global_pool": True, "dropout": 0.1}
    expected = CnnConfig(max_epochs=1, channels=(4, 8), hidden=(), global_pool=True, dropout=0.1)
    assert net.configure(params, max_epochs=1) == expected
    for params, said in [
        ({"model": "rnn"}, "model must be mlp or cnn, got 'rnn'"),
        ({"model": "mlp", "channels": "4"}, "unknown setting 'channels'"),
        ({"model": "cnn", "channels": "0"}, "channels must be one width >= 1 or more, got (0,)"),
        ({"model": "cnn", "channels": "wide"}, "channels must be widths such as 128-64, got 'wide'"),
    ]:
        with pytest.raises(ConfigError) as caught:
            net.configure(params, max_epochs=1)
        assert str(caught.value).startswith(said)


def test_a_net_whose_model_is_cnn_trains_a_cnn():
    net = find_trainable("net")
    config = net.configure({"model": "cnn", "channels": "4", "head": "8"}, max_epochs=1)
    run = net.start(config, net.prepare(SPLITS, CPU), seed=1, device=CPU)
    assert isinstance(run.model, Cnn)
    assert run.step().stop == "max_epochs"


def test_a_cnn_on_a_table_is_refused_in_one_line():
    net = find_trainable("net")
    wine = load_splits(DataSpec("wine"))
    cnn, mlp = (net.configure({"model": model}, max_epochs=1) for model in ("cnn", "mlp"))
    assert net.misfits(cnn, wine) == [
        "model=cnn needs images, and wine has rows of 13 numbers; "
        "use --set model=mlp, or a --dataset of images such as digits"
    ]
    assert net.misfits(mlp, wine) == net.misfits(cnn, SPLITS) == []


def test_a_trainable_of_another_module_is_found_by_its_path():
    assert isinstance(find_trainable("trainables.registry:MlpTrainable"), MlpTrainable)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mpl", "unknown trainable 'mpl'; known: mlp, net, estimator, transfer, or package.module:attribute"),
        ("no_such_module:Thing", "trainable 'no_such_module:Thing' cannot be imported: No module named"),
        ("trainables.registry:Thing", "trainable 'trainables.registry:Thing' cannot be imported: module"),
    ],
)
def test_an_unknown_trainable_names_those_there_are(name, said):
    with pytest.raises(ConfigError) as caught:
        find_trainable(name)
    assert str(caught.value).startswith(said)


def test_examples_land_on_the_device_as_tensors():
    data = MlpTrainable().prepare(SPLITS, CPU)
    assert (data.x_train.shape, data.x_train.dtype, data.x_train.device) == ((100, 1, 8, 8), torch.float32, CPU)
    assert data.y_train.dtype == torch.int64
    assert (data.features, data.outputs) == (64, 10)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 65])
def test_batch_norm_is_refused_exactly_where_a_batch_has_one_example(n, batch_size):
    splits = dataclasses.replace(SPLITS, train=Arrays(SPLITS.train.x[:n], SPLITS.train.y[:n]))
    trainable = MlpTrainable()
    config = trainable.configure({"batch_norm": True, "batch_size": batch_size}, max_epochs=1)
    single = any(stop - start == 1 for start, stop in batch_bounds(n, batch_size))
    refused = trainable.misfits(config, splits)
    assert len(refused) == single
    if not single:
        run = trainable.start(config, trainable.prepare(splits, CPU), seed=1, device=CPU)
        assert run.step().epoch == 1
