"""The plain PyTorch training loop. Everything faster is checked against it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from trainables.config import MlpConfig
from trainables.data import Splits
from trainables.data.memory import is_mapped
from trainables.data.splits import TargetScale
from trainables.early_stopping import EarlyStopping
from trainables.fitting import refuse_misfit
from trainables.losses import build_loss
from trainables.metrics import classification_metrics, regression_metrics
from trainables.models import build_model, dropout_streams, penalised_weights
from trainables.report import EpochReport, all_finite, stop_reason
from trainables.schedules import build_schedule
from trainables.seeding import generator
from trainables.task import Task

EVALUATION_BATCH = 8192
"""Most examples that are validated at once."""
EVALUATION_NUMBERS = 1 << 23
"""Most numbers that they have together, so that large images do not exhaust the memory ..."""
FEWEST_EVALUATED = 64
"""... but at least as many examples as this."""


@dataclass(frozen=True)
class DeviceData:
    """A data set as tensors on one device; batches are index slices.

    Attributes:
        x_train: [N, ...] float32, or [V * N, ...]: V views of each example, one view of all examples after
            another. For models that convert them themselves also uint8 pixels [N, channels, height, width];
            such trials do not stack.
        y_train: [N] int64 class numbers, or float32 standardised numbers.
        x_val, y_val: likewise, of one view.
        outputs: C, or 1 where the target is a number.
        scale: of a numeric target; None for classes.
        asked: metrics that every report is to hold besides the usual ones.
        views: V; epoch e (from 0) trains on view e % V of every example.

    Raises:
        ValueError: the training examples are not ``views`` for each target.
    """

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_val: torch.Tensor
    y_val: torch.Tensor
    outputs: int
    scale: TargetScale | None = None
    asked: tuple[str, ...] = ()
    views: int = 1

    def __post_init__(self) -> None:
        if self.views < 1 or len(self.x_train) != self.views * self.examples:
            raise ValueError(
                f"x_train must hold {self.views} views of {self.examples} examples, got {len(self.x_train)} rows"
            )

    @classmethod
    def of(cls, splits: Splits, device: torch.device) -> DeviceData:
        """Return the arrays of ``splits`` on ``device``; on CPU they share their memory where they may be written."""
        train, val = splits.train, splits.val
        x_train, y_train, x_val, y_val = (as_tensor(a, device) for a in (train.x, train.y, val.x, val.y))
        return cls(x_train, y_train, x_val, y_val, splits.outputs, splits.scale, splits.asked)

    @property
    def examples(self) -> int:
        """N, the number of training examples, whatever the number of views."""
        return len(self.y_train)

    def first_row(self, epoch: int) -> int:
        """Return where in ``x_train`` the view that epoch ``epoch`` (from 0) trains on begins."""
        return epoch % self.views * self.examples

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example: [D] for a table, [channels, height, width] for an image."""
        return tuple(self.x_train.shape[1:])

    @property
    def features(self) -> int:
        """D, after flattening."""
        return math.prod(self.shape)

    @property
    def task(self) -> Task:
        """What is learned."""
        return Task.CLASSIFICATION if self.scale is None else Task.REGRESSION

    @cached_property
    def spread(self) -> float:
        """Sum of the squared distances of the validation targets from their mean."""
        y = self.y_val.double()
        return float((y - y.mean()).square().sum())


