"""Finds a backbone's weights in what training scripts save: inside other things, under other names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from trainables.errors import ConfigError

HOLDERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "backbone", "encoder")
"""Under which keys training scripts put a state dict (Lightning and many others the first), the likeliest first."""

DEEPEST = 3
"""How many such keys are opened, one inside another."""

SHOWN = 3
"""Names that a message gives before it counts the rest."""


@dataclass(frozen=True)
class Unwrapped:
    """A state dict with the names of a backbone, and how it was come by.

    Attributes:
        state: tensors by name.
        said: what was undone, in a few words each; empty if nothing was.
    """

    state: Mapping[str, Any]
    said: tuple[str, ...] = ()


def unwrap(state: Mapping[str, Any], names: Collection[str], *, what: str) -> Unwrapped:
    """Return the weights in ``state`` that have ``names``, out of what holds them and without what stands before them.

    ``{"state_dict": ...}`` and its like are opened, and the dotted beginning that most names share (``module.`` of
    ``DataParallel``, ``_orig_mod.`` of ``torch.compile``, ``model.`` or ``backbone.`` of Lightning) is taken away.
    What has none of it belongs to other parts and is left out.

    Args:
        state: as read from the file.
        names: the backbone's own, at least one.
        what: begins each message.

    Raises:
        ConfigError: the names are there under two beginnings (a student and its teacher, say).
    """
    said: list[str] = []
    for _ in range(DEEPEST):
        key = next((key for key in HOLDERS if _holds_weights(state.get(key))), None)
        if key is None or _beginnings(state, names):
            break
        others = [name for name, part in state.items() if name != key and _holds_weights(part)]
        beside = f" ({first_names(others)} beside it left out)" if others else ""
        said.append(f"taken from {key!r} in it{beside}")
        state = state[key]
    found = _beginnings(state, names)
    if not found or "" in found:
        return Unwrapped(state, tuple(said))
    (begin, count), *rest = found.most_common()
    rivals = [other for other, shared in rest if shared == count]
    if rivals:
        raise ConfigError(
            f"{what} holds the weights more than once, under {', '.join(sorted([begin, *rivals]))}; save the one that "
            "is meant as a state dict of its own"
        )
    inside = {key.removeprefix(begin): value for key, value in state.items() if key.startswith(begin)}
    said.append(f"without the {begin!r} before its names")
    left = [key for key in state if not key.startswith(begin)]
    if left:
        said.append(f"{len(left)} others left out ({first_names(left)})")
    return Unwrapped(inside, tuple(said))


def first_names(names: Collection[str]) -> str:
    """Return the first of ``names`` for a message."""
    return ", ".join(list(names)[:SHOWN]) + (" ..." if len(names) > SHOWN else "")


def _holds_weights(value: object) -> bool:
    """Say whether ``value`` is a mapping by names, with tensors in it or in what it holds."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    return any(isinstance(part, torch.Tensor) or _holds_weights(part) for part in value.values())


def _beginnings(state: Mapping[str, Any], names: Collection[str]) -> Counter[str]:
    """Return what stands before the backbone's names in ``state``, and before how many; half of them at least."""
    known = set(names)
    counts: Counter[str] = Counter()
    for key, value in state.items():
        if isinstance(value, torch.Tensor):
            parts = key.split(".")
            ends = (".".join(parts[i:]) for i in range(len(parts)))
            counts.update(key.removesuffix(end) for end in ends if end in known)
    return Counter({begin: count for begin, count in counts.items() if 2 * count >= len(known)})
