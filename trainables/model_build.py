"""The module that a user's function returns, made whole, and a trial of it in the plain loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainables.config import MlpConfig
from trainables.derive import derive
from trainables.errors import ConfigError
from trainables.model_function import ModelFunction
from trainables.torch_stream import StreamedRun, TorchStream

if TYPE_CHECKING:
    import torch
    from torch import nn

SHAPING_EXAMPLES = 2
"""How many examples of zeros tell lazy layers their sizes."""


@dataclass(frozen=True)
class ModelConfig:
    """One trial's configuration.

    Attributes:
        training: what drives the loop; its fields of an MLP's layers are not used.
        params: what the function is given.
    """

    training: MlpConfig
    params: Mapping[str, Any]


def build_model(
    function: ModelFunction, params: Mapping[str, Any], input_shape: tuple[int, ...], outputs: int, *, who: str
) -> nn.Module:
    """Return the model that ``function`` makes, whole, and with its logits as all that it returns.

    Raises:
        ConfigError: what it returned is no module.
    """
    model = function(params, input_shape, outputs)
    from torch import nn

    if not isinstance(model, nn.Module):
        raise ConfigError(f"{who} returned a {type(model).__name__}, expected a torch.nn.Module")
    from trainables.model_output import return_logits

    return return_logits(materialise(model, input_shape))


def model_run(config: ModelConfig, model: nn.Module, data: Any, *, seed: int, device: torch.device) -> StreamedRun:
    """Return a trial of a user's model, whose own layers (``nn.Dropout``, say) draw from torch's global generators."""
    from trainables.loop import TrainingRun

    run = TrainingRun(config.training, data, seed=seed, device=device, model=model, all_learn=False)
    return StreamedRun(run, TorchStream(derive(seed, "model"), device))


def materialise(model: nn.Module, input_shape: tuple[int, ...]) -> nn.Module:
    """Return ``model`` with its lazy layers, which learn their sizes from the first batch, made whole."""
    import torch
    from torch.nn.parameter import is_lazy

    if any(is_lazy(p) for p in (*model.parameters(), *model.buffers())):
        model.eval()
        with torch.no_grad():
            model(torch.zeros(SHAPING_EXAMPLES, *input_shape))
    return model
