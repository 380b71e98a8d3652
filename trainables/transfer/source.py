"""Weights learned here: a backbone trained on other classes, or other data, once, and kept by what it was made of."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trainables import checkpoint
from trainables.config import MlpConfig
from trainables.data import DataSpec, Splits, load_splits
from trainables.data.memory import cache_folder
from trainables.device_data import DeviceData
from trainables.errors import CheckpointError, ConfigError, DataError
from trainables.transfer.backbones import build_backbone
from trainables.transfer.config import TransferConfig
from trainables.transfer.preprocessing import Preprocessing, own_preprocessing
from trainables.transfer.pretraining import SMALL_PIXELS, Recipe, pretrain
from trainables.transfer.weights import Weights, stage_state
from trainables.transfer.weights_lock import weights_lock

VERSION = 1
"""The recipe's version where images are small, computed plainly: another recipe makes other weights, under another
name."""

FAST_VERSION = 2
"""The version above ``SMALL_PIXELS``: the same recipe, computed channels last and in bfloat16 (decision 0024)."""

LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
BATCH = 64
CPU = torch.device("cpu")


def source_spec(config: TransferConfig, declared: DataSpec) -> DataSpec:
    """Return which data ``source`` learns from: the other half of the classes, or what ``source_data`` names.

    Args:
        config: the configuration of any trial.
        declared: the study's data.

    Raises:
        ConfigError: the study's data are not a half, and nothing else is named.
    """
    text = config.source_data
    if not text:
        if declared.half != "second":
            raise ConfigError(
                "weights source: the data are not one half of the classes (data.half), and source_data names no other "
                "data to learn from; weights cifar10 needs none"
            )
        return replace(declared, half="first", train_examples=None, class_weight=None, folds=None)
    plain = replace(declared, half=None, train_examples=None, class_weight=None, folds=None, pixels=True)
    kind, colon, path = text.partition(":")
    if colon and kind == "images":
        return replace(plain, source="images", name=Path(path).name or kind, path=path)
    return replace(plain, source="named", name=text, path=None)


def source_weights(config: TransferConfig, splits: Splits, say: Callable[[str], None]) -> Weights:
    """Return the weights that the source data teach, from the cache if they are there.

    Raises:
        ConfigError: the source data are absent or unfit.
    """
    assert splits.spec is not None, "load_splits says what it loaded"
    spec = source_spec(config, splits.spec)
    try:
        data = load_splits(spec)
    except DataError as error:
        raise ConfigError([f"weights source: {line}" for line in error.errors]) from None
    size = config.input_size or min(data.shape[1:])
    file = cache_folder() / "weights" / f"source-{_recipe_hash(config, data, size)}.pt"
    with weights_lock(file, say) as say_to_all:
        state = _kept(config, file, say)
        if state is None:
            state = _learn(config, data, size, file.with_suffix(".unfinished.pt"), say_to_all)
            checkpoint.save(state, file)
            checkpoint.remove(file.with_suffix(".unfinished.pt"))
    accuracy = float(state["val_accuracy"])
    origin = f"learned from {_what(data)} for {state['epochs']} epochs (val_accuracy {accuracy:.3f} there)"
    preprocessing = Preprocessing.from_dict(state["preprocessing"], size=config.input_size)
    return Weights(state["backbone"], preprocessing, hashlib.sha256(file.read_bytes()).hexdigest(), origin)


def _recipe_hash(config: TransferConfig, data: Splits, size: int) -> str:
    """Return what the weights are kept under: a hash of all that they are made of."""
    version = VERSION if size <= SMALL_PIXELS else FAST_VERSION
    recipe = f"{version} {config.backbone} {data.fingerprint} {size} {config.source_epochs} {torch.__version__}"
    return hashlib.sha256(recipe.encode()).hexdigest()[:32]


def _kept(config: TransferConfig, file: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Return what was learned before; None where nothing was, or where it is damaged, which is said."""
    if not file.exists():
        return None
    try:
        state = checkpoint.load(file)
        stage_state(build_backbone(config.backbone), state["backbone"], what=str(file))
        return state if {"preprocessing", "epochs", "val_accuracy"} <= state.keys() else None
    except (CheckpointError, ConfigError, KeyError) as error:
        say(f"weights: what was learned before cannot be used, so it is learned anew ({error})")
        return None


def _learn(
    config: TransferConfig, data: Splits, size: int, unfinished: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Train the whole backbone on the source data; AdamW, the rate falling as a cosine."""
    say(
        f"weights: {config.backbone} learns from {_what(data)}, {config.source_epochs} epochs of {len(data.train):,} "
        f"images of {size} pixels; done once, then kept"
    )
    started = time.monotonic()
    preprocessing = own_preprocessing(data, size)
    training = MlpConfig(
        max_epochs=config.source_epochs,
        hidden=(),
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        batch_size=BATCH,
        schedule="cosine",
    )
    pixels = DeviceData.of(data, CPU)
    x_train, x_val = (preprocessing.resized(x) for x in (pixels.x_train, pixels.x_val))
    examples = replace(pixels, x_train=x_train, x_val=x_val)
    recipe = Recipe(training, size)
    learned = pretrain(config.backbone, recipe, examples, preprocessing, unfinished=unfinished, say=say)
    accuracy = learned.last.metrics["val_accuracy"]
    say(f"weights: learned in {time.monotonic() - started:.1f} s, val_accuracy {accuracy:.3f}")
    return {
        "backbone": learned.state,
        "preprocessing": preprocessing.to_dict(),
        "epochs": learned.last.epoch,
        "val_accuracy": accuracy,
    }


def _what(data: Splits) -> str:
    return f"{data.name} ({data.classes} classes)"
