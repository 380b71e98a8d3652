"""A model of the user's own, in the plain loop.

The model is what a function returns, named ``package.module:function``::

    def function(params: Mapping[str, Any], input_shape: tuple[int, ...], outputs: int) -> nn.Module

``params`` (read-only) holds every active parameter of the trial and every setting of the study; ``input_shape``
is that of one example, [D] or [channels, height, width]; the module maps [B, *input_shape] to [B, outputs]: a logit
a class, or one number where the target is a number. Parameters that are named in ``TRAINING_PARAMETERS`` drive the
loop too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from trainables.config import MODEL_FIELDS, MlpConfig
from trainables.derive import derive
from trainables.errors import ConfigError
from trainables.metrics import METRICS
from trainables.model_build import ModelConfig, build_model, model_run
from trainables.model_function import SIGNATURE, ModelFunction
from trainables.network_trainables import MlpTrainable
from trainables.notice import TryOut
from trainables.own_process import OwnProcessError, in_own_process
from trainables.protocols import Run
from trainables.torch_stream import TorchStream
from trainables.user_function import IMPORT_LIMIT_S, UserFunction

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.data import Splits

TRY_OUT_LIMIT_S = IMPORT_LIMIT_S
"""Seconds that a model may take to be tried out: its function may fetch weights."""

TRAINING_PARAMETERS = frozenset({f.name for f in fields(MlpConfig)} - {*MODEL_FIELDS, "max_epochs"} | {"l1"})
"""The parameters that drive the loop, whatever the model does with them."""


class ModelTrainable:
    """The plain loop around the model that a user's function returns.

    Args:
        path: ``package.module:function``; looked for in the current directory as well as among the installed
            packages, when it is first needed.
        limit_s: seconds that it may take to be tried out.

    Raises:
        ConfigError: the path is not of that form.
    """

    stacks = False
    loops = True
    metrics: tuple[str, ...] = tuple(METRICS)

    def __init__(self, path: str, *, limit_s: float = TRY_OUT_LIMIT_S) -> None:
        self._named = UserFunction(path, "model", SIGNATURE, "models:small_net", limit_s)
        self.path = path
        self._limit_s = limit_s

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> ModelConfig:
        """Return the configuration of a trial, of which the part that drives the loop is validated."""
        if "max_epochs" in params:
            raise ConfigError("max_epochs is part of the budget; it can be no parameter or setting of a model")
        training = {name: value for name, value in params.items() if name in TRAINING_PARAMETERS}
        return ModelConfig(MlpConfig.from_params(training, max_epochs=max_epochs), dict(params))

    def misfits(self, config: ModelConfig, splits: Splits) -> list[str]:
        """Return why a trial of ``config`` cannot train on ``splits``, the model itself left aside."""
        return MlpTrainable().misfits(config.training, splits)

    def import_mistakes(self) -> list[str]:
        """Import the function, at first in a process of its own, and return why it cannot be had; empty if it can."""
        return self._named.import_mistakes()

    def try_out(self, configs: Sequence[ModelConfig], splits: Splits) -> TryOut:
        """Do all that a trial does with the first of ``configs``, small, in a process of its own; see there."""
        from trainables.model_try_out import few_examples, try_model

        trying = partial(
            try_model,
            self.function,
            configs,
            few_examples(splits),
            who=self._who,
            signature=SIGNATURE,
            driving=TRAINING_PARAMETERS,
        )
        try:
            return in_own_process(trying, limit_s=self._limit_s)
        except OwnProcessError as error:
            return TryOut((f"{self._who}: trying it out {error}",))

    def prepare(self, splits: Splits, device: torch.device) -> Any:
        """Return the examples as tensors on ``device``."""
        return MlpTrainable().prepare(splits, device)

    def start(self, config: ModelConfig, data: Any, *, seed: int, device: torch.device) -> Run:
        """Return a trial at epoch 0."""
        model = self.module_of(config, data, seed=seed, device=device)
        return model_run(config, model, data, seed=seed, device=device)

    def module_of(self, config: ModelConfig, data: Any, *, seed: int, device: torch.device) -> nn.Module:
        """Return the model of a trial at epoch 0."""
        with TorchStream(derive(seed, "weights"), device).as_global_rng():
            return self.build(config, tuple(data.x_train.shape[1:]), data.outputs).to(device)

    def training_of(self, config: ModelConfig) -> MlpConfig:
        """Return what drives the loop."""
        return config.training

    def build(self, config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the model of a trial, on CPU; what the function raises is raised.

        Raises:
            ConfigError: there is no such function, or what it returned is no module.
        """
        params = MappingProxyType(dict(config.params))
        return build_model(self.function(), params, input_shape, outputs, who=self._who)

    def rebuild(
        self, config: ModelConfig, state: Mapping[str, torch.Tensor], *, shape: tuple[int, ...], outputs: int
    ) -> nn.Module:
        """Return the model with the weights ``state``, on CPU; the function is imported and called again."""
        model = self.build(config, shape, outputs)
        model.load_state_dict(dict(state))
        return model

    def function(self) -> ModelFunction:
        """Import and return the function.

        Raises:
            ConfigError: no such module or function (the nearest name is suggested), or the import failed.
        """
        return self._named.find()

    @property
    def _who(self) -> str:
        return self._named.who
