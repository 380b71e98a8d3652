"""What the tests of the lanes share: small data, the loop's curves, and a queue that keeps lanes full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import product

import torch

from trainables.config import SCHEDULES, MlpConfig
from trainables.data import DataSpec, load_splits
from trainables.device_data import DeviceData
from trainables.lanes import LaneWorker, Seat
from trainables.lanes.stack import Stack
from trainables.loop import TrainingRun, fit
from trainables.report import EpochReport

CPU = torch.device("cpu")
Curves = dict[int, list[EpochReport]]


@cache
def digits(train: int = 257, val: int = 100) -> DeviceData:
    """257 training examples: four batches of 64, and one example left over, which is merged.

    Centred anew, as whole data sets are: a pixel that no example of these changes must be 0.
    """
    data = DeviceData.of(load_splits(DataSpec("digits")), CPU)
    x, x_val = data.x_train[:train].double(), data.x_val[:val].double()
    mean = x.mean(0)
    return DeviceData((x - mean).float(), data.y_train[:train], (x_val - mean).float(), data.y_val[:val], data.outputs)


def random_data(n: int, features: int, classes: int, *, seed: int = 0) -> DeviceData:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n + 17, features, generator=rng)
    y = torch.randint(classes, (n + 17,), generator=rng)
    return DeviceData(x[:n], y[:n], x[n:], y[n:], classes)


def as_double(data: DeviceData) -> DeviceData:
    wide = {name: getattr(data, name).double() for name in ("x_train", "x_val")}
    if data.scale is not None:
        wide |= {name: getattr(data, name).double() for name in ("y_train", "y_val")}
    if data.weights is not None:
        wide["weights"] = data.weights.double()
    return replace(data, **wide)


def in_views(data: DeviceData, views: int) -> DeviceData:
    """Return ``data`` with ``views`` views of each training example: the first, and others moved to the right.

    A pixel that no example changes stays 0, as above.
    """
    x = torch.cat([data.x_train.roll(view, -1) for view in range(views)])
    return replace(data, x_train=x, views=views)


def weighted(data: DeviceData) -> DeviceData:
    """Return ``data`` with a weight for each training example, 1 on average, some of them 0."""
    weights = torch.rand(data.examples, generator=torch.Generator().manual_seed(1), dtype=data.x_train.dtype)
    weights[::9] = 0
    return replace(data, weights=weights / weights.mean())


@contextmanager
def double_precision() -> Iterator[None]:
    """Models, buffers and drawn weights are float64 while inside, in the loop and in the lanes."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def grid(optimizer: str, *, max_epochs: int = 10) -> list[MlpConfig]:
    """Every schedule x batch norm x dropout; decay and L1 penalty in some."""
    choices = product(SCHEDULES, (False, True), (0.0, 0.3))
    return [
        MlpConfig(
            max_epochs=max_epochs,
            hidden=(24, 16),
            dropout=dropout,
            batch_norm=batch_norm,
            optimizer=optimizer,
            learning_rate=1e-3 if optimizer == "adamw" else 0.02,
            weight_decay=(0.0, 1e-2)[i % 2],
            l1_penalty=(0.0, 1e-4, 0.0)[i % 3],
            schedule=schedule,
            step_size=3,
            plateau_patience=0,
            warmup_epochs=4,
        )
        for i, (schedule, batch_norm, dropout) in enumerate(choices)
    ]


def heads(optimizer: str, *, max_epochs: int = 6) -> list[MlpConfig]:
    """Linear models and one hidden layer x inputs dropped or not x labels smoothed or not."""
    choices = product(((), (7,)), (0.0, 0.3, 0.6), (0.0, 0.1))
    return [
        MlpConfig(
            max_epochs=max_epochs + i % 3,
            hidden=hidden,
            batch_size=32,
            dropout=0.3 * (i % 2),
            input_dropout=input_dropout,
            label_smoothing=label_smoothing,
            optimizer=optimizer,
            learning_rate=0.02,
            weight_decay=(0.0, 1e-2, 0.0)[i % 3],
            schedule=SCHEDULES[i % len(SCHEDULES)],
        )
        for i, (hidden, input_dropout, label_smoothing) in enumerate(choices)
    ]


def loop_curve(config: MlpConfig, data: DeviceData, *, seed: int) -> list[EpochReport]:
    return list(fit(TrainingRun(config, data, seed=seed, device=CPU)))


def lane_curves(
    worker: LaneWorker,
    trials: Sequence[tuple[int, MlpConfig]],
    *,
    retire_early: Sequence[int] = (),
    early_epoch: int = 3,
) -> Curves:
    """Train ``trials`` (seed and configuration; the seed is the number) through the worker's lanes.

    A lane is refilled as soon as its trial ends; ``retire_early`` are taken out after ``early_epoch``.
    """
    queue = list(trials)
    curves: Curves = {}
    seats: dict[int, Seat] = {}
    while queue or seats:
        while queue and worker.free:
            seed, config = queue.pop(0)
            seats[seed] = worker.seat(seed, config, seed=seed)
            curves[seed] = []
        for number, event in worker.advance().items():
            if event.error is not None:
                raise event.error
            assert event.report is not None
            curves[number].append(event.report)
            early = number in retire_early and event.report.epoch == early_epoch
            if event.report.stop is not None or early:
                seats.pop(number).retire()
    worker.close()
    return curves


def stacked(data: DeviceData, lanes: int, *, threads: int = 1, make_stack: Callable[..., Stack] = Stack) -> LaneWorker:
    return LaneWorker(data, device=CPU, lanes=lanes, mode="stacked", threads=threads, make_stack=make_stack)


def numbers(reports: Sequence[EpochReport]) -> list[tuple[float, ...]]:
    """Every metric of a curve, for comparison bit for bit."""
    return [tuple(report.metrics.values()) for report in reports]


def widest(found: Sequence[EpochReport], expected: Sequence[EpochReport]) -> float:
    """Return the largest relative difference of a loss along two curves."""
    return max(
        abs(a.metrics[name] - b.metrics[name]) / abs(b.metrics[name])
        for a, b in zip(found, expected, strict=True)
        for name in ("train_loss", "val_loss")
    )
