"""The trainables by name, and what an executor may ask of one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from trainables.config import CnnConfig, MlpConfig, loss_name
from trainables.errors import ConfigError
from trainables.metrics import METRICS

if TYPE_CHECKING:
    import torch

    from trainables.data import Splits
    from trainables.report import EpochReport


class Run(Protocol):
    """One trial in training, an epoch at a time."""

    def step(self) -> EpochReport:
        """Train and validate one epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything a bitwise resume needs."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""


class Trainable(Protocol):
    """Turns params and splits into a stream of epoch reports.

    Attributes:
        stacks: whether many of its trials can train as one stack of tensors (lanes).
        loops: whether its trials can train in turn in one process.
        metrics: the names that a report may hold.
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
class Choosy(Protocol):
    """A trainable that can tell before a trial starts that its configuration does not fit the data."""

    def misfits(self, config: Any, splits: Splits) -> list[str]:
        """Return why a trial of ``config`` cannot train on ``splits``, a line each; empty if it can."""


class MlpTrainable:
    """The multilayer perceptron of ``trainables/loop.py``."""

    stacks = True
    loops = True
    metrics: tuple[str, ...] = tuple(METRICS)

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> MlpConfig:
        """Return the validated configuration of a trial."""
        return MlpConfig.from_params(params, max_epochs=max_epochs)

    def misfits(self, config: MlpConfig, splits: Splits) -> list[str]:
        """Return why a trial of ``config`` cannot train on ``splits``."""
        try:
            loss_name(config.loss, splits.task)
        except ConfigError as error:
            return list(error.errors)
        return []

    def prepare(self, splits: Splits, device: torch.device) -> Any:
        """Return the examples as tensors on ``device``."""
        from trainables.loop import DeviceData

        return DeviceData.of(splits, device)

    def start(self, config: MlpConfig, data: Any, *, seed: int, device: torch.device) -> Run:
        """Return a trial at epoch 0."""
        from trainables.loop import TrainingRun

        return TrainingRun(config, data, seed=seed, device=device)


class NetTrainable(MlpTrainable):
    """A network of the kind that the parameter ``model`` names: ``mlp`` (also where it is absent) or ``cnn``.

    ``head`` are the widths of a CNN's linear layers, ``hidden`` those of an MLP, so that a space can have both.
    """

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> MlpConfig:
        """Return the validated configuration of a trial."""
        values = dict(params)
        model = values.pop("model", "mlp")
        if model == "mlp":
            return MlpConfig.from_params(values, max_epochs=max_epochs)
        if model != "cnn":
            raise ConfigError(f"model must be mlp or cnn, got {model!r}")
        if "head" in values:
            values["hidden"] = values.pop("head")
        return CnnConfig.from_params(values, max_epochs=max_epochs)

    def misfits(self, config: MlpConfig, splits: Splits) -> list[str]:
        """Return why a trial of ``config`` cannot train on ``splits``."""
        lines = super().misfits(config, splits)
        if isinstance(config, CnnConfig) and len(splits.shape) != 3:
            lines.append(
                f"model=cnn needs images, and {splits.name} has rows of {splits.shape[0]} numbers; "
                "use --set model=mlp, or a --dataset of images such as digits"
            )
        return lines


TRAINABLES: dict[str, Callable[[], Trainable]] = {"mlp": MlpTrainable, "net": NetTrainable}
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
