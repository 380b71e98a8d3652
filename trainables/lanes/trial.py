"""One trial while it holds a lane: its numbers, streams, schedule and patience, and its checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from trainables.config import MlpConfig
from trainables.derive import derive
from trainables.early_stopping import EarlyStopping
from trainables.lanes.bank import Bank
from trainables.lanes.blueprint import Blueprint, Names
from trainables.lanes.idle import idle_optimizer
from trainables.lanes.layout import Layout, Sizes
from trainables.lanes.modules.blueprint import ModuleBlueprint
from trainables.report import EpochReport, all_finite, stop_reason
from trainables.schedules import build_schedule
from trainables.seeding import BitStream, generator
from trainables.state_check import MOMENTS, check_state


class LaneTrial:
    """A trial's own state beside a stack's tensors.

    The learning rate moves in torch's own schedule, over an idle optimiser: the same numbers and the same
    state as in the plain loop, whatever torch computes.

    Args:
        number: the caller's number for the trial.
        config: the trial's configuration.
        blueprint: of its group.
        batches: how many an epoch has.
        seed: the trial's seed.
        device: where dropout's streams and the numbers live.
    """

    def __init__(
        self,
        number: int,
        config: MlpConfig,
        blueprint: Blueprint | ModuleBlueprint,
        *,
        batches: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.number = number
        self.config = config
        self.layout: Sizes = blueprint.layout
        self.batches = batches
        self.epoch = 0
        self._names: Names = blueprint.names(batch_norm=config.batch_norm)
        self.bank = Bank.empty(self.layout, optimizer=config.optimizer, device=device)
        self.optimizer = idle_optimizer(config)
        self.schedule = build_schedule(self.optimizer, config)
        self.optimizer.step()  # does nothing; torch's schedules warn when none came before them
        self.early_stopping = EarlyStopping(config.patience, config.min_delta)
        self.shuffle = generator(seed, "shuffle")
        self.streams = [BitStream(derive(seed, "dropout", i), device) for i in range(len(blueprint.units))]
        self.input_streams = [BitStream(derive(seed, "input_dropout"), device)] if config.input_dropout > 0 else []
        self._draw_weights(generator(seed, "weights"))

    @property
    def steps(self) -> int:
        """How many updates the trial has had."""
        return self.epoch * self.batches

    @property
    def learning_rate(self) -> float:
        """The rate of the epoch to come."""
        return float(self.optimizer.param_groups[0]["lr"])

    def draws(self) -> list[torch.Tensor]:
        """Return where the trial's random numbers are that an epoch of a module draws."""
        return [self.shuffle.get_state()]

    def set_draws(self, states: Sequence[torch.Tensor]) -> None:
        """Go back to where ``draws`` was."""
        self.shuffle.set_state(states[0])

    def finish_epoch(self, *, train_loss: float, metrics: dict[str, float], seconds: float) -> EpochReport:
        """Count the epoch, move the schedule and the patience, as ``TrainingRun.step`` does.

        Args:
            train_loss: mean over the epoch.
            metrics: of the validation examples, ``val_loss`` among them.
            seconds: the trial's share of the epoch.
        """
        rate, val_loss = self.learning_rate, metrics["val_loss"]
        finite = all_finite(train_loss, val_loss)
        if finite:
            self.schedule.step(val_loss)
        self.early_stopping.update(val_loss)
        self.epoch += 1
        return EpochReport(
            epoch=self.epoch,
            metrics={"train_loss": train_loss, **metrics, "lr": rate},
            seconds=seconds,
            stop=stop_reason(
                epoch=self.epoch,
                max_epochs=self.config.max_epochs,
                finite=finite,
                out_of_patience=self.early_stopping.exhausted,
            ),
        )

    @property
    def parameters(self) -> int:
        """How many trainable numbers the model has."""
        return sum(math.prod(slot.shape) for slot in self._names.parameters.values())

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state, as ``TrainingRun.state_dict`` has it."""
        settings = {k: v for k, v in self.optimizer.param_groups[0].items() if k != "params"}
        numbers = list(range(len(self._names.parameters)))
        return {
            "epoch": self.epoch,
            "model": self.weights()(),
            "optimizer": {
                "state": self._moments(),
                "param_groups": [{**settings, "params": numbers}],
            },
            "schedule": self.schedule.state_dict(),
            "early_stopping": self.early_stopping.state_dict(),
            "shuffle": self.shuffle.get_state(),
            "dropout": [stream.get_state() for stream in (*self.input_streams, *self.streams)],
        }

    def weights(self) -> Callable[[], dict[str, torch.Tensor]]:
        """Return what makes the model's state as it is now.

        Called after most epochs of most trials, so it copies two rows and builds nothing.
        """
        return partial(
            _model_state, self._names, self.bank.params.clone(), self.bank.statistics.clone(), steps=self.steps
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a lane's or a loop's state was taken.

        Raises:
            CheckpointError: it is the state of another run; nothing was taken over.
        """
        check_state(state, self.state_dict(), self.config, [s.shape for s in self._names.parameters.values()])
        self.epoch = state["epoch"]
        for name, slot in self._names.parameters.items():
            slot.of(self.bank.params).copy_(state["model"][name])
        for name, slot in self._names.statistics.items():
            slot.of(self.bank.statistics).copy_(state["model"][name])
        self._load_moments(state["optimizer"]["state"])
        settings = {k: v for k, v in state["optimizer"]["param_groups"][0].items() if k != "params"}
        self.optimizer.param_groups[0].update(settings)
        self.schedule.load_state_dict(state["schedule"])
        self.early_stopping.load_state_dict(state["early_stopping"])
        self.shuffle.set_state(state["shuffle"])
        for stream, saved in zip((*self.input_streams, *self.streams), state["dropout"], strict=True):
            stream.set_state(saved)

    def _draw_weights(self, rng: torch.Generator) -> None:
        # the order and the bounds of models.initialise; drawn on CPU, as there
        layout = self.layout
        assert isinstance(layout, Layout), "a trial of a module takes its weights from there"
        drawn = torch.zeros(layout.size)
        bound = 0.0
        for slot in self._names.linear:
            if len(slot.shape) > 1:
                bound = 1 / math.sqrt(math.prod(slot.shape[1:]))
            slot.of(drawn).uniform_(-bound, bound, generator=rng)
        for scale, pair in zip(layout.scales, layout.statistics, strict=True):
            scale.of(drawn).fill_(1)
            pair.of(self.bank.statistics)[1].fill_(1)
        self.bank.params.copy_(drawn)

    def _moments(self) -> dict[int, dict[str, torch.Tensor]]:
        if self.steps == 0 or (self.config.optimizer == "sgd" and self.config.momentum == 0):
            return {}
        kinds = MOMENTS[self.config.optimizer]
        banks = (self.bank.first, self.bank.second)
        state: dict[int, dict[str, torch.Tensor]] = {}
        for number, slot in enumerate(self._names.parameters.values()):
            entry = {"step": torch.tensor(float(self.steps))} if self.config.optimizer == "adamw" else {}
            for kind, bank in zip(kinds, banks, strict=False):
                entry[kind] = slot.of(bank).clone()
            state[number] = entry
        return state

    def _load_moments(self, state: dict[int, dict[str, torch.Tensor]]) -> None:
        kinds = MOMENTS[self.config.optimizer]
        banks = (self.bank.first, self.bank.second)
        for number, slot in enumerate(self._names.parameters.values()):
            for kind, bank in zip(kinds, banks, strict=False):
                view = slot.of(bank)
                saved = state.get(number, {}).get(kind)
                view.zero_() if saved is None else view.copy_(saved)


def _model_state(
    names: Names, params: torch.Tensor, statistics: torch.Tensor, *, steps: int
) -> dict[str, torch.Tensor]:
    """Return copies of a lane's rows [P] and [R] by the names of the plain loop."""
    found = {name: slot.of(params).clone() for name, slot in names.parameters.items()}
    for name, slot in names.statistics.items():
        found[name] = slot.of(statistics).clone()
    for name in names.counters:
        found[name] = torch.tensor(steps, device=params.device)
    return {name: found[name] for name in names.order}