def as_tensor(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array on ``device``; on CPU the two share their memory where it may be written."""
    # Ray hands out arrays that are read-only, which torch cannot express
    return torch.from_numpy(array if array.flags.writeable or is_mapped(array) else array.copy()).to(device)


def batch_bounds(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Return (start, stop) of each batch of ``n`` examples.

    A last batch of one example, which batch norm cannot use, is merged into the one before.
    """
    starts = list(range(0, n, batch_size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))


class TrainingRun:
    """One trial in training.

    Args:
        config: the trial's configuration.
        data: the examples, on ``device``.
        seed: the trial's seed; weights, shuffling and dropout derive their streams from it.
        device: where the model trains.
        model: what is trained, on ``device``; the MLP of the configuration by default.
        optimizer: of the configuration's kind, over parameters of ``model``; one over all of them by default. It may
            have several groups of parameters: a group's ``factor`` (1 where it has none) times the first
            group's learning rate is its own, in every epoch of every schedule.
    """

    def __init__(
        self,
        config: MlpConfig,
        data: DeviceData,
        *,
        seed: int,
        device: torch.device,
        model: nn.Module | None = None,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.config = config
        self.data = data
        self.epoch = 0
        self.model = build_model(config, data.shape, data.outputs, seed=seed, device=device) if model is None else model
        self.loss = build_loss(config.loss, data.task)
        self.training_loss = build_loss(config.loss, data.task, label_smoothing=config.label_smoothing)
        self.optimizer = build_optimizer(self.model.parameters(), config) if optimizer is None else optimizer
        self.schedule = build_schedule(self.optimizer, config)
        scale_rates(self.optimizer)
        self.early_stopping = EarlyStopping(config.patience, config.min_delta)
        self.shuffle = generator(seed, "shuffle")

    def step(self) -> EpochReport:
        """Train one epoch, validate, move the schedule, count the patience."""
        started = time.perf_counter()
        rate = self.optimizer.param_groups[0]["lr"]
        train_loss = self.train_epoch()
        metrics = self.evaluate()
        val_loss = metrics["val_loss"]
        finite = all_finite(train_loss, val_loss)
        if finite:
            self.schedule.step(val_loss)
            scale_rates(self.optimizer)
        self.early_stopping.update(val_loss)
        self.epoch += 1
        return EpochReport(
            epoch=self.epoch,
            metrics={"train_loss": train_loss, **metrics, "lr": rate},
            seconds=time.perf_counter() - started,
            stop=stop_reason(
                epoch=self.epoch,
                max_epochs=self.config.max_epochs,
                finite=finite,
                out_of_patience=self.early_stopping.exhausted,
            ),
        )

    def train_epoch(self) -> float:
        """Pass once over the training examples in a fresh order; return the mean loss, without penalty."""
        n, first = self.data.examples, self.data.first_row(self.epoch)
        x, y = self.data.x_train[first : first + n], self.data.y_train
        order = torch.randperm(n, generator=self.shuffle).to(x.device)
        total = torch.zeros((), device=x.device)
        self.model.train()
        for start, stop in batch_bounds(n, self.config.batch_size):
            batch = order[start:stop]
            loss = self.training_loss(self.model(x[batch]), y[batch])
            penalty = self.config.l1_penalty * l1_norm(self.model) if self.config.l1_penalty else 0.0
            self.optimizer.zero_grad()
            (loss + penalty).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.detach() * len(batch)
        return total.item() / n

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return the mean validation loss and the metrics of the task."""
        y = self.data.y_val
        self.model.eval()
        outputs = torch.cat([self.model(x) for x in torch.split(self.data.x_val, self._evaluated)])  # [N, C]
        found = {"val_loss": self.loss(outputs, y, reduction="sum").item() / len(y)}
        if self.data.scale is None:
            found["val_accuracy"] = (outputs.argmax(1) == y).sum().item() / len(y)
            found |= classification_metrics(self.data.asked, outputs, y)
        else:
            error = outputs.squeeze(1) - y
            squares, distances = error.square().sum().item(), error.abs().sum().item()
            found |= regression_metrics(squares, distances, n=len(y), spread=self.data.spread, scale=self.data.scale)
        if "parameters" in self.data.asked:
            found["parameters"] = float(sum(p.numel() for p in self.model.parameters() if p.requires_grad))
        return found

    @property
    def _evaluated(self) -> int:
        """How many examples are validated at once."""
        return max(FEWEST_EVALUATED, min(EVALUATION_BATCH, EVALUATION_NUMBERS // self.data.features))

    def state_dict(self) -> dict[str, Any]:
        """Return everything a bitwise resume needs."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "early_stopping": self.early_stopping.state_dict(),
            "shuffle": self.shuffle.get_state(),
            "dropout": [stream.get_state() for stream in dropout_streams(self.model)],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken.

        Raises:
            CheckpointError: it is the state of another run; nothing was taken over.
        """
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        refuse_misfit(state, self.state_dict(), self.config, [p.shape for p in parameters])
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.early_stopping.load_state_dict(state["early_stopping"])
        self.shuffle.set_state(state["shuffle"])
        for stream, saved in zip(dropout_streams(self.model), state["dropout"], strict=True):
            stream.set_state(saved)


def fit(run: TrainingRun) -> Iterator[EpochReport]:
    """Yield the reports of ``run`` until it ends itself."""
    while True:
        report = run.step()
        yield report
        if report.stop is not None:
            return


def l1_norm(model: nn.Module) -> torch.Tensor:
    """Return the sum of the absolute weights of the linear layers and convolutions."""
    return torch.stack([w.abs().sum() for w in penalised_weights(model)]).sum()


def scale_rates(optimizer: torch.optim.Optimizer) -> None:
    """Give every group of parameters the first group's learning rate times its own ``factor``."""
    first, *others = optimizer.param_groups
    for group in others:
        group["lr"] = first["lr"] * group.get("factor", 1.0)


def build_optimizer(parameters: Iterable[Any], config: MlpConfig) -> torch.optim.Optimizer:
    """Return AdamW or SGD with momentum over parameters, or groups of them as torch's optimisers take them.

    Fused: one kernel reads and writes a parameter, its gradient and its moments once.
    """
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    return torch.optim.SGD(
        parameters,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True,
    )
