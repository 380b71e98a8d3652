"""Real data for runs: a part of the digits, so that an epoch takes milliseconds."""

import pytest
import torch

from trainables.data import DataSpec, load_splits
from trainables.device_data import DeviceData

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def digits():
    return DeviceData.of(load_splits(DataSpec("digits")), CPU)


@pytest.fixture(scope="session")
def few_digits():
    return DeviceData.of(load_splits(DataSpec("digits", train_examples=193)), CPU)  # 193 = 3 x 64 + 1
