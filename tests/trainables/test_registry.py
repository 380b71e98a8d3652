import copy

import pytest
import torch

from tests.trainables.conftest import CPU
from trainables.data import DataSpec, load_splits
from trainables.errors import ConfigError
from trainables.loop import fit
from trainables.metrics import METRICS
from trainables.registry import TRAINABLES, MlpTrainable, find_trainable

SPLITS = load_splits(DataSpec("digits", train_examples=100))


@pytest.mark.parametrize("name", TRAINABLES)
def test_every_trainable_reports_what_it_promises_and_ends_itself(name):
    trainable = find_trainable(name)
    config = trainable.configure({}, max_epochs=2)
    reports = list(fit(trainable.start(config, trainable.prepare(SPLITS, CPU), seed=1, device=CPU)))
    usual = {n for n, m in METRICS.items() if m.task in (None, SPLITS.task) and not m.asked}
    assert set(reports[0].metrics) == usual & set(trainable.metrics)
    assert {"train_loss", "val_loss"} <= set(trainable.metrics)
    assert [r.epoch for r in reports] == list(range(1, len(reports) + 1))
    assert len(reports) == (1 if name == "estimator" else 2)  # a fit is one epoch
    assert [r.stop for r in reports] == [None] * (len(reports) - 1) + ["max_epochs"]
    assert isinstance(trainable.stacks, bool)


@pytest.mark.parametrize("name", TRAINABLES)
def test_every_trainable_continues_from_its_state(name):
    trainable = find_trainable(name)
    config, data = trainable.configure({}, max_epochs=3), trainable.prepare(SPLITS, CPU)
    whole, resumed = (trainable.start(config, data, seed=1, device=CPU) for _ in range(2))
    whole.step()
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))  # as torch's own, it is a view of what lives
    after, again = whole.step(), resumed.step()
    assert (again.epoch, dict(again.metrics)) == (after.epoch, dict(after.metrics))


@pytest.mark.parametrize("name", TRAINABLES)
def test_every_trainable_refuses_an_unknown_setting(name):
    with pytest.raises(ConfigError, match="unknown setting 'widht'"):
        find_trainable(name).configure({"widht": 1}, max_epochs=1)


def test_a_trainable_of_another_module_is_found_by_its_path():
    assert isinstance(find_trainable("trainables.registry:MlpTrainable"), MlpTrainable)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mpl", "unknown trainable 'mpl'; known: mlp, estimator, or package.module:attribute"),
        ("no_such_module:Thing", "trainable 'no_such_module:Thing' cannot be imported: No module named"),
        ("trainables.registry:Thing", "trainable 'trainables.registry:Thing' cannot be imported: module"),
    ],
)
def test_a_name_that_is_none_says_what_is_allowed(name, said):
    with pytest.raises(ConfigError) as caught:
        find_trainable(name)
    assert str(caught.value).startswith(said)


def test_examples_land_on_the_device_as_tensors():
    data = MlpTrainable().prepare(SPLITS, CPU)
    assert (data.x_train.shape, data.x_train.dtype, data.x_train.device) == ((100, 1, 8, 8), torch.float32, CPU)
    assert data.y_train.dtype == torch.int64
    assert (data.features, data.outputs) == (64, 10)
