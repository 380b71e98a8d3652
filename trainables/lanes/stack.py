"""A stack: lanes of one group that train together, each with its own trial or none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from trainables.lanes.activations import ACTIVATIONS
from trainables.lanes.bank import Bank
from trainables.lanes.feed import Batch, Feed
from trainables.lanes.graphs import StepGraphs, graphed
from trainables.lanes.grouping import GroupKey
from trainables.lanes.layout import Layout
from trainables.lanes.losses import build_stacked_loss
from trainables.lanes.network import EvaluationScratch, Features, Network, Scratch
from trainables.lanes.products import Products
from trainables.lanes.trial import LaneTrial
from trainables.lanes.updates import build_update
from trainables.loop import DeviceData
from trainables.metrics import classification_metrics
from trainables.report import EpochReport

VALIDATION_ROWS = 512
"""Validation examples at a time: few enough for their activations to stay in a cache."""


class Stack:
    """Lanes that train together.

    Args:
        key: what the trials have in common.
        layout: of a lane's numbers.
        data: the examples, on ``device``.
        lanes: how many.
        products: the matrix products.
        device: where it all lies.

    Attributes:
        broken: set where an epoch raised: its trials are in the middle of one, and no other is to join them.
    """

    def __init__(
        self,
        key: GroupKey,
        layout: Layout,
        data: DeviceData,
        *,
        lanes: int,
        products: Products,
        device: torch.device,
    ) -> None:
        self.key = key
        self.trials: list[LaneTrial | None] = [None] * lanes
        self.broken = False
        self._data = data
        self._x_train, self._x_val = data.x_train.flatten(1), data.x_val.flatten(1)
        self._bank = Bank.empty(layout, lanes, optimizer=key.optimizer, device=device)
        self._loss = build_stacked_loss(key.loss, data.task)
        self._network = Network(layout, self._bank, ACTIVATIONS[key.activation], products, self._loss)
        self._update = build_update(layout, self._bank, self._network.grads, optimizer=key.optimizer)
        self._feed = Feed(data, lanes=lanes, batch_size=key.batch_size, hidden=key.hidden)
        self._scratch: dict[int, Scratch] = {}
        self._evaluation: dict[int, EvaluationScratch] = {}
        self._step: Callable[[Batch, Features], None] = self._train
        if graphed(device):
            changed = (*self._bank.tensors, self._network.loss_sum, *self._update.counters)
            self._step = StepGraphs(self._train, changed)

    @property
    def seated(self) -> list[LaneTrial]:
        """The trials in its lanes."""
        return [t for t in self.trials if t is not None]

    @property
    def memory_bytes(self) -> int:
        """What its tensors take."""
        tensors = [*self._bank.tensors, self._network.grads, self._update.scratch, *self._feed.tensors]
        for training in self._scratch.values():
            tensors += training.tensors
        for evaluation in self._evaluation.values():
            tensors += evaluation.tensors
        return sum(t.numel() * t.element_size() for t in tensors)

    def seat(self, trial: LaneTrial) -> None:
        """Put ``trial`` into the first free lane; its numbers move there."""
        lane = self.trials.index(None)
        row = self._bank.lane(lane)
        row.copy_(trial.bank)
        trial.bank = row
        self.trials[lane] = trial
        self._network.knobs.set_lane(lane, trial.config)

    def retire(self, trial: LaneTrial) -> None:
        """Free the trial's lane; zeros stay behind: no NaN, and no numbers that are slow."""
        lane = self.trials.index(trial)
        self.trials[lane] = None
        self._bank.lane(lane).zero_()

    def advance(self) -> list[tuple[LaneTrial, EpochReport]]:
        """Train and validate every seated trial for one epoch."""
        started = time.perf_counter()
        features = self._features()
        self._update.prepare(self.trials)
        self._network.begin_epoch()
        for batch in self._feed.epoch(self.trials):
            self._step(batch, features)
        validation, outputs = self._validate(features)
        sums = torch.cat([self._network.loss_sum.unsqueeze(0), validation]).T.tolist()  # [L, 1 + sums]
        seconds = (time.perf_counter() - started) / len(self.seated)
        reports = []
        for lane, trial in enumerate(self.trials):
            if trial is None:
                continue
            metrics = self._loss.metrics(sums[lane][1:], self._data)
            if self._data.asked:
                metrics |= self._asked(trial, outputs[lane])
            train_loss = sums[lane][0] / len(self._x_train)
            reports.append((trial, trial.finish_epoch(train_loss=train_loss, metrics=metrics, seconds=seconds)))
        return reports

    def _train(self, batch: Batch, features: Features) -> None:
        scratch = self._buffers(batch.size)
        scratch.load(self._x_train, batch.rows)
        self._network.gradients(scratch, batch.labels, batch.bits, features)
        self._update.step()

    def _validate(self, features: Features) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss's sums over the validation examples, and the outputs if metrics ask for them.

        Shapes: [sums, L] and [L, C, N], or [L, 0].
        """
        sums = self._x_val.new_zeros(self._loss.sums, len(self.trials))
        kept = [self._x_val.new_zeros(len(self.trials), 0)]
        for x, y in self._validation_blocks():
            scratch = self._evaluation_buffers(len(x))
            outputs = self._network.logits(scratch, x, features)  # [L, C, B]
            sums += self._loss.validate(outputs, y, scratch=scratch.log_p)
            if self._data.asked:
                kept.append(outputs.clone())
        return sums, torch.cat(kept[1:], 2) if self._data.asked else kept[0]

    def _asked(self, trial: LaneTrial, outputs: torch.Tensor) -> dict[str, float]:
        """Return the metrics that are computed only where a study names them  # [C, N]."""
        found: dict[str, float] = {}
        if self._data.scale is None:
            found = classification_metrics(self._data.asked, outputs.T, self._data.y_val)
        if "parameters" in self._data.asked:
            found["parameters"] = float(trial.parameters)
        return found

    def _validation_blocks(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for start in range(0, len(self._x_val), VALIDATION_ROWS):
            block = slice(start, start + VALIDATION_ROWS)
            yield self._x_val[block], self._data.y_val[block]

    def _buffers(self, size: int) -> Scratch:
        if size not in self._scratch:
            self._scratch[size] = self._network.scratch(size)
        return self._scratch[size]

    def _evaluation_buffers(self, size: int) -> EvaluationScratch:
        if size not in self._evaluation:
            self._evaluation[size] = self._network.evaluation_scratch(size)
        return self._evaluation[size]

    def _features(self) -> Features:
        configs = [t.config for t in self.seated]
        return Features(
            dropout=any(c.dropout > 0 for c in configs),
            batch_norm=any(c.batch_norm for c in configs),
            no_norm=not all(c.batch_norm for c in configs),
            l1=any(c.l1_penalty > 0 for c in configs),
        )
