"""The plain PyTorch training loop. Everything faster is checked against it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from trainables.config import MlpConfig
from trainables.device_data import DeviceData, batch_bounds
from trainables.early_stopping import EarlyStopping
from trainables.losses import build_loss
from trainables.models import build_model, dropout_streams, l1_norm
from trainables.optimizers import build_optimizer, scale_rates
from trainables.report import EpochReport, all_finite, stop_reason
from trainables.schedules import build_schedule
from trainables.scores import scores
from trainables.seeding import generator
from trainables.state_check import check_state


class TrainingRun:
    """One trial in training.

    Args:
        config: the trial's configuration.
        data: the examples, on ``device``.
        seed: the trial's seed; weights, shuffling and dropout derive their streams from it.
        device: where the model trains.
        model: what is trained, on ``device``; the MLP of the configuration by default.
        optimizer: one of the configuration's kind, over parameters of ``model``; over all of them by default. It
            may have several groups of parameters: a group's ``factor`` (1 where it has none) times the first
            group's learning rate is its own, in every epoch of every schedule.
        all_learn: whether every parameter gets a gradient; a head that training leaves out has no moments to save.

    Attributes:
        around_forward: the context in which the model is called while it trains.
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
        all_learn: bool = True,
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
        self.around_forward: AbstractContextManager[object] = nullcontext()
        self._all_learn = all_learn
        self._seed = seed

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
        """Pass once over the training examples in a fresh order; return the mean loss, without penalty.

        Where examples have weights, a batch's loss is the mean of weight times loss over its examples, not divided by
        the sum of their weights: as these are 1 on average, its gradient has that of all examples as its mean.
        """
        n, y, weights = self.data.examples, self.data.y_train, self.data.weights
        order = torch.randperm(n, generator=self.shuffle).to(y.device)
        batches = [order[start:stop] for start, stop in batch_bounds(n, self.config.batch_size)]
        total = torch.zeros((), device=y.device)
        self.model.train()
        inputs = self.data.training_batches(batches, epoch=self.epoch, seed=self._seed)
        for batch, x in zip(batches, inputs, strict=True):
            with self.around_forward:
                outputs = self.model(x)
            if weights is None:
                loss = self.training_loss(outputs, y[batch])
            else:
                loss = (self.training_loss(outputs, y[batch], reduction="none") * weights[batch]).mean()
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
        outputs = torch.cat([self.model(x) for x in self.data.validation_batches()])  # [N, C]
        found = scores(
            outputs,
            y,
            loss=self.loss,
            scale=self.data.scale,
            spread=self.data.spread,
            extra_metrics=self.data.extra_metrics,
        )
        if "parameters" in self.data.extra_metrics:
            found["parameters"] = float(sum(p.numel() for p in self.model.parameters() if p.requires_grad))
        return found

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
        check_state(state, self.state_dict(), self.config, [p.shape for p in parameters], all_learn=self._all_learn)
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
