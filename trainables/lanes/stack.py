"""A stack: lanes of one group that train together, each with its own trial or none."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from trainables.device_data import DeviceData
from trainables.lanes.bank import Bank
from trainables.lanes.blueprint import Blueprint
from trainables.lanes.build import build_network
from trainables.lanes.feed import Batch, Feed
from trainables.lanes.graphs import StepGraphs, graphed
from trainables.lanes.modules.blueprint import LEAST_LANES, ModuleBlueprint
from trainables.lanes.network import StepVariant
from trainables.lanes.products import Products
from trainables.lanes.trial import LaneTrial
from trainables.lanes.updates import build_update
from trainables.metrics import classification_metrics
from trainables.report import EpochReport


class Stack:
    """Lanes that train together.

    Args:
        blueprint: what the trials have in common.
        data: the examples, on ``device``.
        lanes: how many.
        products: the matrix products.
        device: where it all lies.
        graphs: whether a step runs as a CUDA graph where the device and the network allow it.

    Attributes:
        broken: set where an epoch raised: its trials are in the middle of one, and no other is to join them.
    """

    def __init__(
        self,
        blueprint: Blueprint | ModuleBlueprint,
        data: DeviceData,
        *,
        lanes: int,
        products: Products,
        device: torch.device,
        graphs: bool = True,
    ) -> None:
        key, layout = blueprint.key, blueprint.layout
        if isinstance(blueprint, ModuleBlueprint):
            lanes = max(lanes, LEAST_LANES)
        self.key = key
        self.trials: list[LaneTrial | None] = [None] * lanes
        self.broken = False
        self._data = data
        self._bank = Bank.empty(layout, lanes, optimizer=key.optimizer, device=device)
        self._network = build_network(blueprint, self._bank, data, products=products)
        self._update = build_update(layout, self._bank, self._network.grads, optimizer=key.optimizer)
        self._feed = Feed(data, lanes=lanes, batch_size=key.batch_size, units=blueprint.units)
        self._before: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._draws_before: list[tuple[LaneTrial, list[torch.Tensor]]] = []
        self._graphs: StepGraphs | None = None
        if graphs and graphed(device) and not self._network.autograd:
            self._graphs = StepGraphs((*self._bank.tensors, self._network.loss_sum, *self._update.counters))

    @property
    def seated(self) -> list[LaneTrial]:
        """The trials in its lanes."""
        return [t for t in self.trials if t is not None]

    @property
    def memory_bytes(self) -> int:
        """What the stack's tensors take."""
        network = self._network
        tensors = [*self._bank.tensors, network.grads, self._update.scratch, *self._feed.tensors, *network.tensors]
        return sum(t.numel() * t.element_size() for t in tensors)

    def seat(self, trial: LaneTrial) -> None:
        """Put ``trial`` into the first free lane; its numbers move there."""
        lane = self.trials.index(None)
        row = self._bank.lane(lane)
        row.copy_(trial.bank)
        trial.bank = row
        self.trials[lane] = trial
        self._network.seat(lane, trial)

    def retire(self, trial: LaneTrial) -> None:
        """Free the trial's lane; zeros stay behind: no NaN, and no numbers that are slow."""
        lane = self.trials.index(trial)
        self.trials[lane] = None
        self._bank.lane(lane).zero_()
        self._network.leave(lane)

    def go_back(self) -> None:
        """Put the numbers of the seated trials back to where the epoch began that raised, where they were kept."""
        for part, kept in self._before:
            part.copy_(kept)
        for trial, state in self._draws_before:
            trial.set_draws(state)
        self._before, self._draws_before = [], []

    def _keep(self, changing: Sequence[torch.Tensor]) -> None:
        """Keep where an epoch of modules begins: code of the user's own may raise in it."""
        self._before = [(tensor, tensor.clone()) for tensor in (*self._bank.tensors, *changing)]
        self._draws_before = [(trial, trial.draws()) for trial in self.seated]

    def advance(self) -> list[tuple[LaneTrial, EpochReport]]:
        """Train and validate every seated trial for one epoch."""
        if (changing := self._network.changing) is not None:
            self._keep(changing)
        with torch.no_grad() if self._network.autograd else torch.inference_mode():
            return self._advance()

    def _advance(self) -> list[tuple[LaneTrial, EpochReport]]:
        started = time.perf_counter()
        variant = StepVariant.of([t.config for t in self.seated])
        self._update.prepare(self.trials)
        self._network.begin_epoch()
        for batch in self._feed.epoch(self.trials):
            if self._graphs is None:
                self._train(batch, variant)
            else:
                self._graphs(self._train, batch, variant)
        validation, outputs = self._validate(variant)
        sums = torch.cat([self._network.loss_sum.unsqueeze(0), validation]).T.tolist()  # [L, 1 + sums]
        seconds = (time.perf_counter() - started) / len(self.seated)
        reports = []
        for lane, trial in enumerate(self.trials):
            if trial is None:
                continue
            metrics = self._network.loss.metrics(sums[lane][1:], self._data)
            if self._data.extra_metrics:
                metrics |= self._extra_metrics(trial, outputs[lane])
            train_loss = sums[lane][0] / self._data.examples
            reports.append((trial, trial.finish_epoch(train_loss=train_loss, metrics=metrics, seconds=seconds)))
        return reports

    def _train(self, batch: Batch, variant: StepVariant) -> None:
        self._network.gradients(batch, variant)
        self._update.step()

    def _validate(self, variant: StepVariant) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss's sums over the validation examples, and the outputs if metrics ask for them.

        Shapes: [sums, L] and [L, C, N], or [L, 0].
        """
        x = self._data.x_val
        sums = x.new_zeros(self._network.loss.sums, len(self.trials))
        kept = [x.new_zeros(len(self.trials), 0)]
        step = self._network.validation_rows
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            found, outputs = self._network.validate(x[rows], self._data.y_val[rows], variant)
            sums += found
            if self._data.extra_metrics:
                kept.append(outputs.clone())
        return sums, torch.cat(kept[1:], 2) if self._data.extra_metrics else kept[0]

    def _extra_metrics(self, trial: LaneTrial, outputs: torch.Tensor) -> dict[str, float]:
        """Return the metrics that are computed only where a study names them  # [C, N]."""
        found: dict[str, float] = {}
        if self._data.scale is None:
            found = classification_metrics(self._data.extra_metrics, outputs.T, self._data.y_val)
        if "parameters" in self._data.extra_metrics:
            found["parameters"] = float(trial.parameters)
        return found
