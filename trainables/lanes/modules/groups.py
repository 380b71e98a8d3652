"""How the trials of each group of modules train: stacked, side by side or in turn; found out with the first of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from trainables.config import MlpConfig
from trainables.device_data import DeviceData
from trainables.errors import is_out_of_memory
from trainables.lanes.draws import config_batch_size, few_batches, is_changed_by_building, why_in_turn
from trainables.lanes.measure import IN_TURN, MEASURED_MODULES, REBUILT, SAMPLE_BATCHES, ModeChoice
from trainables.lanes.modules.blueprint import LEAST_LANES
from trainables.lanes.modules.check import LARGE, why_looped
from trainables.lanes.modules.form import Place
from trainables.lanes.modules.key import ModuleKey
from trainables.lanes.modules.source import BuiltModule, ModuleSource
from trainables.lanes.threads import one_core
from trainables.protocols import Run
from trainables.user_code import error_line

MOST_CORNERS = 16
"""Ends of the space whose modules are built to find those of a group."""

MOST_CHECKED = 4
"""Trials of a group that are compared with the plain loop before it is stacked; two of ``LARGE`` models."""


LONG_BATCH_S = 0.1
"""Seconds of a batch from which on a stack is not even tried out: what it saves is the start of operations, some
milliseconds of these."""

MEASURING_S = 3.0
"""Seconds that the measurement of both modes should take at most."""

MEASURED_EPOCHS = 3
"""Epochs of each mode that it trains."""


@dataclass
class _Lifts:
    """The first trial of a group that was checked, and the places where others were seen to differ from it rightly."""

    config: Any
    floats: Mapping[Place, float]
    checked: set[Place] = field(default_factory=set)

    def differing(self, floats: Mapping[Place, float]) -> set[Place]:
        """Return where a trial differs, and none did before."""
        return {place for place, value in floats.items() if value != self.floats[place]} - self.checked


class ModuleGroups:
    """Decides how trials of modules train.

    Args:
        modules: builds them.
        start: starts a looped trial.
        device: where they train.
        mode: as asked for; see ``LaneWorker``.
        measured: what was found before, by ``str`` of the group's key; it is not looked at again.
        lanes: how many trials train at once, over all groups.
        measure: (config, data, batches, lanes) -> the fastest mode of so many such trials on so many batches: stacked,
            looped side by side or in turn; where lanes is 0, of the latter two.

    Attributes:
        choices: what was found, by ``str`` of the group's key.
        modes: how each group trains.
    """

    def __init__(
        self,
        modules: ModuleSource,
        start: Callable[..., Run],
        *,
        device: torch.device,
        mode: str,
        measured: Mapping[str, str],
        lanes: int,
        measure: Callable[[Any, DeviceData, int, int], ModeChoice],
    ) -> None:
        self._modules, self._start, self._device = modules, start, device
        self._mode, self._measured, self._measure = mode, dict(measured), measure
        self._lanes = lanes
        self._keys: list[ModuleKey] | None = None
        self._lifts: dict[Hashable, _Lifts] = {}
        self._corners: list[tuple[Any, ModuleKey, Mapping[Place, float]]] | None = None
        self.choices: dict[str, ModeChoice] = {}
        self.modes: dict[Hashable, str] = {}

    def group(self, config: Any, data: Any, *, seed: int) -> BuiltModule | None:
        """Return a trial's module, and see to it that the mode of its group is known; None of a trial of another kind.

        Such are configurations of ours, and trials whose examples are not in memory.
        """
        if isinstance(config, MlpConfig) or not isinstance(data, DeviceData) or data.streams:
            return None
        built = self._modules.build(config, data, seed=seed, device=self._device)
        key = built.key
        if key not in self.modes:
            self.modes[key] = self._measured.get(str(key)) or self._find_mode(built, config, data)
        elif self.modes[key] == "stacked":
            self._check_floats(built, config, data)
        return built

    def learn(self, modes: Mapping[str, str]) -> None:
        """Take up what was found elsewhere, by ``str`` of the group's key; what was found here stays."""
        self._measured = {**modes, **self._measured}

    def loop(self, key: ModuleKey, reason: str) -> None:
        """From now on train a group in the plain loop."""
        self.modes[key] = self._chosen(key, ModeChoice("looped", reason=reason))

    def _find_mode(self, built: BuiltModule, config: Any, data: DeviceData) -> str:
        if self._device.type != "cpu":  # in turn there: a GPU's draws are no CPU's
            return REBUILT if self._is_changed_by_building(config, data) else "looped"
        done = "train at the same time" if self._mode == "looped" else "be stacked"
        with self._modules.doing(f"checking whether trials of {built.key.name} can {done}"):
            return self._chosen(built.key, self._choice(built, config, data))

    def _choice(self, built: BuiltModule, config: Any, data: DeviceData) -> ModeChoice:
        with one_core():
            if _is_compiled(built.module):
                return ModeChoice(IN_TURN, reason="it is compiled by torch.compile, for each way to train it anew")
            if reason := why_in_turn(self._start, config, data, device=self._device):
                return ModeChoice(IN_TURN, reason=reason)
            if self._is_changed_by_building(config, data):
                reason = "building another trial's model changes it: its code keeps parameters in a global or a class"
                return ModeChoice(REBUILT, reason=reason)
        batch_s = self._batch_seconds(config, data)
        if self._mode == "looped":
            return self._loops(config, data, batch_s)
        if self._mode != "stacked" and batch_s > LONG_BATCH_S:
            why = f"a batch takes {batch_s:.2g} s: starting its operations is little of that"
            return self._loops(config, data, batch_s, why)
        together = self._together(built.key, data)
        if self._mode != "stacked" and together < LEAST_LANES:
            return self._loops(config, data, batch_s, "few trials at a time have models of its shapes")
        if why := self._why_looped(built, config, data):
            return self._loops(config, data, batch_s, why)
        return ModeChoice("stacked") if self._mode == "stacked" else self._faster(config, data, batch_s, together)

    def _is_changed_by_building(self, config: Any, data: DeviceData) -> bool:
        """Say whether a trial of another configuration changes this one by being built."""
        others = (*self._modules.drawn, *self._modules.corners)
        other = next((found for found in others if found != config), None)
        return other is not None and is_changed_by_building(self._start, config, other, data, device=self._device)

    def _together(self, key: ModuleKey, data: DeviceData) -> int:
        """Return how many trials of a group may be expected to train at once, by those drawn from the space."""
        if self._keys is None:
            self._keys = [found[1] for found in self._built(self._modules.drawn, data)]
        return self._lanes if not self._keys else round(self._lanes * self._keys.count(key) / len(self._keys))

    def _why_looped(self, built: BuiltModule, config: Any, data: DeviceData) -> str:
        """Compare the first trial of a group with the plain loop, beside the ends of the space that belong to it."""
        lifts = self._lifts[built.key] = _Lifts(config, built.form.floats)
        numbers = sum(p.numel() for p in built.module.parameters())
        most = 2 if numbers >= LARGE else MOST_CHECKED
        corners = [(corner, floats) for corner, key, floats in self._at_corners(data) if key == built.key]
        checked = [config]
        for corner, floats in sorted(corners, key=lambda found: -len(lifts.differing(found[1]))):
            if len(checked) < most and (places := lifts.differing(floats)):
                checked.append(corner)
                lifts.checked |= places
        if len(checked) == 1 and corners:  # what differs may be where no attribute shows it
            checked.append(corners[-1][0])
        return why_looped(self._modules.trainable, checked if len(checked) > 1 else checked * 2, data)

    def _at_corners(self, data: DeviceData) -> list[tuple[Any, ModuleKey, Mapping[Place, float]]]:
        """Return what the modules at the ends of the space are."""
        if self._corners is None:
            self._corners = self._built(self._modules.corners[:MOST_CORNERS], data)
        return self._corners

    def _built(self, configs: Sequence[Any], data: DeviceData) -> list[tuple[Any, ModuleKey, Mapping[Place, float]]]:
        """Return what the modules of some configurations are; one that cannot be built fails as a trial, not here."""
        built = []
        for config in configs:
            with suppress(Exception):
                found = self._modules.build(config, data, seed=0, device=self._device)
                built.append((config, found.key, found.form.floats))
        return built

    def _batch_seconds(self, config: Any, data: DeviceData) -> float:
        """Return what a batch of such a trial takes in the plain loop, on a core."""
        part = few_batches(data, config_batch_size(config), batches=1)
        run = self._start(config, part, seed=0, device=self._device)
        with one_core():
            began = time.perf_counter()
            run.step()
            return time.perf_counter() - began

    def _faster(self, config: Any, data: DeviceData, batch_s: float, together: int) -> ModeChoice:
        """Measure all modes; what raises on the way speaks against the stack."""
        try:
            with one_core():
                return self._measure(config, data, _batches(batch_s, MEASURED_MODULES), together)
        except Exception as error:
            if is_out_of_memory(error):
                return self._loops(config, data, batch_s, "there is no memory for some lanes of it")
            return self._loops(config, data, batch_s, f"measuring it raised {error_line(error)}")

    def _loops(self, config: Any, data: DeviceData, batch_s: float, why_not_stacked: str = "") -> ModeChoice:
        """Return how loops of such trials train: side by side where batches are long, else as is measured faster."""
        reason = why_not_stacked and f"not stacked, as {why_not_stacked}"
        if batch_s > LONG_BATCH_S:
            return ModeChoice("looped", reason=reason)
        try:
            with one_core():
                return replace(self._measure(config, data, _batches(batch_s, LEAST_LANES), 0), reason=reason)
        except Exception:  # its trials say so
            return ModeChoice("looped", reason=reason)

    def _check_floats(self, built: BuiltModule, config: Any, data: DeviceData) -> None:
        """Compare a trial that differs from the group's first where none did before, both stacked, with the loop.

        A group that a resume takes up was checked before: there each trial's first batch tells alone.
        """
        first = self._lifts.get(built.key)
        if first is None or not (places := first.differing(built.form.floats)):
            return
        with self._modules.doing(f"checking whether trials of {built.key.name} can be stacked"):
            if reason := why_looped(self._modules.trainable, [first.config, config], data):
                self.loop(built.key, f"not stacked any longer, as {reason}")
        first.checked |= places

    def _chosen(self, key: ModuleKey, choice: ModeChoice) -> str:
        self.choices[str(key)] = choice
        self._measured[str(key)] = choice.mode
        return choice.mode


def _is_compiled(module: nn.Module) -> bool:
    """Say whether torch.compile made a part of a module: each way to train it is compiled, which takes long."""
    return any(type(part).__name__ == "OptimizedModule" for part in module.modules())


def _batches(batch_s: float, lanes: int) -> int:
    """Return on how many batches so many lanes are measured, given what one takes in the plain loop."""
    return min(SAMPLE_BATCHES, max(2, int(MEASURING_S / (batch_s * MEASURED_EPOCHS * lanes))))
