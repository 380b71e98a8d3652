import dataclasses

import pytest
import torch

from tests.trainables.conftest import CPU
from trainables.data import DataSpec, load_splits
from trainables.loop import fit
from trainables.network_trainables import MlpTrainable
from trainables.refit import refit
from trainables.registry import find_trainable
from trainables.report import SECONDS

SPLITS = load_splits(DataSpec("wine"))


def made(name, params, *, max_epochs=6):
    trainable = find_trainable(name)
    return trainable, trainable.configure(params, max_epochs=max_epochs), trainable.prepare(SPLITS, CPU)


@pytest.mark.parametrize("epochs", [1, 3, 6, 9])
def test_it_ends_after_its_epochs_with_the_horizon_of_the_configuration(epochs):
    trainable, config, data = made("mlp", {"schedule": "cosine", "batch_size": 16})
    curve = list(fit(trainable.start(config, data, seed=2, device=CPU)))
    done = refit(trainable, config, data, seed=2, epochs=epochs)
    expected = curve[min(epochs, 6) - 1]
    assert {n: v for n, v in done.metrics.items() if n != SECONDS} == dict(expected.metrics)
    assert done.seconds > 0


def test_a_refit_ends_where_its_run_ends_itself():
    trainable, config, data = made("mlp", {"patience": 1, "min_delta": 100.0})
    done = refit(trainable, config, data, seed=2, epochs=6)
    curve = list(fit(trainable.start(config, data, seed=2, device=CPU)))
    assert len(curve) == 2
    assert done.metrics["val_loss"] == curve[-1].metrics["val_loss"]


@pytest.mark.parametrize("model", ["forest", "torch_mlp"])
def test_its_seconds_are_of_the_fit_alone_where_the_run_tells_them_apart(model):
    trainable, config, data = made("estimator", {"model": model, "forest_trees": 20})
    done = refit(trainable, config, data, seed=2, epochs=1)
    assert 0 < done.seconds < done.metrics[SECONDS]


def test_torch_has_its_threads_back_after_a_refit():
    class Breaks(MlpTrainable):
        def start(self, config, data, *, seed, device):
            assert torch.get_num_threads() == 1
            raise RuntimeError("no")

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        trainable, config, data = made("mlp", {})
        with pytest.raises(RuntimeError):
            refit(Breaks(), config, data, seed=0, epochs=1)
        assert torch.get_num_threads() == 3
        refit(trainable, dataclasses.replace(config, max_epochs=1), data, seed=0, epochs=1)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_refit_is_given_up_before_its_next_epoch():
    trainable, config, data = made("mlp", {})
    asked = iter([False, False, True])
    assert refit(trainable, config, data, seed=2, epochs=6, stopping=lambda: next(asked)) is None
    assert next(asked, None) is None
