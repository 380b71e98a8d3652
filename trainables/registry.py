"""The trainables by name, and what an executor may ask of one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from trainables.baselines import EstimatorTrainable
from trainables.config import CnnConfig, MlpConfig, loss_name
from trainables.errors import ConfigError
from trainables.metrics import METRICS
from trainables.transfer.trainable import TransferTrainable

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.data import Splits
    from trainables.loop import DeviceData
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


@runtime_checkable
class KeepsMore(Protocol):
    """A run whose model is more than what its state holds under ``model``."""

    def weights(self) -> Callable[[], Any]:
        """Return what makes the whole model's state as it is now; making it may wait."""


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
class Tried(Protocol):
    """A trainable that can be tried out on the data before any trial starts."""

    def try_out(self, configs: Sequence[Any], splits: Splits) -> list[str]:
        """Run the first of ``configs`` a little, look at the others, and return what is wrong, a line each."""


@runtime_checkable
class Choosy(Protocol):
    """A trainable that can tell before a trial starts that its configuration does not fit the data."""

    def misfits(self, config: Any, splits: Splits) -> list[str]:
        """Return why a trial of ``config`` cannot train on ``splits``, a line each; empty if it can."""


@runtime_checkable
class Readied(Protocol):
    """A trainable that has something to make or to fetch once, before any trial starts."""

    def make_ready(self, config: Any, splits: Splits, say: Callable[[str], None]) -> dict[str, Any]:
        """Do so, tell a user what comes of it, and return facts for the ledger; ``config`` is any trial's.

        Raises:
            ConfigError: it cannot be had.
        """


@runtime_checkable
class Rebuilds(Protocol):
    """What a trainable may offer besides: its models from what was kept of them."""

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> Any:
        """See ``Trainable.configure``."""

    def rebuild(self, config: Any, state: Any, *, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the model whose ``state_dict`` a run's state had as ``model``, on CPU.

        Args:
            config: of the trial.
            state: of the model.
            shape: of an example.
            outputs: C, or 1 where the target is a number.
        """


@runtime_checkable
class SideBySide(Protocol):
    """A trainable whose looped trials may train at a time, in threads of one process, with one core each."""

    def side_by_side(self, config: Any) -> bool:
        """Say whether trials such as this one may: they share nothing that they change, global generators included."""


@runtime_checkable
class StandsIn(Protocol):
    """A trainable some of whose trials are, in the end, a model that can stack, on examples of their own."""

    def stand_in(self, config: Any, data: Any) -> tuple[MlpConfig, DeviceData] | None:
        """Return what a trial of ``config`` can train as in lanes, and on what; None where it has to be looped.

        Trials for which it returns the same object as data share stacks. What is saved of such a trial is what
        the plain loop saves of the returned configuration: ``start`` continues from that too.

        Args:
            config: of the trial.
            data: what ``prepare`` returned.
        """

    def whole(self, config: Any, data: Any, state: Any) -> Any:
        """Return what is kept of a trial's best model, for ``rebuild``, where ``state`` is of what stood in for it.

        A state that is whole already is returned as it is.
        """


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
        errors: list[str] = []
        try:
            loss_name(config.loss, splits.task, label_smoothing=config.label_smoothing)
        except ConfigError as error:
            errors += error.errors
        # As trainables.loop.batch_bounds cuts them; a last single example is merged into the batch before.
        n = len(splits.train)
        if config.batch_norm and (n == 1 or (config.batch_size == 1 and n > 2)):
            errors.append(
                f"batch_norm=true needs two examples a batch: batch_size is {config.batch_size}, and there are {n} "
                "training examples; use --set batch_norm=false, or a larger batch_size"
            )
        return errors

    def prepare(self, splits: Splits, device: torch.device) -> Any:
        """Return the examples as tensors on ``device``."""
        from trainables.loop import DeviceData

        return DeviceData.of(splits, device)

    def start(self, config: MlpConfig, data: Any, *, seed: int, device: torch.device) -> Run:
        """Return a trial at epoch 0."""
        from trainables.loop import TrainingRun

        return TrainingRun(config, data, seed=seed, device=device)

    def rebuild(
        self, config: MlpConfig, state: Mapping[str, torch.Tensor], *, shape: tuple[int, ...], outputs: int
    ) -> nn.Module:
        """Return the model with the weights ``state``, on CPU."""
        from trainables.models import rebuilt

        return rebuilt(config, state, shape)


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


TRAINABLES: dict[str, Callable[[], Trainable]] = {
    "mlp": MlpTrainable,
    "net": NetTrainable,
    "estimator": EstimatorTrainable,
    "transfer": TransferTrainable,
}
"""The trainables that a study may name; ``package.module:attribute`` names any other."""

MODEL = "model:"
"""Begins the name of a trainable that is a model of the user's own: ``model:package.module:function``."""


def find_trainable(name: str) -> Trainable:
    """Return the trainable called ``name``, or the one that ``package.module:attribute`` names.

    ``model:package.module:function`` is the plain loop around a model of the user's own; that function is
    imported when it is first needed.

    Raises:
        ConfigError: no such name, module or attribute.
    """
    if name in TRAINABLES:
        return TRAINABLES[name]()
    if name.startswith(MODEL):
        from trainables.user_model import ModelTrainable

        return ModelTrainable(name.removeprefix(MODEL))
    module_name, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(f"unknown trainable {name!r}; known: {', '.join(TRAINABLES)}, or package.module:attribute")
    try:
        found: Callable[[], Trainable] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"trainable {name!r} cannot be imported: {error}") from None
    return found()
