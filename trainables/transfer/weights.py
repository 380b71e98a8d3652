"""The weights that a backbone may start from, those of torchvision and those in files, with their preprocessing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables import checkpoint
from trainables.data import Splits
from trainables.errors import CheckpointError, ConfigError
from trainables.mistake import nearest
from trainables.transfer.backbones import Backbone, build_backbone
from trainables.transfer.config import CIFAR10, NAMED_WEIGHTS, NARROW, NONE, SOURCE, TransferConfig
from trainables.transfer.preprocessing import Preprocessing, imagenet_preprocessing, own_preprocessing

OTHERS = {
    SOURCE: "--weights source learns them here",
    CIFAR10: f"--weights cifar10 takes those that are shipped, of {NARROW}",
    "FILE": "--weights FILE takes a state dict (.pt, .pth or .safetensors)",
    NONE: "--weights none starts from random ones",
}
SHOWN = 3
"""Keys that a message names before it counts the rest."""

SAFETENSORS = ".safetensors"


@dataclass(frozen=True)
class Weights:
    """The weights of a backbone.

    Attributes:
        state: tensors by their names in torchvision's model, the head left out; None draws them at random, from
            one seed for all trials.
        preprocessing: what is done to the images.
        sha256: the hash of the weights' file; the word ``none`` for random weights.
        origin: where they came from, in a few words.
    """

    state: Mapping[str, torch.Tensor] | None
    preprocessing: Preprocessing
    sha256: str
    origin: str


def stage_state(backbone: Backbone, state: Mapping[str, Any], *, what: str) -> dict[str, torch.Tensor]:
    """Return the part of ``state`` that belongs to the stages of ``backbone``.

    Raises:
        ConfigError: keys are missing, unexpected, or of other shapes: counts and the first names.
    """
    own, head = backbone.model.state_dict(), backbone.head_keys
    missing = [key for key in own if key not in state and key not in head]
    strange = [key for key in state if key not in own]
    other = [
        key
        for key in own.keys() & state.keys() - head
        if not isinstance(state[key], torch.Tensor) or state[key].shape != own[key].shape
    ]
    lines = [
        f"{len(keys)} {word} ({_first(sorted(keys))})"
        for word, keys in (("missing", missing), ("unexpected", strange), ("of another shape", other))
        if keys
    ]
    if lines:
        raise ConfigError(f"{what} does not fit {backbone.name}: of its {len(own) - len(head)} keys {', '.join(lines)}")
    return {key: state[key] for key in own if key not in head}


def imagenet_weights(config: TransferConfig) -> Weights:
    """Return torchvision's own weights, downloaded where that is allowed.

    Raises:
        ConfigError: there are none, or they cannot be had.
    """
    if config.backbone == NARROW:
        raise ConfigError(
            f"--weights imagenet: torchvision has none for {NARROW}; choose a --backbone such as resnet18, or "
            + _others(SOURCE, CIFAR10, "FILE")
        )
    from torchvision.models import get_model_weights

    entry = get_model_weights(config.backbone)["DEFAULT"]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / entry.url.rsplit("/", 1)[-1]
    if not file.exists():
        _fetch(entry.url, file, allowed=config.download)
    state, digest = _read(file, f"--weights imagenet: {file}")
    kept = stage_state(build_backbone(config.backbone), state, what=f"--weights imagenet: {file}")
    preprocessing = imagenet_preprocessing(config.backbone, config.input_size)
    promised = file.stem.rsplit("-", 1)[-1]
    origin = f"torchvision's {entry} (sha256 {digest[:16]})"
    if not digest.startswith(promised):  # torchvision, too, looks at the hash of what it downloads alone
        origin = f"{file}, which is not torchvision's own {entry}: its sha256 begins with {digest[:16]}, not {promised}"
    return Weights(kept, preprocessing, digest, origin)


def _fetch(url: str, file: Path, *, allowed: bool) -> None:
    if not allowed:
        raise ConfigError(
            f"--weights imagenet: {file.name} is not in {file.parent}; put it there (from {url}) or add --download; "
            + _others(SOURCE, "FILE", NONE)
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix=file.stem.rsplit("-", 1)[-1], progress=False)
    except Exception as error:  # urllib's, the disk's, or a hash that differs
        raise ConfigError(
            f"--weights imagenet: {file.name} could not be downloaded ({error}); it may be put into {file.parent}; "
            + _others(SOURCE, "FILE", NONE)
        ) from None


def weights_from_file(config: TransferConfig, splits: Splits) -> Weights:
    """Return the weights in a user's file, as a state dict or as ``source`` wrote them.

    Raises:
        ConfigError: there is no such file, it is damaged, or it is of another model.
    """
    file = Path(os.path.expanduser(config.weights))
    what = f"--weights {config.weights}"
    if not file.is_file():
        meant = nearest(file.name, NAMED_WEIGHTS)
        raise ConfigError(
            f"{what}: there is no such file{'.' if meant else ';'}{meant} {_others(SOURCE, CIFAR10, NONE)}, "
            "--weights imagenet takes torchvision's"
        )
    state, digest = _read(file, what)
    preprocessing = None
    if "backbone" in state and "preprocessing" in state:  # what ``source`` wrote
        preprocessing = Preprocessing.from_dict(state["preprocessing"], size=config.input_size)
        state = state["backbone"]
    kept = stage_state(build_backbone(config.backbone), state, what=what)
    if preprocessing is None and config.backbone != NARROW:
        preprocessing = imagenet_preprocessing(config.backbone, config.input_size)
    found = preprocessing or own_preprocessing(splits, config.input_size)
    return Weights(kept, found, digest, f"{file} (sha256 {digest[:16]})")


def _read(file: Path, what: str) -> tuple[dict[str, Any], str]:
    """Return what a file holds, read without running anything in it, and its sha256."""
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if file.suffix == SAFETENSORS:
            from safetensors.torch import load_file

            return load_file(file), digest
        if checkpoint.hash_path(file).exists():
            return checkpoint.load(file), digest
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (CheckpointError, OSError) as error:
        raise ConfigError(f"{what}: {error}") from None
    except Exception as error:  # torch's and safetensors' readers raise whatever damaged bytes lead them to
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"{what} is damaged, or holds more than weights, and is not loaded ({cause:.120})") from None
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise ConfigError(f"{what} holds a {type(state).__name__}, expected a state dict: names and tensors")
    return dict(state), digest


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (" ..." if len(keys) > SHOWN else "")


def _others(*names: str) -> str:
    return ", ".join(OTHERS[name] for name in names)
