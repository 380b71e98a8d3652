"""A trial that trains a module, while it holds a lane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from trainables.config import MlpConfig
from trainables.derive import derive
from trainables.lanes.blueprint import Names
from trainables.lanes.modules.blueprint import ModuleBlueprint
from trainables.lanes.modules.form import Place
from trainables.lanes.modules.source import BuiltModule
from trainables.lanes.trial import LaneTrial
from trainables.own_draws import OwnDraws


class ModuleTrial(LaneTrial):
    """A trial's own state beside a stack's tensors; its checkpoint is that of ``StreamedRun``.

    Args:
        number: the caller's number for the trial.
        config: what drives the loop.
        blueprint: of its group.
        built: the trial's module, at epoch 0.
        batches: how many an epoch has.
        seed: the trial's seed.
        device: where the numbers live; a CPU.

    Attributes:
        plain: the module itself, until its first batch was compared with its lane's; None afterwards.
        rest: the module's buffers, by name.
        generator: what its module draws from while it trains.
        floats: see ``ModuleForm``.
    """

    def __init__(
        self,
        number: int,
        config: MlpConfig,
        blueprint: ModuleBlueprint,
        *,
        built: BuiltModule,
        batches: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.plain: nn.Module | None = built.module
        super().__init__(number, config, blueprint, batches=batches, seed=seed, device=device)
        self._state_names = blueprint.state
        self.rest = {name: buffer.detach().clone() for name, buffer in built.module.named_buffers()}
        self.floats: Mapping[Place, float] = built.form.floats
        self.generator = torch.Generator().manual_seed(derive(seed, "model"))

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state, as ``StreamedRun.state_dict`` has it."""
        return {**super().state_dict(), "torch": {"cpu": self.generator.get_state()}}

    def weights(self) -> Callable[[], dict[str, torch.Tensor]]:
        """Return what makes the model's state as it is now."""
        rest = {name: buffer.clone() for name, buffer in self.rest.items()}
        return partial(_module_state, self._names, self._state_names, self.bank.params.clone(), rest)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a lane's or a loop's state was taken; a state of another run raises, and changes nothing."""
        super().load_state_dict(state)
        for name, own in self._state_names.items():
            if own in self.rest:
                self.rest[own].copy_(state["model"][name])
        self.generator.set_state(state["torch"]["cpu"])

    @torch.no_grad()
    def plain_outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the plain module makes of a batch of training examples; no later draw moves by it.

        The module is of no other use afterwards.
        """
        model, before = self.plain, self.generator.get_state()
        assert model is not None, "it is there until the first batch"
        if self.epoch:
            model.load_state_dict(self.weights()())
        model.train()
        try:
            with OwnDraws(self.generator):
                found: torch.Tensor = model(x)
                return found
        finally:
            self.generator.set_state(before)

    def draws(self) -> list[torch.Tensor]:
        """Return where the trial's random numbers are."""
        return [*super().draws(), self.generator.get_state()]

    def set_draws(self, states: Sequence[torch.Tensor]) -> None:
        """Go back to where ``draws`` was."""
        super().set_draws(states)
        self.generator.set_state(states[1])

    def _draw_weights(self, rng: torch.Generator) -> None:
        with torch.no_grad():
            assert self.plain is not None, "it is there until the first batch"
            for name, weight in self.plain.named_parameters():
                self._names.parameters[name].of(self.bank.params).copy_(weight)


def _module_state(
    names: Names, state_names: Mapping[str, str], params: torch.Tensor, rest: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return copies of a lane's row [P] and buffers by the names of the plain loop."""
    found = {name: slot.of(params).clone() for name, slot in names.parameters.items()}
    return {name: found[own] if own in found else rest[own] for name, own in state_names.items()}
