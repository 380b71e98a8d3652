"""The trainables by name, and what an executor may ask of one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from trainables.config import MlpConfig
from trainables.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.data import Splits
    from trainables.report import EpochReport


class Run(Protocol):
    """One trial in training, an epoch at a time."""

    def step(self) -> EpochReport:
        """Train and validate one epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything a bitwise resume needs.

        Called at checkpoints and after each epoch that is the best so far, of which a copy of the part
        called ``model`` is kept.
        """

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""


class Trainable(Protocol):
    """Turns params and splits into a stream of epoch reports.

    Attributes:
        stacks: whether many of its trials can train as one stack of tensors (lanes).
        loops: whether its trials can train in turn in one process.
        metrics: the names that every report holds.
    """

    stacks: bool
    loops: bool
    metrics: tuple[str, ...]

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> Any:
        """Return the validated configuration of a trial; raises ``ConfigError``."""

    def prepare(self, splits: Splits, device: torch.device) -> Any:
        """Return the examples on ``device``; done once a worker."""

    def start(self, config: Any, data: Any, *, seed: int, device: torch.device) -> Run:
        """Return a trial at epoch 0."""


@runtime_checkable
class Rebuilds(Protocol):
    """What a trainable may offer besides: its models from what was kept of them."""

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> Any:
        """See ``Trainable.configure``."""

    def rebuild(self, config: Any, state: Any) -> nn.Module:
        """Return the model whose ``state_dict`` a run's state had as ``model``, on CPU."""


class MlpTrainable:
    """The multilayer perceptron of ``trainables/loop.py``."""

    stacks = True
    loops = True
    metrics: tuple[str, ...] = ("train_loss", "val_loss", "val_accuracy", "lr")

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> MlpConfig:
        """Return the validated configuration of a trial."""
        return MlpConfig.from_params(params, max_epochs=max_epochs)

    def prepare(self, splits: Splits, device: torch.device) -> Any:
        """Return the examples as tensors on ``device``."""
        from trainables.loop import DeviceData

        return DeviceData.of(splits, device)

    def start(self, config: MlpConfig, data: Any, *, seed: int, device: torch.device) -> Run:
        """Return a trial at epoch 0."""
        from trainables.loop import TrainingRun

        return TrainingRun(config, data, seed=seed, device=device)

    def rebuild(self, config: MlpConfig, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """Return the model with the weights ``state``, on CPU."""
        from trainables.models import rebuilt

        return rebuilt(config, state)


TRAINABLES: dict[str, Callable[[], Trainable]] = {"mlp": MlpTrainable}
"""The trainables that a study may name; ``package.module:attribute`` names any other."""


def find_trainable(name: str) -> Trainable:
    """Return the trainable called ``name``, or the one that ``package.module:attribute`` names.

    Raises:
        ConfigError: no such name, module or attribute.
    """
    if name in TRAINABLES:
        return TRAINABLES[name]()
    module_name, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(f"unknown trainable {name!r}; known: {', '.join(TRAINABLES)}, or package.module:attribute")
    try:
        found: Callable[[], Trainable] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"trainable {name!r} cannot be imported: {error}") from None
    return found()
