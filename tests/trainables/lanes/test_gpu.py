"""Lanes on a CUDA device: the step as a graph, dropout's bits drawn outside it."""

import pytest
import torch

from tests.trainables.lanes.cases import digits, lane_curves
from trainables.config import MlpConfig
from trainables.device_data import DeviceData
from trainables.lanes import LaneWorker
from trainables.loop import TrainingRun, fit
from trainables.seeding import BitStream, draw_each

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("lanes", [1, 5])
def test_lanes_on_a_gpu_equal_the_loop(lanes: int, optimizer: str) -> None:
    device = torch.device("cuda")
    small = digits()
    data = DeviceData(
        small.x_train.to(device),
        small.y_train.to(device),
        small.x_val.to(device),
        small.y_val.to(device),
        small.outputs,
    )
    configs = [
        MlpConfig(
            max_epochs=4 + i,
            hidden=(24, 16),
            optimizer=optimizer,
            batch_norm=i % 2 == 0,
            dropout=0.3 * (i % 3 > 0),
            input_dropout=0.2 * (i % 3 == 1),
            label_smoothing=0.1 * (i % 4 > 1),
            l1_penalty=1e-4 * (i % 4 == 0),
            schedule=("none", "cosine")[i % 2],
        )
        for i in range(9)
    ]
    found = lane_curves(LaneWorker(data, device=device, lanes=lanes, mode="stacked"), list(enumerate(configs)))
    for seed, config in enumerate(configs):
        expected = list(fit(TrainingRun(config, data, seed=seed, device=device)))
        for a, b in zip(found[seed], expected, strict=True):
            # as on CPU, but other kernels for other shapes
            assert a.metrics["val_loss"] == pytest.approx(b.metrics["val_loss"], rel=1e-3)


def test_one_draw_of_many_streams_is_each_streams_own() -> None:
    device = torch.device("cuda")
    together = [BitStream(seed, device) for seed in (1, 2)]
    alone = [BitStream(seed, device) for seed in (1, 2)]
    block = draw_each(together, 40)
    for row, stream in zip(block, alone, strict=True):
        assert torch.equal(row, torch.cat([stream.draw(12), stream.draw(28)]))
        other = BitStream(0, device)
        other._seed = stream._seed
        other.set_state(stream.get_state())
        assert torch.equal(other.draw(8), stream.draw(8))
