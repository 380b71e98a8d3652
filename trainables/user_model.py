"""A model of the user's own, in the plain loop.

The model is what a function returns, named ``package.module:function``::

    def function(params: Mapping[str, Any], input_shape: tuple[int, ...], outputs: int) -> nn.Module

``params`` (read-only) holds every active parameter of the trial and every setting of the study; ``input_shape``
is that of one example, [D] or [channels, height, width]; the module maps [B, *input_shape] to [B, outputs]: a logit
a class, or one number where the target is a number. Parameters that are named in ``TRAINING_PARAMETERS`` drive the
loop too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from trainables.config import MODEL_FIELDS, MlpConfig
from trainables.derive import derive
from trainables.errors import ConfigError
from trainables.metrics import METRICS
from trainables.mistake import nearest
from trainables.network_trainables import MlpTrainable
from trainables.notice import TryOut
from trainables.protocols import Run
from trainables.torch_stream import StreamedRun, TorchStream
from trainables.user_code import error_line, import_user_module, place_in_user_code

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.data import Splits

ModelFunction: TypeAlias = "Callable[[Mapping[str, Any], tuple[int, ...], int], nn.Module]"

MODEL_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
SIGNATURE = "function(params, input_shape, outputs) -> torch.nn.Module"
EXAMPLES_TRIED = 2
"""How many examples a model is tried with before a search."""

TRAINING_PARAMETERS = frozenset({f.name for f in fields(MlpConfig)} - {*MODEL_FIELDS, "max_epochs"} | {"l1"})
"""The parameters that drive the loop, whatever the model does with them."""


@dataclass(frozen=True)
class ModelConfig:
    """One trial's configuration.

    Attributes:
        training: what drives the loop; its fields of an MLP's layers are not used.
        params: what the function is given.
    """

    training: MlpConfig
    params: Mapping[str, Any]


class ModelTrainable:
    """The plain loop around the model that a user's function returns.

    Args:
        path: ``package.module:function``; looked for in the current directory as well as among the installed
            packages, when it is first needed.

    Raises:
        ConfigError: the path is not of that form.
    """

    stacks = False
    loops = True
    metrics: tuple[str, ...] = tuple(METRICS)

    def __init__(self, path: str) -> None:
        if not MODEL_PATH.fullmatch(path):
            raise ConfigError(f"model {path!r} must be package.module:function, such as models:small_net")
        self.path = path

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> ModelConfig:
        """Return the configuration of a trial, of which the part that drives the loop is validated."""
        if "max_epochs" in params:
            raise ConfigError("max_epochs is part of the budget; it can be no parameter or setting of a model")
        training = {name: value for name, value in params.items() if name in TRAINING_PARAMETERS}
        return ModelConfig(MlpConfig.from_params(training, max_epochs=max_epochs), dict(params))

    def misfits(self, config: ModelConfig, splits: Splits) -> list[str]:
        """Return why a trial of ``config`` cannot train on ``splits``, the model itself left aside."""
        return MlpTrainable().misfits(config.training, splits)

    def try_out(self, configs: Sequence[ModelConfig], splits: Splits) -> TryOut:
        """Build the model of the first of ``configs``, run two examples through it, and return what is wrong."""
        import torch

        device = torch.device("cpu")
        examples = torch.tensor(splits.train.x[:EXAMPLES_TRIED], device=device)
        stream = TorchStream(derive(0, "weights"), device)
        try:
            with stream.as_global_rng():
                shape = tuple(examples.shape[1:])
                model, again = (self._built(configs[0], shape, splits.outputs) for _ in range(2))
                found = self._outputs(model, examples)
        except ConfigError as error:
            return TryOut(tuple(error.errors))
        errors = self._shape_errors(found, examples, splits.outputs)
        parameters = [p for p in model.parameters() if p.requires_grad]
        if not parameters:
            errors.append(f"{self._who} returned a module without trainable parameters: there is nothing to train")
        elif {id(p) for p in parameters} & {id(p) for p in again.parameters()}:
            errors.append(f"{self._who} returned the same parameters twice; each call must build a new module")
        return TryOut((*errors, *self._penalty_errors(model, configs)))

    def prepare(self, splits: Splits, device: torch.device) -> Any:
        """Return the examples as tensors on ``device``."""
        return MlpTrainable().prepare(splits, device)

    def start(self, config: ModelConfig, data: Any, *, seed: int, device: torch.device) -> Run:
        """Return a trial at epoch 0."""
        return ModelRun(self, config, data, seed=seed, device=device)

    def build(self, config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the model of a trial, on CPU; what the function raises is raised.

        Raises:
            ConfigError: there is no such function, or what it returned is no module.
        """
        model = self.function()(MappingProxyType(dict(config.params)), input_shape, outputs)
        from torch import nn

        if not isinstance(model, nn.Module):
            raise ConfigError(f"{self._who} returned a {type(model).__name__}, expected a torch.nn.Module")
        return materialise(model, input_shape)

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
        module_name, _, attribute = self.path.partition(":")
        found: Any = import_user_module(module_name, who=self._who)
        for part in attribute.split("."):
            if not hasattr(found, part):
                public = (
                    [name for name in vars(found) if not name.startswith("_")] if hasattr(found, "__dict__") else []
                )
                raise ConfigError(f"{self._who}: {module_name} has no {attribute!r}.{nearest(part, public)}")
            found = getattr(found, part)
        if not callable(found):
            raise ConfigError(f"{self._who} is a {type(found).__name__}, expected {SIGNATURE}")
        function: ModelFunction = found
        return function

    @property
    def _who(self) -> str:
        return f"model {self.path}"

    def _built(self, config: ModelConfig, shape: tuple[int, ...], outputs: int) -> nn.Module:
        try:
            return self.build(config, shape, outputs)
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:
            line = f"{self._who} raised {error_line(error)}"
            if isinstance(error, KeyError):
                line += f"; params holds {', '.join(config.params)}"
            elif isinstance(error, TypeError) and place_in_user_code(error) is None:
                line += f"; expected {SIGNATURE}"
            raise ConfigError(line) from None

    def _outputs(self, model: nn.Module, examples: torch.Tensor) -> object:
        import torch

        model.eval()
        try:
            with torch.no_grad():
                return model(examples)
        except (Exception, SystemExit) as error:
            shape = list(examples.shape)
            raise ConfigError(f"{self._who}: its module, given examples {shape}, raised {error_line(error)}") from None

    def _shape_errors(self, found: object, examples: torch.Tensor, outputs: int) -> list[str]:
        import torch

        given = f"given {len(examples)} examples {list(examples.shape)}"
        if not isinstance(found, torch.Tensor):
            return [f"{self._who}: its module, {given}, returned a {type(found).__name__}, expected a tensor"]
        if found.shape != (len(examples), outputs):
            return [
                f"{self._who}: its module, {given}, returned {list(found.shape)}, "
                f"expected [{len(examples)}, {outputs}]: [B, outputs]"
            ]
        if not found.is_floating_point():
            return [f"{self._who}: its module returned {found.dtype}, expected floating point numbers"]
        return []

    def _penalty_errors(self, model: nn.Module, configs: Sequence[ModelConfig]) -> list[str]:
        from trainables.models import penalised_weights

        if penalised_weights(model) or not any(config.training.l1_penalty for config in configs):
            return []
        return [f"{self._who}: l1_penalty has nothing to penalise: its module has no linear layer and no convolution"]


class ModelRun(StreamedRun):
    """A trial of a user's model, whose own layers (``nn.Dropout``, say) draw from torch's global generators."""

    def __init__(
        self, trainable: ModelTrainable, config: ModelConfig, data: Any, *, seed: int, device: torch.device
    ) -> None:
        from trainables.loop import TrainingRun

        with TorchStream(derive(seed, "weights"), device).as_global_rng():
            model = trainable.build(config, tuple(data.x_train.shape[1:]), data.outputs).to(device)
        run = TrainingRun(config.training, data, seed=seed, device=device, model=model)
        super().__init__(run, TorchStream(derive(seed, "model"), device))


def materialise(model: nn.Module, input_shape: tuple[int, ...]) -> nn.Module:
    """Return ``model`` with its lazy layers, which learn their sizes from the first batch, made whole."""
    import torch
    from torch.nn.parameter import is_lazy

    if any(is_lazy(p) for p in (*model.parameters(), *model.buffers())):
        model.eval()
        with torch.no_grad():
            model(torch.zeros(EXAMPLES_TRIED, *input_shape))
    return model
