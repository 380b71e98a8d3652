"""Weights learned here: a backbone trained on other classes, or other data, once, and kept by what it was made of."""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from trainables import checkpoint
from trainables.config import MlpConfig
from trainables.cpu_threads import torch_threads
from trainables.data import DataSpec, Splits, load_splits
from trainables.data.memory import cache_folder
from trainables.derive import derive
from trainables.device_data import DeviceData
from trainables.errors import CheckpointError, CheckpointWriteError, ConfigError, DataError
from trainables.loop import TrainingRun, fit
from trainables.models import Mlp
from trainables.torch_stream import TorchStream
from trainables.transfer.backbones import build_backbone
from trainables.transfer.config import TransferConfig
from trainables.transfer.network import TrainablePart, prepend_frozen
from trainables.transfer.preprocessing import Normalise, Preprocessing, own_preprocessing
from trainables.transfer.weights import Weights

VERSION = 1
"""The recipe's version: another recipe makes other weights, under another name."""

SEED = 0
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
BATCH = 64
CPU = torch.device("cpu")
SMALL_PIXELS = 16
"""Width up to which operations on an image are too short to be shared between cores."""


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
                "data to learn from"
            )
        return replace(declared, half="first", train_examples=None)
    plain = replace(declared, half=None, train_examples=None, pixels=True)
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
    recipe = f"{VERSION} {config.backbone} {data.fingerprint} {size} {config.source_epochs} {torch.__version__}"
    file = cache_folder() / "weights" / f"source-{hashlib.sha256(recipe.encode()).hexdigest()[:32]}.pt"
    with _locked(file):
        try:
            state = checkpoint.load(file)
        except CheckpointError:  # absent, or damaged: it can be made again
            state = _learn(config, data, size, say)
            checkpoint.save(state, file)
    accuracy = float(state["val_accuracy"])
    origin = f"learned from {_what(data)} for {state['epochs']} epochs (val_accuracy {accuracy:.3f} there)"
    preprocessing = Preprocessing.from_dict(state["preprocessing"], size=config.input_size)
    return Weights(state["backbone"], preprocessing, hashlib.sha256(file.read_bytes()).hexdigest(), origin)


def _learn(config: TransferConfig, data: Splits, size: int, say: Callable[[str], None]) -> dict[str, object]:
    """Train the whole backbone on the source data; AdamW, the rate falling as a cosine."""
    say(f"weights: {config.backbone} learns from {_what(data)}, {config.source_epochs} epochs; done once, then kept")
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
    stream = TorchStream(derive(SEED, "source"), CPU)
    with stream.as_global_rng():
        backbone = build_backbone(config.backbone)
        head = Mlp(training, backbone.features, data.classes, seed=SEED, device=CPU)
        model = TrainablePart(backbone.stages, head)
        prepend_frozen(model, Normalise(preprocessing))
        pixels = DeviceData.of(data, CPU)
        x_train, x_val = (preprocessing.resized(x) for x in (pixels.x_train, pixels.x_val))
        examples = replace(pixels, x_train=x_train, x_val=x_val)
        run = TrainingRun(training, examples, seed=SEED, device=CPU, model=model)
        with torch_threads(1 if size <= SMALL_PIXELS else torch.get_num_threads()):
            *_, last = fit(run)
    say(f"weights: learned in {time.monotonic() - started:.1f} s, val_accuracy {last.metrics['val_accuracy']:.3f}")
    head_keys = backbone.head_keys
    return {
        "backbone": {k: v.detach().clone() for k, v in backbone.model.state_dict().items() if k not in head_keys},
        "preprocessing": preprocessing.to_dict(),
        "epochs": last.epoch,
        "val_accuracy": last.metrics["val_accuracy"],
    }


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """While inside, no other process makes the same file.

    Raises:
        ConfigError: its folder cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = open(file.with_suffix(".lock"), "w")
    except OSError as error:
        raise ConfigError(
            f"{file.parent} cannot be written ({error.strerror}); XDG_CACHE_HOME names another folder"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the lock goes with the file
        try:
            yield
        except CheckpointWriteError as error:
            raise ConfigError(f"weights source: {error}; XDG_CACHE_HOME names another folder") from None


def _what(data: Splits) -> str:
    return f"{data.name} ({data.classes} classes)"
