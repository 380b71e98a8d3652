"""The networks of ``trainables/models.py`` as trainables: an MLP, and a choice between an MLP and a CNN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainables.config import CnnConfig, MlpConfig, loss_name
from trainables.errors import ConfigError
from trainables.metrics import METRICS

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.data import Splits
    from trainables.protocols import Run


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
        # As trainables.device_data.batch_bounds cuts them; a last single example is merged into the batch before.
        n = len(splits.train)
        if config.batch_norm and (n == 1 or (config.batch_size == 1 and n > 2)):
            errors.append(
                f"batch_norm=true needs two examples a batch: batch_size is {config.batch_size}, and there are {n} "
                "training examples; use --set batch_norm=false, or a larger batch_size"
            )
        return errors

    def prepare(self, splits: Splits, device: torch.device) -> Any:
        """Return the examples as tensors on ``device``, or what streams them to it."""
        from trainables.stream_data import place_examples

        return place_examples(splits, device)

    def start(self, config: MlpConfig, data: Any, *, seed: int, device: torch.device) -> Run:
        """Return a trial at epoch 0."""
        from trainables.loop import TrainingRun

        return TrainingRun(config, data, seed=seed, device=device)

    def rebuild(
        self, config: MlpConfig, state: Mapping[str, torch.Tensor], *, shape: tuple[int, ...], outputs: int
    ) -> nn.Module:
        """Return the model with the weights ``state``, on CPU."""
        from trainables.models import rebuild_model

        return rebuild_model(config, state, shape)


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
