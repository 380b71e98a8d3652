"""Lanes on a CUDA device: the step as a graph, dropout's bits drawn outside it."""

import pytest
import torch

from tests.trainables.lanes.cases import digits
from tests.trainables.lanes.device_oracle import CHECKS, LIMIT

ON_CUDA = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_CUDA)])
@pytest.mark.parametrize("name", CHECKS)
def test_lanes_on_a_device_equal_the_loop(name: str, device: str) -> None:
    assert CHECKS[name](digits(), torch.device(device)) <= LIMIT
