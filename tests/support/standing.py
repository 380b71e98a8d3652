"""A trainable whose trials with a frozen body are linear models on features of their own; the others loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from trainables.config import MlpConfig
from trainables.device_data import DeviceData
from trainables.loop import TrainingRun
from trainables.network_trainables import MlpTrainable
from trainables.protocols import Run


@dataclass(frozen=True)
class Body:
    """One trial's configuration.

    Attributes:
        frozen: the number of its body; 0 where it trains whole.
        training: of the head, or of the whole.
    """

    frozen: int
    training: MlpConfig


class Standing:
    """Its bodies are random rotations, of which the features are kept; the whole is an MLP."""

    stacks = False
    loops = True
    metrics = MlpTrainable.metrics

    def __init__(self) -> None:
        self.features: dict[int, DeviceData] = {}
        self.started = 0

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> Body:
        values = dict(params)
        frozen = values.pop("frozen")
        return Body(frozen, MlpConfig(max_epochs=max_epochs, hidden=() if frozen else (8,), **values))

    def prepare(self, splits: Any, device: torch.device) -> DeviceData:
        return DeviceData.of(splits, device)

    def full_state(self, config: Body, data: DeviceData, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the state as it is: nothing of this model is frozen."""
        return state

    def stackable_form(self, config: Body, data: DeviceData) -> tuple[MlpConfig, DeviceData] | None:
        if not config.frozen:
            return None
        if config.frozen not in self.features:
            body = torch.randn(data.features, 5, generator=torch.Generator().manual_seed(config.frozen))
            x_train, x_val = (x.flatten(1) @ body for x in (data.x_train, data.x_val))
            self.features[config.frozen] = DeviceData(x_train, data.y_train, x_val, data.y_val, data.outputs)
        return config.training, self.features[config.frozen]

    def start(self, config: Body, data: DeviceData, *, seed: int, device: torch.device) -> Run:
        self.started += 1
        training, examples = self.stackable_form(config, data) or (config.training, data)
        return TrainingRun(training, examples, seed=seed, device=device)
