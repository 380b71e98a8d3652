"""The threads that train: which CUDA device theirs is, with CUDA's part played."""

import pytest
import torch
from torch.cuda._utils import _get_device_index

from trainables.lanes.threads import start_pool


@pytest.mark.parametrize(("device", "expected"), [("cuda", 1), ("cuda:0", 0), ("cpu", None)])
def test_a_thread_trains_on_the_device_of_its_caller(
    device: str, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a number a device is the caller's current one; ``set_device`` refuses it so."""
    found: list[int] = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: found.append(_get_device_index(device)))
    start_pool(1, torch.device(device), flush=False).shutdown()
    assert found == ([] if expected is None else [expected])
