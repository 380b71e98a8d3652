"""How the trials of each group of modules train: stacked, side by side or in turn; found out with the first of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from trainables.config import MlpConfig
from trainables.device_data import DeviceData
from trainables.lanes.draws import why_in_turn
from trainables.lanes.measure import ModeChoice
from trainables.lanes.modules.check import why_looped
from trainables.lanes.modules.form import ModuleForm, Place, form_of
from trainables.lanes.modules.key import ModuleKey
from trainables.lanes.threads import one_core
from trainables.protocols import BuildsModules, Run

IN_TURN = "in turn"
"""How looped trials train that share a generator: one after another. ``looped`` ones train side by side."""


@dataclass
class _Lifts:
    """The first trial of a stacked group, and the places where others were seen to differ from it rightly."""

    config: Any
    floats: Mapping[Place, float]
    checked: set[Place] = field(default_factory=set)


class ModuleGroups:
    """Decides how trials of modules train.

    Args:
        modules: builds them.
        start: starts a looped trial.
        device: where they train.
        mode: as asked for; see ``LaneWorker``.
        measured: what was found before, by ``str`` of the group's key; it is not looked at again.
        measure: (config, data) -> the faster mode of such trials, stacked or looped.

    Attributes:
        choices: what was found, by ``str`` of the group's key.
        modes: how each group trains.
    """

    def __init__(
        self,
        modules: BuildsModules,
        start: Callable[..., Run],
        *,
        device: torch.device,
        mode: str,
        measured: Mapping[str, str],
        measure: Callable[[Any, DeviceData], ModeChoice],
    ) -> None:
        self._modules, self._start, self._device = modules, start, device
        self._mode, self._measured, self._measure = mode, dict(measured), measure
        self._lifts: dict[Hashable, _Lifts] = {}
        self.choices: dict[str, ModeChoice] = {}
        self.modes: dict[Hashable, str] = {}

    def group(self, config: Any, data: Any, *, seed: int) -> ModuleKey | None:
        """Return the group of a trial, and see to it that its mode is known; None of one of another kind.

        Such are configurations of ours, and trials whose examples are not in memory.
        """
        if isinstance(config, MlpConfig) or not isinstance(data, DeviceData) or data.streams:
            return None
        form = form_of(self._modules.module_of(config, data, seed=seed, device=self._device))
        key = ModuleKey.of(form, self._modules.training_of(config))
        with one_core():
            if key not in self.modes:
                self.modes[key] = self._measured.get(str(key)) or self._find_mode(key, config, data)
            if self.modes[key] == "stacked":
                self._check_floats(key, config, data, form)
        return key

    def loop(self, key: ModuleKey, reason: str) -> None:
        """From now on train a group in the plain loop."""
        self.modes[key] = self._chosen(key, ModeChoice("looped", reason=reason))

    def _find_mode(self, key: ModuleKey, config: Any, data: DeviceData) -> str:
        if self._device.type != "cpu":
            return "looped"  # in turn there: a GPU's draws are no CPU's
        if reason := why_in_turn(self._start, config, data, device=self._device):
            return self._chosen(key, ModeChoice(IN_TURN, reason=reason))
        if self._mode == "looped":
            return self._chosen(key, ModeChoice("looped"))
        if reason := why_looped(self._modules, [config, config], data):
            return self._chosen(key, ModeChoice("looped", reason=f"not stacked, as {reason}"))
        choice = ModeChoice("stacked") if self._mode == "stacked" else self._measure(config, data)
        return self._chosen(key, choice)

    def _check_floats(self, key: ModuleKey, config: Any, data: DeviceData, form: ModuleForm) -> None:
        """Compare a trial that differs from the group's first where none did before, both stacked, with the loop."""
        first = self._lifts.setdefault(key, _Lifts(config, form.floats))
        places = {place for place, value in form.floats.items() if value != first.floats[place]} - first.checked
        if places and (reason := why_looped(self._modules, [first.config, config], data)):
            self.loop(key, f"not stacked any longer, as {reason}")
        first.checked |= places

    def _chosen(self, key: ModuleKey, choice: ModeChoice) -> str:
        self.choices[str(key)] = choice
        self._measured[str(key)] = choice.mode
        return choice.mode
