"""A small transfer: digits 5 to 9, weights learned for one epoch from 0 to 4."""

import pytest
import torch

from trainables.data import DataSpec, load_splits
from trainables.registry import find_trainable

CPU = torch.device("cpu")
SETTINGS = {"source_epochs": 1, "batch_size": 32, "learning_rate": 0.01, "views": 2}
TRANSFER = find_trainable("transfer")


@pytest.fixture(scope="session")
def splits():
    return load_splits(DataSpec("digits", pixels=True, half="second", train_examples=97))


def configured(*, max_epochs=3, **params):
    return TRANSFER.configure({**SETTINGS, **params}, max_epochs=max_epochs)


def started(splits, data=None, *, seed=1, max_epochs=3, **params):
    data = TRANSFER.prepare(splits, CPU) if data is None else data
    return TRANSFER.start(configured(max_epochs=max_epochs, **params), data, seed=seed, device=CPU)


def curve(run, epochs=3):
    return [dict(run.step().metrics) for _ in range(epochs)]
