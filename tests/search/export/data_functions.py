"""Functions that return data, as a user writes them."""

import numpy as np
import torch
from torch.utils.data import TensorDataset

_rng = np.random.default_rng(0)
X = _rng.normal(3, 2, (160, 5)).astype(np.float32)
Y = (X[:, 0] > 3).astype(np.int64)
AMOUNT = 3 * X[:, 1] + 1
PIXELS = _rng.integers(0, 255, (160, 1, 6, 6), dtype=np.uint8)
TRAINED = 120


def _parts(x, y):
    return (x[:TRAINED], y[:TRAINED]), (x[TRAINED:], y[TRAINED:])


def rows():
    return _parts(X, Y)


def numbers():
    return _parts(X, AMOUNT)


def images():
    return _parts(PIXELS, Y)


def datasets():
    return tuple(TensorDataset(torch.tensor(x), torch.tensor(y)) for x, y in _parts(X, Y))
