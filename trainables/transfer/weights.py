"""The weights that a backbone may start from, those of torchvision and those in files, with their preprocessing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.data import Splits
from trainables.errors import ConfigError
from trainables.mistake import nearest
from trainables.notice import Notice
from trainables.transfer.backbones import Backbone, build_backbone
from trainables.transfer.config import CIFAR10, NAMED_WEIGHTS, NARROW, NONE, SOURCE, TransferConfig
from trainables.transfer.preprocessing import Preprocessing, imagenet_preprocessing, own_preprocessing
from trainables.transfer.weights_file import check_regular, read_weights
from trainables.transfer.wrapped_state import first_names, unwrap

OTHERS = {
    SOURCE: "--weights source learns them here",
    CIFAR10: f"--weights cifar10 takes those that are shipped, of {NARROW}",
    "FILE": "--weights FILE takes a state dict (.pt, .pth or .safetensors)",
    NONE: "--weights none starts from random ones",
}


@dataclass(frozen=True)
class Weights:
    """The weights of a backbone.

    Attributes:
        state: tensors by their names in torchvision's model, the head left out; None draws them at random, from
            one seed for all trials.
        preprocessing: what is done to the images.
        sha256: the hash of the weights' file; the word ``none`` for random weights.
        origin: where they came from, in a few words.
        notices: what else to know of how they were read.
    """

    state: Mapping[str, torch.Tensor] | None
    preprocessing: Preprocessing
    sha256: str
    origin: str
    notices: tuple[Notice, ...] = ()


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
        if not isinstance(state[key], torch.Tensor) or state[key].shape != own[key].shape or state[key].is_meta
    ]
    lines = [
        f"{len(keys)} {word} ({first_names(sorted(keys))})"
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
    what, backbone = f"--weights imagenet: {file}", build_backbone(config.backbone)
    state, digest = read_weights(file, what, weights_bytes=_bytes_of(backbone))
    kept = stage_state(backbone, state, what=what)
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
    check_regular(file, what)
    if not file.is_file():
        meant = nearest(file.name, NAMED_WEIGHTS)
        raise ConfigError(
            f"{what}: there is no such file{'.' if meant else ';'}{meant} {_others(SOURCE, CIFAR10, NONE)}, "
            "--weights imagenet takes torchvision's"
        )
    backbone, preprocessing = build_backbone(config.backbone), None
    state, digest = read_weights(file, what, weights_bytes=_bytes_of(backbone))
    if "backbone" in state and "preprocessing" in state:  # what ``source`` wrote
        preprocessing = Preprocessing.from_dict(state["preprocessing"], size=config.input_size)
        state = state["backbone"]
    unwrapped = unwrap(state, backbone.model.state_dict().keys() - backbone.head_keys, what=what)
    kept = stage_state(backbone, unwrapped.state, what=what)
    if preprocessing is None and config.backbone != NARROW:
        preprocessing = imagenet_preprocessing(config.backbone, config.input_size)
    found = preprocessing or own_preprocessing(splits, config.input_size)
    origin = "; ".join((f"{file} (sha256 {digest[:16]})", *unwrapped.said))
    notices = (Notice("weights_unwrapped", f"weights: {origin}"),) if unwrapped.said else ()
    return Weights(kept, found, digest, origin, notices)


def _bytes_of(backbone: Backbone) -> int:
    return sum(tensor.nbytes for tensor in backbone.model.state_dict().values())


def _others(*names: str) -> str:
    return ", ".join(OTHERS[name] for name in names)
