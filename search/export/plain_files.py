"""Kept state as files that load without unpickling: JSON, safetensors, skops."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.baselines.config import ESTIMATOR
from trainables.errors import CheckpointError

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
ESTIMATOR_FILE = "model.skops"


def json_text(value: Any) -> str:
    """Return plain data and tensors as JSON, in which a tensor is ``{"dtype": ..., "tensor": nested lists}``.

    A float32 comes back bit for bit: its decimals are those of the same number in float64.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, default=_as_lists) + "\n"


def read_json(text: str) -> Any:
    """Return what ``json_text`` wrote.

    Raises:
        ValueError: it is no JSON.
    """
    return json.loads(text, object_hook=_as_tensor)


def write_weights(state: Any, folder: Path) -> str:
    """Write a model's state into a folder and return the file's name.

    Raises:
        CheckpointError: it holds something that such files cannot.
    """
    import torch
    from safetensors.torch import save

    if isinstance(state, Mapping) and set(state) == {ESTIMATOR}:
        (folder / ESTIMATOR_FILE).write_bytes(state[ESTIMATOR].numpy().tobytes())
        return ESTIMATOR_FILE
    odd = [str(name) for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if odd:
        raise CheckpointError(
            f"the model's state holds more than tensors ({', '.join(odd[:5])}), which {WEIGHTS} cannot; keep them in "
            "register_buffer"
        )
    # each with memory of its own: safetensors takes no two names for one, as tied weights are
    own = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    (folder / WEIGHTS).write_bytes(save(own))
    return WEIGHTS


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """Return the state that ``write_weights`` wrote.

    Raises:
        CheckpointError: it is damaged.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if file.name == ESTIMATOR_FILE:
        return {ESTIMATOR: torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8)}
    try:
        return load_file(file)
    except SafetensorError as error:
        raise CheckpointError(f"{file} is damaged: {error}") from None


def _as_lists(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return {"dtype": str(value.dtype).removeprefix("torch."), "tensor": value.tolist()}
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()  # a number of NumPy's
    raise TypeError(f"no plain data: a {type(value).__name__}")


def _as_tensor(found: dict[str, Any]) -> Any:
    import torch

    if found.keys() == {"dtype", "tensor"}:
        return torch.tensor(found["tensor"], dtype=getattr(torch, found["dtype"]))
    return found
