"""What a user's module may return: the logits, or what several libraries return with the logits in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

LOGITS = "logits"
"""What torchvision's GoogLeNet and Inception, and Hugging Face's models, call their first output."""


def logits_of(found: Any) -> tuple[Any, str | None]:
    """Return the logits in what a module returned, and where they were found in it.

    Taken are the tensor itself; ``logits`` of a mapping, a named tuple or any object that has it (torchvision's
    GoogLeNet and Inception while they train, Hugging Face's models); and the first of a tuple or list, where
    that is a tensor: heads that follow, or states, are not used.

    Returns:
        What was returned and None, where it is a tensor or nothing of these; else the tensor and where it was, such
        as ``the first of a tuple of 3``.
    """
    if isinstance(found, torch.Tensor):
        return found, None
    kind = type(found).__name__
    named = found.get(LOGITS) if isinstance(found, Mapping) else getattr(found, LOGITS, None)
    if isinstance(named, torch.Tensor):
        return named, f"{LOGITS} of a {kind}"
    if isinstance(found, tuple | list) and found and isinstance(found[0], torch.Tensor):
        return found[0], f"the first of a {kind} of {len(found)}"
    return found, None


def return_logits(model: nn.Module) -> nn.Module:
    """Have ``model`` return its logits alone, whatever it is called from; its weights keep their names."""
    if not isinstance(model, torch.jit.ScriptModule):  # which takes no hooks
        model.register_forward_hook(_take_logits)
    return model


def describe_output(found: Any) -> str:
    """Return in words what a module returned: ``a dict with keys boxes, labels``."""
    kind = type(found).__name__
    if isinstance(found, Mapping):
        return f"a {kind} with keys {', '.join(map(str, found)) or '(none)'}"
    if isinstance(found, tuple | list):
        return f"a {kind} of {', '.join(type(part).__name__ for part in found) or 'nothing'}"
    return f"a {kind}"


def _take_logits(model: nn.Module, inputs: tuple[Any, ...], found: Any) -> Any:
    return logits_of(found)[0]
