"""A model that a search kept, with what turns raw examples into its inputs and its outputs into an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainables.data.preprocessing import warn
from trainables.errors import DataError
from trainables.kept_data import KeptData
from trainables.scores import outputs_of

if TYPE_CHECKING:
    import pandas as pd

NETWORK = "network"
"""The attribute that holds the network."""

PREDICTION = "prediction"
"""The column of a class, or of a number in its own units."""

PROBABILITY = "probability_"
"""Begins the name of the column of a class's probability."""


class KeptModel(nn.Module):
    """The model of a trial's best epoch, and the preprocessing that it was trained with.

    ``predict`` and ``predict_proba`` take raw examples. As a module it takes what its preprocessing returns, and
    returns what the network does: [N, *shape] -> [N, C] logits, or [N, 1] where the target is a number, standardised.

    Args:
        network: the network, on CPU.
        facts: what the file says of the trial: ``trial``, ``epoch``, ``metric``, ``value``, ``params`` ...
        shape: the shape of one example.
        data: what was kept of the data; None in a file of an older version.
    """

    def __init__(
        self, network: nn.Module, facts: Mapping[str, Any], *, shape: tuple[int, ...], data: KeptData | None
    ) -> None:
        super().__init__()
        self.network = network
        self.facts = dict(facts)
        self.shape = shape
        self.data = data
        self.register_state_dict_post_hook(_name_as_the_network)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_name_as_a_part)  # type: ignore[no-untyped-call]

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes as the source has them, in the order of ``predict_proba``'s columns, as scikit-learn names them.

        Raises:
            AttributeError: the target is a number.
        """
        data = self._known()
        if data.scale is not None:
            raise AttributeError(f"{data.name}: the target is a number, and has no classes")
        return np.array(data.classes)

    def predict(self, examples: Any, *, preprocessed: bool = False) -> NDArray[Any]:
        """Return the class of each example as the source has it, or the target in its own units  # [N].

        Args:
            examples: raw examples. Of a table a ``pandas.DataFrame`` or the path of a file; of images files, PIL's
                images or an array of raw pixels; of a named set its numbers or pixels as the source gives them.
            preprocessed: whether ``examples`` are inputs already, as ``preprocess`` returns them.

        Raises:
            DataError: they are not what the model was trained on; everything that is wrong, a line each.
        """
        return self._answers(self._outputs(examples, preprocessed=preprocessed))

    def predict_proba(self, examples: Any, *, preprocessed: bool = False) -> NDArray[np.float64]:
        """Return the probability of each class, in the order of ``classes_``  # [N, C].

        Raises:
            DataError: as ``predict``, or the target is a number.
        """
        data = self._known()
        if data.scale is not None:
            raise DataError(f"{data.name}: the target is a number, which has no probabilities; predict returns it")
        return _probabilities(self._outputs(examples, preprocessed=preprocessed))

    def predict_frame(self, examples: Any, *, preprocessed: bool = False) -> pd.DataFrame:
        """Return a row an example: ``prediction``, and of classes ``probability_CLASS`` for each of ``classes_``.

        Raises:
            DataError: as ``predict``.
        """
        import pandas as pd

        outputs = self._outputs(examples, preprocessed=preprocessed)
        frame = pd.DataFrame({PREDICTION: self._answers(outputs)})
        if self._known().scale is None:
            frame[[f"{PROBABILITY}{name}" for name in self.classes_]] = _probabilities(outputs)
        return frame

    def preprocess(self, examples: Any) -> torch.Tensor:
        """Return raw examples as the module takes them, on CPU  # [N, *shape].

        Raises:
            DataError: they are not what the model was trained on; everything that is wrong, a line each.
        """
        data = self._known()
        if data.preprocessing is None:
            raise DataError(f"{data.name} came without raw examples; preprocessed=True takes inputs as in training")
        return torch.from_numpy(np.ascontiguousarray(data.preprocessing.apply(examples)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the network's outputs for inputs as in training; what looks like raw pixels is warned of.

        Raises:
            DataError: of another shape or type than in training.
        """
        self._check(x)
        outputs: torch.Tensor = self.network(x)
        return outputs

    def _known(self) -> KeptData:
        if self.data is None:
            raise DataError(
                "this model was kept by a version of Lanewise that did not keep the preprocessing: called as a module "
                "it takes inputs as trainables.data.load_splits returns them; search again to predict from raw examples"
            )
        return self.data

    def _answers(self, outputs: torch.Tensor) -> NDArray[Any]:
        """Return the class of each example, or the target in its own units  # [N, C] -> [N]."""
        scale = self._known().scale
        if scale is None:
            named: NDArray[Any] = self.classes_[outputs.argmax(1).numpy()]
            return named
        found: NDArray[np.float64] = outputs.squeeze(1).double().numpy() * scale.deviation + scale.mean
        return found

    def _outputs(self, examples: Any, *, preprocessed: bool) -> torch.Tensor:
        """Return the outputs on CPU, the module in evaluation mode and in batches as a trial validates."""
        x = torch.as_tensor(examples) if preprocessed else self.preprocess(examples)
        self._check(x)
        if not len(x):
            raise DataError("there are no examples")
        return outputs_of(self.network, x)

    def _check(self, x: torch.Tensor) -> None:
        if x.shape[1:] != self.shape:
            wanted = f"[N, {', '.join(map(str, self.shape))}]"
            raise DataError(f"inputs of shape {wanted} are needed, got {list(x.shape)}; predict takes raw examples")
        how = None if self.data is None else self.data.preprocessing
        if how is None:
            return
        if x.is_floating_point() == how.makes_bytes:
            wanted = "bytes (uint8)" if how.makes_bytes else "floating point numbers"
            raise DataError(f"inputs must be {wanted} as in training, got {x.dtype}; predict takes raw examples")
        if (lowest := how.lowest) is not None and x.numel() and lowest < 0 <= float(x.min()):
            warn(
                f"no input is below 0, and those of training go down to {lowest:.3g}: these look like raw pixels, "
                "which predict takes"
            )


def _probabilities(outputs: torch.Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = outputs.double().softmax(1).numpy()
    return found


def _name_as_the_network(_: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Give tensors the names that they have in the network alone: the state is the network's, as it was trained."""
    own = f"{prefix}{NETWORK}."
    for name in [name for name in state if name.startswith(own)]:
        state[prefix + name.removeprefix(own)] = state.pop(name)


def _name_as_a_part(_: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Undo it, for ``load_state_dict``."""
    for name in [name for name in state if name.startswith(prefix)]:
        state[f"{prefix}{NETWORK}.{name.removeprefix(prefix)}"] = state.pop(name)
