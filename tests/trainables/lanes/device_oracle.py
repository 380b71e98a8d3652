"""Lanes beside the plain loop on any device: what a test on a GPU asserts, callable where there is no pytest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from tests.trainables.lanes.cases import lane_curves
from trainables.config import CnnConfig, MlpConfig
from trainables.device_data import DeviceData
from trainables.lanes import LaneWorker
from trainables.lanes.stack import Stack
from trainables.loop import TrainingRun, fit
from trainables.report import EpochReport
from trainables.seeding import BitStream, draw_each

LIMIT = 1e-3
"""Largest relative difference of a loss: float32 as on CPU, but other kernels for other shapes."""
Check = Callable[[DeviceData, torch.device], float]


def on(data: DeviceData, device: torch.device) -> DeviceData:
    """Return the examples on ``device``."""
    names = ("x_train", "y_train", "x_val", "y_val")
    return replace(data, **{name: getattr(data, name).to(device) for name in names})


def mlps(optimizer: str) -> list[MlpConfig]:
    """Return trials that differ in everything that trials of a stack may differ in."""
    return [
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


def cnns() -> list[CnnConfig]:
    """Return trials of a small CNN, likewise."""
    return [
        CnnConfig(
            max_epochs=2 + i % 3,
            channels=(4, 6),
            hidden=(8,),
            batch_norm=i % 2 == 0,
            dropout=0.3 * (i % 3 > 0),
            l1_penalty=1e-4 * (i % 4 == 0),
        )
        for i in range(5)
    ]


def mlp_lanes_equal_the_loop(data: DeviceData, device: torch.device, *, lanes: int, optimizer: str) -> float:
    """Return the largest difference between the curves; lanes are retired and refilled."""
    return _from_loop(mlps(optimizer), on(data, device), device, lanes=lanes)


def cnn_lanes_equal_the_loop(data: DeviceData, device: torch.device, *, lanes: int) -> float:
    """Return the largest difference between the curves; ``data`` is rows of 64 pixels."""
    images = {name: getattr(data, name).view(-1, 1, 8, 8) for name in ("x_train", "x_val")}
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False  # convolutions round to 10 bits otherwise
    try:
        return _from_loop(cnns(), on(replace(data, **images), device), device, lanes=lanes)
    finally:
        torch.backends.cudnn.allow_tf32 = before


def graphs_change_nothing(data: DeviceData, device: torch.device) -> float:
    """Return the largest difference between curves by graphs and by single launches."""
    there, trials = on(data, device), list(enumerate(mlps("adamw")))
    by_graph, by_launch = (
        lane_curves(
            LaneWorker(there, device=device, lanes=4, mode="stacked", make_stack=partial(Stack, graphs=graphs)), trials
        )
        for graphs in (True, False)
    )
    return max(_apart(by_graph[number], by_launch[number]) for number in by_launch)


def one_draw_of_many_streams_is_each_streams_own(data: DeviceData, device: torch.device) -> float:
    """Return 0 where it is, else 1. On a CPU streams are drawn one by one, and there is nothing to compare."""
    if device.type == "cpu":
        return 0.0
    together, alone = ([BitStream(seed, device) for seed in (1, 2)] for _ in range(2))
    block = draw_each(together, 40)
    pieces = [torch.cat([stream.draw(12), stream.draw(28)]) for stream in alone]
    again = [BitStream(seed, device) for seed in (1, 2)]
    for stream, other in zip(alone, again, strict=True):
        other.set_state(stream.get_state())
    same = [torch.equal(row, piece) for row, piece in zip(block, pieces, strict=True)]
    same += [torch.equal(other.draw(8), stream.draw(8)) for other, stream in zip(again, alone, strict=True)]
    return float(not all(same))


CHECKS: dict[str, Check] = {
    **{
        f"mlp, {optimizer}, {lanes} lanes": partial(mlp_lanes_equal_the_loop, lanes=lanes, optimizer=optimizer)
        for optimizer in ("adamw", "sgd")
        for lanes in (1, 5)
    },
    "cnn, 3 lanes": partial(cnn_lanes_equal_the_loop, lanes=3),
    "graphs on and off": graphs_change_nothing,
    "dropout's streams": one_draw_of_many_streams_is_each_streams_own,
}
"""By name (examples, device) -> the largest relative difference that was found, which ``LIMIT`` bounds."""


def _from_loop(
    configs: list[MlpConfig] | list[CnnConfig], data: DeviceData, device: torch.device, *, lanes: int
) -> float:
    found = lane_curves(LaneWorker(data, device=device, lanes=lanes, mode="stacked"), list(enumerate(configs)))
    return max(
        _apart(found[seed], list(fit(TrainingRun(config, data, seed=seed, device=device))))
        for seed, config in enumerate(configs)
    )


def _apart(found: list[EpochReport], expected: list[EpochReport]) -> float:
    """Return the largest relative difference of a loss; a NaN is infinitely far."""
    pairs = zip(found, expected, strict=True)
    losses = [(a.metrics[name], b.metrics[name]) for a, b in pairs for name in ("train_loss", "val_loss")]
    return max(abs(a - b) / abs(b) if math.isfinite(a) and math.isfinite(b) else math.inf for a, b in losses)
